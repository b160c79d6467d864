"""The engine: one loaded model, and what users ask of it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from emovoice import delivery, timing
from emovoice.audio import Audio, Source, read_audio
from emovoice.emotion import names
from emovoice.emotion.instructions import understand
from emovoice.emotion.path import is_curve, waypoints
from emovoice.errors import InputError, LengthError
from emovoice.limits import DEFAULT_LIMITS, Limits
from emovoice.models import chosen_model
from emovoice.pipelines import AnySentence, EmotionRequest, load, prefixed
from emovoice.speech import Plan, Speech
from emovoice.voice import DEFAULT_VOICE, ENDING, Accent, Voice, check_accent, looks_like_name, voices

if TYPE_CHECKING:
    from emovoice.conversion.converter import Decoding
    from emovoice.conversion.stream import Conversion
    from emovoice.delivery import Delivery, Instruction
    from emovoice.emotion.curve import EmotionCurve
    from emovoice.indextts.options import Options
    from emovoice.text.tags import Style

Timbre: TypeAlias = "Voice | Source | None"
SteadyEmotion: TypeAlias = "str | Sequence[float] | Mapping[str, float] | np.ndarray | None"
Keyframes: TypeAlias = "Sequence[tuple[float, SteadyEmotion, float | None]]"
Emotion: TypeAlias = "SteadyEmotion | Keyframes | EmotionCurve"

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
        instruction: Instruction = None,
    ) -> Audio:
        """Speak a text.

        Args:
            text: English, at most 20,000 characters (`Limits.text_chars`). It is spoken sentence by sentence. Tags say
                how: [angry:0.8] ... [/angry], [whisper], [pause:0.5s], SSML; see `emovoice.text.tags`.
            timbre: who speaks: a `Voice`, the name of one (see `voices()`), a saved voice, a recording (path,
                samples at 24 kHz, or (samples, rate)), or None for the default voice.
            emotion: a name ("angry", "joy", "awe", ...), eight weights, valence, arousal and dominance, a mapping from
                names to weights, or None for neutral; see `emovoice.emotion.names.parse`. "auto" finds each
                sentence's in the text; see `emovoice.emotion.lines`. Keyframes [(seconds, emotion, intensity), ...] or
                an `EmotionCurve` over the whole give each sentence the mean of its stretch of time.
            intensity: how much of it, 0..1. None means 0.7 for an emotion given by name and 1.0 for weights
                or a recording; what an instruction or "auto" finds is multiplied by it.
            emotion_audio: a recording whose emotion is taken over, instead of `emotion`. An intensity below 1
                lies on the way there from neutral; with a published model that is the voice's own emotion.
            duration_s: how long the speech shall last, seconds; None for as long as it takes.
            seed: 0..2**63-1. The same seed gives the same samples on the same device.
            accent: "us" or "gb"; None for the voice's own. The published models have none.
            instruction: how to speak in plain words, instead of `emotion`: "furious, but keeping it down"; a sequence
                ("starts calm, ends shouting") is spread over the sentences. Or what `emovoice.emotion.understand`
                or `emovoice.emotion.llm` made of one. A published model with its own reader of words uses that.

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
        instruction: Instruction = None,
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
        delivery.check(emotion, instruction, emotion_audio=emotion_audio)
        voice = self.voice(timbre)
        spoken, reading_warnings = delivery.read(text, partial(self.pipeline.read, accent=accent or voice.accent))
        who, voice_warnings = self.pipeline.who(voice)
        length_s = None if duration_s is None else float(duration_s)
        wanted, how, delivery_warnings = self._deliveries(
            text, spoken, who, emotion, intensity, emotion_audio, instruction, length_s
        )
        manners, emotion_warnings = self._manners(who, wanted, how, seed)
        sentences = tuple(sentence for sentence, _ in spoken)
        lengths, gaps, pace_warnings = self._share_out(sentences, who, manners, how, asked)
        warnings = (*voice.warnings, *voice_warnings, *emotion_warnings, *delivery_warnings)
        if accent is not None and not self.pipeline.has_accents:
            warnings += (f"the model '{self.pipeline.name}' has no accents: '{accent}' plays no part",)
        plan = Plan(
            sentences=sentences,
            length_samples=lengths,
            gap_samples=gaps,
            timbre=who,
            emotions=manners,
            gains_db=tuple(each.loudness_db for each in how),
            seed=seed,
            asked_s=length_s,
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
        instruction: Instruction = None,
    ) -> float:
        """How long a text takes by itself, seconds: at a twentieth of the cost of speaking it, or less.

        Arguments and errors are those of `synthesize`.
        """
        self._check_text(text)
        delivery.check(emotion, instruction)
        voice = self.voice(timbre)
        spoken, _ = delivery.read(text, partial(self.pipeline.read, accent=accent or voice.accent))
        who, _ = self.pipeline.who(voice)
        wanted, how, _ = self._deliveries(text, spoken, who, emotion, intensity, instruction=instruction)
        return self._length_s(spoken, who, wanted, how)

    def convert(
        self,
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
    ) -> Audio:
        """Speak a recording again with another emotion; words and, unless another timbre is given, speaker stay.

        Args:
            source: a file of any length up to four hours (`Limits.source_s`), samples at 24 kHz, or (samples, rate).
            emotion: as in `synthesize`; or keyframes [(seconds, emotion, intensity), ...] or an `EmotionCurve` over the
                whole recording. "neutral" takes the emotion out. None keeps it, for another timbre or length alone.
            intensity: how far the way goes from the recording's own emotion (0) to this one (1). None means 0.7 for an
                emotion given by name and 1.0 for weights or a reference.
            reference: a recording whose emotion is taken over, instead of `emotion`; whoever speaks, in any language.
            instruction: the emotion in plain words, instead of `emotion`, as in `synthesize`; a sequence ("starts
                calm, ends shouting") is spread over the recording. What it says of pace and level plays no part.
            timbre: who speaks, as in `synthesize`; None for the speaker of the recording.
            duration_s: how long the result shall last, seconds; None for as long as the recording.
            tempo: whether the emotion may change how fast each sound is spoken. Without `duration_s` the length then
                changes.
            seed: 0..2**63-1.
            decoding: solver, steps and weights; None for the model's own.

        Returns:
            The result at the source's rate, `(N,)` for one channel and `(N, C)` for more, and every way in which it is
            less than what was asked for.

        Raises:
            InputError: an argument is not usable, or there is nothing to do.
            AudioError: a recording cannot be used, or nobody speaks in it.
            ModelError: this model comes without weights for conversion.
            LengthError: it cannot be spoken in `duration_s`.
        """
        conversion = self.convert_stream(
            source, emotion, intensity, reference=reference, instruction=instruction, timbre=timbre,
            duration_s=duration_s, tempo=tempo, seed=seed, decoding=decoding,
        )  # fmt: skip
        return conversion.collect()

    def convert_stream(
        self,
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
    ) -> Conversion:
        """Like `convert`, in chunks as they are made; together they are exactly its samples.

        The source may also be blocks that are still coming, `(n,)` or `(n, C)` at `rate`; their length is not known, so
        that neither `duration_s` nor an `EmotionCurve` can be had. What comes out lags 3 to 8 s behind: a piece is
        converted when it is known where it ends. Memory does not grow with the length.
        """
        start = time.perf_counter()
        from emovoice.conversion import converter, target
        from emovoice.conversion.source import open_source
        from emovoice.conversion.stream import Conversion, Request

        model = self.pipeline.converter()
        how = converter.checked(decoding or converter.Decoding())
        seed = _check_seed(seed)
        timing.asked_samples(duration_s, self.pipeline.sample_rate)
        delivery.check(emotion, instruction, reference=reference)
        if all(given is None for given in (emotion, instruction, reference, timbre, duration_s)):
            raise InputError("there is nothing to do", field="emotion", value=None,
                             remedy="Give an emotion, an instruction, a reference, a timbre or a duration.")
        own = None if timbre is None else np.array(self.voice(timbre).timbre)
        notes: tuple[str, ...] = ()
        if instruction is not None:
            understood = understand(instruction) if isinstance(instruction, str) else instruction
            emotion = understood.curve if len(understood.moments) > 1 else understood.emotion
            notes = delivery.doubts(understood)
        if reference is not None:
            factor = names.check_intensity(intensity, default=names.GIVEN_INTENSITY)
            heard = read_audio(reference, limits=self.limits)
            notes = tuple(f"emotion recording: {warning}" for warning in heard.warnings)
            wanted = target.of_reference(self.pipeline.embed(heard.samples)[1], factor)
        elif emotion is None:
            names.check_intensity(intensity, default=names.GIVEN_INTENSITY)
            wanted = target.unchanged(len(model.space.neutral))
        else:
            waypoints(emotion, intensity, 1.0)  # refused before the recording is gone through
        incoming = open_source(source, rate, self.limits)
        length_s = None if incoming.frames is None else incoming.frames / incoming.rate
        if reference is None and emotion is not None:
            wanted = target.of_path(model.space, waypoints(emotion, intensity, length_s))
        if duration_s is not None:
            _check_stretch(duration_s, length_s)
        incoming.notes += notes
        request = Request(wanted, own, None if duration_s is None else float(duration_s), tempo, seed, how)
        return Conversion(model, incoming, request, spent_s=time.perf_counter() - start)

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

    def _deliveries(
        self,
        text: str,
        spoken: tuple[tuple[AnySentence, Style], ...],
        who: Any,
        emotion: Emotion,
        intensity: float | None,
        emotion_audio: Source | None = None,
        instruction: Instruction = None,
        asked_s: float | None = None,
    ) -> tuple[EmotionRequest, tuple[Delivery, ...], tuple[str, ...]]:
        """What is asked of all sentences that no weights are found for, a delivery for each, and warnings."""
        if is_curve(emotion):
            neutral, _ = delivery.deliveries(spoken, names.NEUTRAL)
            length_s = asked_s or self._length_s(spoken, who, EmotionRequest(), neutral)
            points = waypoints(emotion, intensity, length_s)
            return EmotionRequest(), *delivery.deliveries(spoken, points=points, length_s=length_s)
        auto = delivery.is_auto(emotion)
        if emotion_audio is not None:
            factor = names.check_intensity(intensity, default=names.GIVEN_INTENSITY)
            return EmotionRequest(recording=emotion_audio, intensity=factor), *delivery.deliveries(spoken)
        if self.pipeline.reads_words and (auto or isinstance(instruction, str)):
            factor = names.check_intensity(intensity, default=names.NAMED_INTENSITY)
            words = instruction if isinstance(instruction, str) else text
            return EmotionRequest(words=words, intensity=factor), *delivery.deliveries(spoken)
        plain = instruction is None and not auto
        weights = names.parse(emotion, intensity) if plain else None  # type: ignore[arg-type]
        return EmotionRequest(), *delivery.deliveries(spoken, weights, instruction, auto, intensity)

    def _manners(
        self, who: Any, wanted: EmotionRequest, how: Sequence[Delivery], seed: int
    ) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        """What the model needs to know of each sentence's emotion, equal ones only once, and warnings."""
        made: dict[tuple[float, ...] | None, Any] = {}
        warnings: dict[str, None] = {}
        for each in how:
            if each.weights not in made:
                asked = wanted if each.weights is None else EmotionRequest(each.weights)
                made[each.weights], notes = self.pipeline.how(who, asked, seed, self.limits)
                warnings.update(dict.fromkeys(notes))
        return tuple(made[each.weights] for each in how), tuple(warnings)

    def _length_s(
        self,
        spoken: tuple[tuple[AnySentence, Style], ...],
        who: Any,
        wanted: EmotionRequest,
        how: Sequence[Delivery],
    ) -> float:
        """Seconds that the sentences and the gaps between them take by themselves."""
        manners, _ = self._manners(who, wanted, how, 0)
        rate = self.pipeline.sample_rate
        samples = (len(spoken) - 1) * round(self.pipeline.gap_s * rate)
        for (sentence, _), manner, each in zip(spoken, manners, how, strict=True):
            samples += self._free(sentence, who, manner, each.rate)
        return samples / rate

    def _free(self, sentence: AnySentence, who: Any, manner: Any, pace: float) -> int:
        """Samples that a sentence takes by itself at a pace, its pauses at their length."""
        pauses = self._pauses(sentence)
        return pauses + max(1, round((self.pipeline.estimate_samples(sentence, who, manner) - pauses) / pace))

    def _pauses(self, sentence: AnySentence) -> int:
        return round(sum(seconds for _, seconds in sentence.pauses) * self.pipeline.sample_rate)

    def _share_out(
        self,
        sentences: tuple[AnySentence, ...],
        who: Any,
        manners: Sequence[Any],
        how: Sequence[Delivery],
        asked: int | None,
    ) -> tuple[tuple[int | None, ...], tuple[int, ...], tuple[str, ...]]:
        """Lengths of S sentences and S - 1 gaps in samples, and warnings about the pace."""
        rate = self.pipeline.sample_rate
        gap = round(self.pipeline.gap_s * rate)
        lengths = [
            self._free(sentence, who, manner, each.rate) if asked is not None or each.rate != 1 else None
            for sentence, manner, each in zip(sentences, manners, how, strict=True)
        ]
        if asked is None:
            return tuple(lengths), (gap,) * (len(sentences) - 1), ()
        pauses = [self._pauses(sentence) for sentence in sentences]
        speech = [(length or 1) - pause for length, pause in zip(lengths, pauses, strict=True)]
        # Sentences and gaps in turn, so that gaps shrink and grow with the speech around them.
        parts = [length for free in speech for length in (free, gap)][:-1]
        warnings = timing.check_pace(asked, sum(parts), rate, fixed=sum(pauses))
        shares = timing.allot(asked - sum(pauses), parts)
        shared = (share + pause for share, pause in zip(shares[::2], pauses, strict=True))
        return tuple(shared), tuple(shares[1::2]), warnings


def _check_stretch(duration_s: float, length_s: float | None) -> None:
    """Raises unless a recording of this length can be spoken in `duration_s`."""
    if length_s is None:
        raise InputError("a stream of unknown length cannot be given a length", field="duration_s", value=duration_s,
                         remedy="Give the whole recording.")
    low_s, high_s = length_s / timing.FASTEST, length_s * timing.SLOWEST
    if not low_s <= duration_s <= high_s:
        raise LengthError(
            f"a recording of {length_s:.2f} s cannot be spoken in {duration_s:.3g} s",
            field="duration_s",
            value=duration_s,
            remedy=f"Ask for {math.ceil(low_s * 100) / 100:.2f} to {math.floor(high_s * 100) / 100:.2f} s.",
        )


def _check_seed(seed: object) -> int:
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) <= LARGEST_SEED:
        raise InputError("the seed must be a whole number in 0..2**63-1", field="seed", value=seed)
    return int(seed)
