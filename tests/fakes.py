"""Stand-ins for the pipeline and the reader: numbers instead of networks, same promises.

They let tests of the API count, fail and repeat exactly, where the real ones could only be listened to.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType

import numpy as np
import pytest

from emovoice.errors import InputError, ModelError
from emovoice.pipelines import VectorPipeline
from emovoice.text import Reading, Sentence

SAMPLES_PER_CHARACTER = 1500
CHUNK_SAMPLES = 4000


class FakePipeline(VectorPipeline):
    """Noise that depends on everything it was asked with, in chunks, in exactly the length asked for."""

    sample_rate = 24_000
    loads = 0

    def __init__(self, name: str) -> None:
        self.name = name
        self.spoken: list[tuple[str, int | None, int]] = []

    @classmethod
    def load(cls, model: str = "mini", device: str = "cpu") -> FakePipeline:
        if model not in ("mini", "debug"):
            raise ModelError("there is no such model", field="model", value=model, remedy="Use mini or debug.")
        FakePipeline.loads += 1
        return cls(model)

    def embed(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert samples.dtype == np.float32 and samples.ndim == 1
        noise = _noise(samples.tobytes())
        return noise.standard_normal(192, np.float32), noise.standard_normal(256, np.float32)

    def emotion_vector(self, weights: Sequence[float]) -> np.ndarray:
        assert len(weights) == 8
        return np.pad(np.array(weights, dtype=np.float32), (0, 248))

    def estimate_samples(self, sentence: Sentence, timbre: np.ndarray, emotion: np.ndarray) -> int:
        assert timbre.shape == (192,) and emotion.shape == (256,)
        paused_s = sum(seconds for _, seconds in sentence.pauses)
        return SAMPLES_PER_CHARACTER * len(sentence.phonemes) + round(paused_s * self.sample_rate)

    def speak(
        self,
        sentence: Sentence,
        timbre: np.ndarray,
        emotion: np.ndarray,
        *,
        length_samples: int | None,
        seed: int,
    ) -> Iterator[np.ndarray]:
        assert timbre.shape == (192,) and emotion.shape == (256,)
        assert timbre.flags.writeable, "torch warns of arrays that cannot be written to"
        self.spoken.append((sentence.text, length_samples, seed))
        left = self.estimate_samples(sentence, timbre, emotion) if length_samples is None else length_samples
        noise = _noise(f"{seed} {sentence.text}".encode() + timbre.tobytes() + emotion.tobytes())
        while left:
            count = min(CHUNK_SAMPLES, left)
            left -= count
            yield noise.uniform(-0.5, 0.5, count).astype(np.float32)

    def info(self) -> dict[str, object]:
        return {"name": self.name, "parameters": 0, "configuration": {"chunk_samples": CHUNK_SAMPLES}}


def read(text: str, *, accent: str = "us") -> Reading:
    """Sentences end at . ! ?; phonemes are the letters; "[1s]" after a sentence is a pause in it."""
    parts = [part.strip() for part in re.split(r"(?<=[.!?])\s+", text) if part.strip()]
    if not any(character.isalpha() for character in text):
        raise InputError("the text has no letters", field="text", value=text, remedy="Give words.")
    warnings = ("'%' was left out",) if "%" in text else ()
    return Reading(tuple(_sentence(part) for part in parts), warnings)


def _sentence(part: str) -> Sentence:
    words, pauses = re.subn(r"\[1s\]", "", part)
    return Sentence(words, words.lower(), ((len(words), 1.0),) * pauses)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the stand-ins where the engine looks for the real ones."""
    pipeline, text = ModuleType("emovoice.pipeline"), ModuleType("emovoice.text")
    pipeline.Pipeline = FakePipeline  # type: ignore[attr-defined]
    text.read = read  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "emovoice.pipeline", pipeline)
    monkeypatch.setitem(sys.modules, "emovoice.text", text)


def _noise(content: bytes) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(content).digest()[:8], "little"))
