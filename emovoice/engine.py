"""The engine: one loaded model, and what users ask of it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from emovoice import timing
from emovoice.audio import Audio, Source
from emovoice.emotion import names
from emovoice.errors import InputError
from emovoice.limits import DEFAULT_LIMITS, Limits
from emovoice.models import chosen_model
from emovoice.pipelines import AnySentence, EmotionRequest, load, prefixed
from emovoice.speech import Plan, Speech
from emovoice.voice import DEFAULT_VOICE, ENDING, Accent, Voice, check_accent, looks_like_name, voices

if TYPE_CHECKING:
    from emovoice.indextts.options import Options

Timbre: TypeAlias = "Voice | Source | None"
Emotion: TypeAlias = "str | Sequence[float] | Mapping[str, float] | np.ndarray | None"

AUTO = "auto"
"""The emotion that the text itself tells."""

LARGEST_SEED = 2**63 - 1


class Engine:
    """A model loaded once, for any number of requests.

    Args:
        model: "mini" (comes with emovoice), "debug" (random weights, for tests), "indextts-2" or "indextts-2.5"
            (where `emovoice models pull` puts them), or a folder; None for what the environment variable
            EMOVOICE_MODEL names, or mini.
        device: "cpu", "cuda", ...
        limits: how much is taken in; see `Limits`.
        options: of a published model; see `emovoice.indextts.options.Options`.

    Raises:
        InputError: options for a model that has none.
        ModelError: the model is missing or damaged, or the device cannot be used.
    """

    def __init__(
        self,
        model: str | None = None,
        device: str = "cpu",
        *,
        limits: Limits = DEFAULT_LIMITS,
        options: Options | None = None,
    ) -> None:
        self.limits = limits
        self.pipeline = load(chosen_model(model), device, options)  # brings in torch

    def synthesize(
        self,
        text: str,
        timbre: Timbre = None,
        emotion: Emotion = None,
        intensity: float | None = None,
        emotion_audio: Source | None = None,
        duration_s: float | None = None,
        seed: int = 0,
        accent: Accent | None = None,
        instruction: str | None = None,
    ) -> Audio:
        """Speak a text.

        Args:
            text: English, at most 20,000 characters (`Limits.text_chars`). It is spoken sentence by sentence.
            timbre: who speaks: a `Voice`, the name of one (see `voices()`), a saved voice, a recording (path,
                samples at 24 kHz, or (samples, rate)), or None for the default voice.
            emotion: a name ("angry", "joy", ...), eight weights, a mapping from names to weights, or None for
                neutral; see `emovoice.emotion.names.parse`. "auto" takes the emotion that the text tells, where
                the model can read it.
            intensity: how much of it, 0..1. None means 0.7 for an emotion given by name or in words and 1.0 for
                weights or a recording.
            emotion_audio: a recording whose emotion is taken over, instead of `emotion`. An intensity below 1
                lies on the way there from neutral; with a published model that is the voice's own emotion.
            duration_s: how long the speech shall last, seconds; None for as long as it takes.
            seed: 0..2**63-1. The same seed gives the same samples on the same device.
            accent: "us" or "gb"; None for the voice's own. The published models have none.
            instruction: the emotion in words, instead of `emotion`, where the model can read it.

        Returns:
            The speech with its measured length, real-time factor and warnings.

        Raises:
            InputError: text, emotion, intensity, duration, seed or accent are not usable, or no such voice.
            AudioError: a recording cannot be used.
            ModelError: a saved voice is missing or damaged.
            LengthError: the text cannot be spoken in `duration_s`.
        """
        speech = self.stream(text, timbre, emotion, intensity, emotion_audio, duration_s, seed, accent, instruction)
        return speech.collect()

    def stream(
        self,
        text: str,
        timbre: Timbre = None,
        emotion: Emotion = None,
        intensity: float | None = None,
        emotion_audio: Source | None = None,
        duration_s: float | None = None,
        seed: int = 0,
        accent: Accent | None = None,
        instruction: str | None = None,
    ) -> Speech:
        """Like `synthesize`, in chunks as they are made; together they are exactly its samples.

        The request is checked at once, before the first chunk is asked for. Memory does not grow with the
        text.
        """
        start = time.perf_counter()
        self._check_text(text)
        seed = _check_seed(seed)
        asked = timing.asked_samples(duration_s, self.pipeline.sample_rate)
        if accent is not None:
            check_accent(accent)
        wanted = _wanted(text, emotion, intensity, emotion_audio, instruction)
        voice = self.voice(timbre)
        sentences, reading_warnings = self.pipeline.read(text, accent or voice.accent)
        who, voice_warnings = self.pipeline.who(voice)
        how, emotion_warnings = self.pipeline.how(who, wanted, seed, self.limits)
        lengths, gaps, pace_warnings = self._share_out(sentences, who, how, asked)
        warnings = (*voice.warnings, *voice_warnings, *emotion_warnings)
        if accent is not None and not self.pipeline.has_accents:
            warnings += (f"the model '{self.pipeline.name}' has no accents: '{accent}' plays no part",)
        plan = Plan(
            sentences=sentences,
            length_samples=lengths,
            gap_samples=gaps,
            timbre=who,
            emotion=how,
            seed=seed,
            asked_s=None if duration_s is None else float(duration_s),
            voice=voice.name,
            warnings=(*warnings, *reading_warnings, *pace_warnings),
        )
        return Speech(self.pipeline, plan, spent_s=time.perf_counter() - start)

    def estimate(
        self,
        text: str,
        timbre: Timbre = None,
        emotion: Emotion = None,
        intensity: float | None = None,
        accent: Accent | None = None,
    ) -> float:
        """How long a text takes by itself, seconds: at a twentieth of the cost of speaking it, or less.

        Arguments and errors are those of `synthesize`.
        """
        self._check_text(text)
        wanted = _wanted(text, emotion, intensity, None, None)
        voice = self.voice(timbre)
        sentences, _ = self.pipeline.read(text, accent or voice.accent)
        who, _ = self.pipeline.who(voice)
        how, _ = self.pipeline.how(who, wanted, 0, self.limits)
        samples = [self.pipeline.estimate_samples(sentence, who, how) for sentence in sentences]
        rate = self.pipeline.sample_rate
        return (sum(samples) + (len(samples) - 1) * round(self.pipeline.gap_s * rate)) / rate

    def voice(self, timbre: Timbre = None) -> Voice:
        """The voice meant by any of the ways to name one; see `synthesize`."""
        if isinstance(timbre, Voice):
            return timbre
        if timbre is None:
            return Voice.load(DEFAULT_VOICE)
        if isinstance(timbre, (str, os.PathLike)):
            path = Path(timbre)
            bare = isinstance(timbre, str) and looks_like_name(timbre)
            known = bare and (timbre in voices() or not os.path.exists(path))
            if known or path.suffix.lower() == ENDING:
                return Voice.load(timbre)
        return self.voice_from(timbre)

    def voice_from(self, source: Source, *, name: str | None = None, accent: Accent = "us") -> Voice:
        """The voice of a recording; see `Voice.from_audio`."""
        check_accent(accent)
        heard = self.pipeline.hear(source, self.limits)
        origin = Path(source).name if isinstance(source, (str, os.PathLike)) else ""
        return Voice(
            name=name or Path(origin).stem or "unnamed",
            timbre=heard.timbre,
            emotion=heard.emotion,
            accent=accent,
            model=self.pipeline.name,
            source=f"recording {origin}".strip(),
            warnings=prefixed("voice", heard.warnings),
            recording=heard.recording,
            recording_hz=heard.recording_hz,
        )

    def _check_text(self, text: object) -> None:
        if not isinstance(text, str):
            raise InputError("the text must be a string", field="text", value=text)
        if not text.strip():
            raise InputError("the text is empty", field="text", value=text, remedy="Give something to say.")
        if len(text) > self.limits.text_chars:
            raise InputError(
                f"the text is longer than {self.limits.text_chars:,} characters",
                field="length",
                value=len(text),
                remedy="Split it, or raise the limit: Engine(limits=Limits(text_chars=...)).",
            )
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise InputError(
                "the text holds bytes that are not characters",
                field="text",
                value=text,
                remedy="Encode it as UTF-8.",
            )

    def _share_out(
        self, sentences: tuple[AnySentence, ...], who: Any, how: Any, asked: int | None
    ) -> tuple[tuple[int | None, ...], tuple[int, ...], tuple[str, ...]]:
        """Lengths of S sentences and S - 1 gaps in samples, and warnings about the pace."""
        rate = self.pipeline.sample_rate
        gap = round(self.pipeline.gap_s * rate)
        if asked is None:
            return (None,) * len(sentences), (gap,) * (len(sentences) - 1), ()
        pauses = [round(sum(seconds for _, seconds in sentence.pauses) * rate) for sentence in sentences]
        estimates = [self.pipeline.estimate_samples(sentence, who, how) for sentence in sentences]
        speech = [max(1, estimate - pause) for estimate, pause in zip(estimates, pauses, strict=True)]
        # Sentences and gaps in turn, so that gaps shrink and grow with the speech around them.
        parts = [length for free in speech for length in (free, gap)][:-1]
        warnings = timing.check_pace(asked, sum(parts), rate, fixed=sum(pauses))
        shares = timing.allot(asked - sum(pauses), parts)
        lengths = (share + pause for share, pause in zip(shares[::2], pauses, strict=True))
        return tuple(lengths), tuple(shares[1::2]), warnings


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
    instruction: str | None = None,
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
    instruction: str | None = None,
    *,
    model: str | None = None,
    device: str = "cpu",
) -> Speech:
    """`Engine.stream` on a model that is loaded on first use and kept."""
    engine = shared_engine(model, device)
    return engine.stream(text, timbre, emotion, intensity, emotion_audio, duration_s, seed, accent, instruction)


def _wanted(
    text: str, emotion: Emotion, intensity: float | None, emotion_audio: Source | None, instruction: str | None
) -> EmotionRequest:
    """The emotion that is asked for, checked. Raises InputError."""
    ways = {"emotion": emotion, "emotion_audio": emotion_audio, "instruction": instruction}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1:
        raise InputError(
            f"an emotion is given in {len(given)} ways",
            field="emotion",
            value=emotion if emotion is not None else instruction,
            remedy=f"Give {' or '.join(given)}, not {'both' if len(given) == 2 else 'all'}.",
        )
    if emotion_audio is not None:
        factor = names.check_intensity(intensity, default=names.GIVEN_INTENSITY)
        return EmotionRequest(recording=emotion_audio, intensity=factor)
    if instruction is not None or (isinstance(emotion, str) and emotion.strip().casefold() == AUTO):
        if instruction is not None and (not isinstance(instruction, str) or not instruction.strip()):
            raise InputError("the instruction is empty", field="instruction", value=instruction,
                             remedy="Say the emotion in words, or leave it out.")  # fmt: skip
        factor = names.check_intensity(intensity, default=names.NAMED_INTENSITY)
        return EmotionRequest(words=text if instruction is None else instruction, intensity=factor)
    return EmotionRequest(names.parse(emotion, intensity))


def _check_seed(seed: object) -> int:
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) <= LARGEST_SEED:
        raise InputError("the seed must be a whole number in 0..2**63-1", field="seed", value=seed)
    return int(seed)
