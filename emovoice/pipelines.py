"""What the engine asks of a model, and which pipeline runs which model.

The engine hands on what a pipeline made of a voice and of an emotion without looking into it: two vectors for our own
models, a prompt and an emotion of the speaker for the published ones. Importing this is cheap.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from emovoice import waveform
from emovoice.audio import Source, read_audio
from emovoice.emotion import names
from emovoice.errors import InputError, ModelError
from emovoice.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from emovoice.indextts.options import Options
    from emovoice.voice import Accent, Voice


@dataclass(frozen=True, eq=False)
class EmotionRequest:
    """An emotion that is asked for, in one of three ways; checked.

    Attributes:
        weights: eight of them, already times the intensity; for a recording or words eight zeros.
        recording: one whose emotion is taken over, or None.
        words: an instruction, or the text itself, whose emotion is meant; or None.
        intensity: of the recording or the words, 0..1.
    """

    weights: tuple[float, ...] = names.NEUTRAL
    recording: Source | None = None
    words: str | None = None
    intensity: float = 1.0


@dataclass(frozen=True, eq=False)
class Heard:
    """What is kept of a recording of a voice: see `Voice`."""

    timbre: np.ndarray
    emotion: np.ndarray
    recording: np.ndarray | None = None
    recording_hz: int = 0
    warnings: tuple[str, ...] = ()


class AnySentence(Protocol):
    """What all pipelines call a sentence."""

    @property
    def text(self) -> str:
        """What is said."""

    @property
    def pauses(self) -> tuple[tuple[int, float], ...]:
        """(where, seconds) of the silences that were asked for."""


class VectorPipeline(ABC):
    """What the engine asks, of models to which a voice is a vector (192,) and an emotion one of (256,)."""

    sample_rate: int = waveform.SAMPLE_RATE_HZ
    name: str
    has_accents = True
    gap_s = 0.15
    """Silence between two sentences, beside what the model puts there itself."""
    reads_words = False
    """Whether `how` takes an emotion in words; otherwise they are read by `emovoice.emotion`."""

    @abstractmethod
    def embed(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) float32 mono at 24 kHz -> timbre (192,), emotion (256,)."""

    @abstractmethod
    def emotion_vector(self, weights: Sequence[float]) -> np.ndarray:
        """Eight weights in 0..1 -> (256,)."""

    def read(self, text: str, accent: Accent) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        """The sentences of a text, and warnings. Raises InputError."""
        from emovoice.text import read  # brings in dictionaries

        reading = read(text, accent=accent)
        return tuple(reading.sentences), tuple(reading.warnings)

    def hear(self, source: Source, limits: Limits = DEFAULT_LIMITS) -> Heard:
        """What a voice keeps of a recording. Raises AudioError."""
        reference = read_audio(source, limits=limits)
        return Heard(*self.embed(reference.samples), warnings=reference.warnings)

    def who(self, voice: Voice) -> tuple[Any, tuple[str, ...]]:
        """What the model needs to know of a voice, and warnings. Raises ModelError or AudioError."""
        if voice.model in ("", self.name):
            return np.array(voice.timbre), ()  # a copy that may be written to: torch warns of others
        if voice.recording is not None:
            return np.array(self.hear((np.array(voice.recording), voice.recording_hz)).timbre), ()
        mismatch = f"it was made with the model '{voice.model}', not '{self.name}'"
        return np.array(voice.timbre), (f"voice: {mismatch}, and may not sound as it should",)

    def prepare(self) -> None:  # noqa: B027  most have nothing to do
        """Load or compile at once what would wait until it pays: for those who speak often, like servers."""

    def converter(self) -> Any:
        """The networks for conversion. Raises ModelError where this model comes without."""
        raise ModelError("this model does not convert recordings", field="model", value=self.name,
                         remedy="Use mini, or a model that `emovoice train` made.")  # fmt: skip

    def how(
        self, who: Any, asked: EmotionRequest, seed: int = 0, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[Any, tuple[str, ...]]:
        """What the model needs to know of an emotion, and warnings. Raises InputError or AudioError."""
        if asked.recording is None:
            return np.array(self.emotion_vector(asked.weights), dtype=np.float32), ()
        reference = read_audio(asked.recording, limits=limits)
        neutral = np.asarray(self.emotion_vector(names.NEUTRAL), dtype=np.float32)
        heard = np.asarray(self.embed(reference.samples)[1])
        vector = (neutral + np.float32(asked.intensity) * (heard - neutral)).astype(np.float32)
        return vector, tuple(f"emotion recording: {warning}" for warning in reference.warnings)


def load(model: str, device: str = "cpu", options: Options | None = None) -> Any:
    """The pipeline of a model: an embedded one, a bundle's folder, or a published one by name or folder.

    Raises:
        InputError: options for a model that has none.
        ModelError: the model is missing or damaged, or the device cannot be used.
    """
    folder = published_folder(model)
    if folder is not None:
        from emovoice.indextts.pipeline import IndexPipeline

        return IndexPipeline.load(folder, device, options)
    if options is not None:
        raise InputError("these options are for the published models", field="model", value=model,
                         remedy="Leave them out, or name the folder of a published model")  # fmt: skip
    from emovoice.pipeline import Pipeline

    return Pipeline.load(model, device)


def published_folder(model: str) -> Path | None:
    """The folder of a published model by its name in the registry or by its path; None for other models.

    A folder counts as published when it has a `config.yaml`, or the vocabulary of a published model, and no
    `config.json`.
    """
    from emovoice.hub import registry

    if model in registry.models():
        return registry.folder_of(model)
    try:
        folder = Path(model)
        if (folder / "config.json").is_file():
            return None
        telling = ("config.yaml", *(known.tokenizer for known in registry.models().values()))
        return folder if any((folder / name).is_file() for name in telling) else None
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None


def prefixed(prefix: str, warnings: Iterable[str]) -> tuple[str, ...]:
    """Each warning with what it is about before it."""
    return tuple(f"{prefix}: {warning}" for warning in warnings)
