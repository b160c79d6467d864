"""The engine of all calls without one of their own: loaded on first use, once per model, device and options."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from emovoice.audio import Audio, Source
from emovoice.engine import Emotion, Engine, Timbre
from emovoice.models import chosen_model
from emovoice.speech import Speech
from emovoice.voice import Accent

if TYPE_CHECKING:
    from emovoice.conversion.converter import Decoding
    from emovoice.conversion.stream import Conversion
    from emovoice.delivery import Instruction
    from emovoice.indextts.options import Options

_shared: dict[tuple[str, str, Options | None], Engine] = {}
_shared_lock = threading.Lock()


def shared_engine(model: str | None = None, device: str = "cpu", options: Options | None = None) -> Engine:
    """The engine of all calls without one of their own: loaded on first use, once per model, device and options."""
    with _shared_lock:
        key = (chosen_model(model), device, options)
        if key not in _shared:
            _shared[key] = Engine(*key[:2], options=options)
        return _shared[key]


def synthesize(
    text: str,
    timbre: Timbre = None,
    emotion: Emotion = None,
    intensity: float | None = None,
    emotion_audio: Source | None = None,
    duration_s: float | None = None,
    seed: int = 0,
    accent: Accent | None = None,
    instruction: Instruction = None,
    *,
    model: str | None = None,
    device: str = "cpu",
) -> Audio:
    """`Engine.synthesize` on a model that is loaded on first use and kept."""
    engine = shared_engine(model, device)
    return engine.synthesize(text, timbre, emotion, intensity, emotion_audio, duration_s, seed, accent, instruction)


def stream(
    text: str,
    timbre: Timbre = None,
    emotion: Emotion = None,
    intensity: float | None = None,
    emotion_audio: Source | None = None,
    duration_s: float | None = None,
    seed: int = 0,
    accent: Accent | None = None,
    instruction: Instruction = None,
    *,
    model: str | None = None,
    device: str = "cpu",
) -> Speech:
    """`Engine.stream` on a model that is loaded on first use and kept."""
    engine = shared_engine(model, device)
    return engine.stream(text, timbre, emotion, intensity, emotion_audio, duration_s, seed, accent, instruction)


def convert(
    source: Source,
    emotion: Emotion = None,
    intensity: float | None = None,
    *,
    reference: Source | None = None,
    instruction: Instruction = None,
    timbre: Timbre = None,
    duration_s: float | None = None,
    tempo: bool = False,
    seed: int = 0,
    decoding: Decoding | None = None,
    model: str | None = None,
    device: str = "cpu",
) -> Audio:
    """`Engine.convert` on a model that is loaded on first use and kept."""
    return shared_engine(model, device).convert(
        source, emotion, intensity, reference=reference, instruction=instruction, timbre=timbre, duration_s=duration_s,
        tempo=tempo, seed=seed, decoding=decoding,
    )  # fmt: skip


def convert_stream(
    source: Source | Iterable[np.ndarray],
    emotion: Emotion = None,
    intensity: float | None = None,
    *,
    rate: int | None = None,
    reference: Source | None = None,
    instruction: Instruction = None,
    timbre: Timbre = None,
    duration_s: float | None = None,
    tempo: bool = False,
    seed: int = 0,
    decoding: Decoding | None = None,
    model: str | None = None,
    device: str = "cpu",
) -> Conversion:
    """`Engine.convert_stream` on a model that is loaded on first use and kept."""
    return shared_engine(model, device).convert_stream(
        source, emotion, intensity, rate=rate, reference=reference, instruction=instruction, timbre=timbre,
        duration_s=duration_s, tempo=tempo, seed=seed, decoding=decoding,
    )  # fmt: skip
