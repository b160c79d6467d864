"""An instruction in plain words, understood: emotion, intensity, pace, loudness, and why.

    found = understand("furious, but keeping it down")
    found.weights["angry"], found.intensity, found.loudness_db, found.relied_on

Three steps, each of which can be shown: `cues` cuts the instruction into stages and parts and takes out the small words
(not, slightly, whispering); the small model of `encoder` reads what is left of each part; the parts are joined:

    shares = sum_i w_i q_i         w_i the share of part i, 1/n each unless one is "with a hint of"
    intensity = (max_i a_i + sum_i w_i a_i) / 2,   a_i = d_i g_i

q_i and g_i are the model's shares and intensity, d_i the product of the degrees ("slightly" 0.55). A negated emotion's
share becomes 0. The same instruction gives the same answer every time; no network, no clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from emovoice.emotion import cues, taxonomy
from emovoice.emotion.curve import EmotionCurve, Keyframe
from emovoice.emotion.names import EMOTIONS
from emovoice.errors import InputError

if TYPE_CHECKING:
    from emovoice.emotion.encoder import Evidence, TextEncoder

LONGEST_CHARS = 2000
"""An instruction is a note, not a script."""

FOUND_ABOVE = 1 / len(EMOTIONS)
"""A share above it says that an emotion is there (Chou et al., threshold 1 / C)."""

_MOST_REASONS = 8
_LEAST_PART = 0.12
_RISE = 0.2
_RISING = ("build", "rising", "rises", "growing", "grows", "escalat", "more and more", "mounting", "crescendo")


@dataclass(frozen=True)
class Reason:
    """Words that were relied on, what for, and how much: for the model's words the logits that they added."""

    words: str
    effect: str
    amount: float


@dataclass(frozen=True)
class Moment:
    """One stage of what was understood; see `Understanding` for the fields."""

    text: str
    weights: Mapping[str, float]
    intensity: float
    rate: float
    loudness_db: float
    whisper: bool


@dataclass(frozen=True)
class Understanding:
    """What an instruction, or a line, asks for.

    Attributes:
        text: as it was given.
        weights: share of each of the eight emotions, by name; they add up to 1.
        intensity: 0 (neutral) .. 1.
        rate: factor on the pace that words such as "slowly" ask for, 1 if nothing does.
        loudness_db: level beside the usual that words such as "quietly" ask for, 0 if nothing does.
        whisper: whether it shall be whispered.
        confidence: 0..1, how much of the answer lies in emotions that are clearly there, less what was not understood.
        relied_on: the words that mattered most, best first, and the small words with what they did.
        not_understood: words that the model does not know; they had no reliable influence.
        moments: the stages, one unless the instruction is a sequence.
        by: "words" for the embedded model, "llm" for a large one.
    """

    text: str
    weights: Mapping[str, float]
    intensity: float
    rate: float
    loudness_db: float
    whisper: bool
    confidence: float
    relied_on: tuple[Reason, ...]
    not_understood: tuple[str, ...]
    moments: tuple[Moment, ...]
    by: str = "words"

    @property
    def emotion(self) -> dict[str, float]:
        """Shares times intensity, by name: what `emovoice.synthesize(emotion=...)` takes."""
        return {name: share * self.intensity for name, share in self.weights.items()}

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions that are there, strongest first: shares above 1/8."""
        ranked = sorted(self.weights.items(), key=lambda row: -row[1])
        return tuple(name for name, share in ranked if share > FOUND_ABOVE)

    @property
    def curve(self) -> EmotionCurve:
        """Keyframes from the first stage at 0 to the last at 1."""
        last = max(1, len(self.moments) - 1)
        frames = (Keyframe(i / last, moment.weights, moment.intensity) for i, moment in enumerate(self.moments))
        return EmotionCurve(tuple(frames))

    @property
    def vad(self) -> taxonomy.VAD:
        """Valence, arousal and dominance, each -1..1."""
        return taxonomy.vad_of(self.emotion)

    def as_dict(self) -> dict[str, Any]:
        """All of it in basic types, for JSON."""
        return {
            "text": self.text,
            "weights": {name: round(share, 4) for name, share in self.weights.items()},
            "intensity": round(self.intensity, 4),
            "rate": round(self.rate, 3),
            "loudness_db": round(self.loudness_db, 2),
            "whisper": self.whisper,
            "confidence": round(self.confidence, 4),
            "vad": {name: round(value, 3) for name, value in zip(taxonomy.VAD_NAMES, self.vad, strict=True)},
            "relied_on": [
                {"words": why.words, "effect": why.effect, "amount": round(why.amount, 3)} for why in self.relied_on
            ],
            "not_understood": list(self.not_understood),
            "moments": [
                {
                    "text": moment.text,
                    "weights": {name: round(share, 4) for name, share in moment.weights.items()},
                    "intensity": round(moment.intensity, 4),
                    "rate": round(moment.rate, 3),
                    "loudness_db": round(moment.loudness_db, 2),
                    "whisper": moment.whisper,
                }
                for moment in self.moments
            ],
            "by": self.by,
        }


def understand(instruction: str) -> Understanding:
    """What an instruction such as "starts calm, ends shouting" asks for.

    Args:
        instruction: English, at most 2,000 characters: adjectives, a scene, a stage direction, ...

    Returns:
        Emotion, intensity, pace and loudness, with the words that were relied on.

    Raises:
        InputError: no text, an empty or an overlong one.
        ModelError: the model that comes with emovoice is missing.
    """
    found = _understood(check_text(instruction, "instruction"))
    # Copies, so that nobody changes the answer that is kept for the next who asks.
    moments = tuple(replace(moment, weights=dict(moment.weights)) for moment in found.moments)
    return replace(found, weights=dict(found.weights), moments=moments)


def check_text(text: object, field: str) -> str:
    """`text` if it is a string with something in it and not too long. Raises InputError."""
    if not isinstance(text, str):
        raise InputError(f"the {field} must be a string", field=field, value=text)
    if not any(character.isalnum() for character in text):
        raise InputError(
            f"the {field} has no words", field=field, value=text, remedy="Write for example 'quietly sad'."
        )
    if len(text) > LONGEST_CHARS:
        raise InputError(
            f"the {field} is longer than {LONGEST_CHARS:,} characters",
            field="length",
            value=len(text),
            remedy="Say it shorter.",
        )
    return text


def summed_up(
    text: str,
    moments: Sequence[Moment],
    reasons: Sequence[Reason],
    unknown: Sequence[str],
    words: int,
    by: str = "words",
) -> Understanding:
    """One answer out of stages: the mean of shares weighted by intensity, of intensities, rates and levels."""
    weight = [moment.intensity + 0.05 for moment in moments]
    shares = {
        name: math.fsum(w * m.weights[name] for w, m in zip(weight, moments, strict=True)) / math.fsum(weight)
        for name in EMOTIONS
    }
    clear = math.fsum(share for share in shares.values() if share > FOUND_ABOVE)
    known = 1 - min(1.0, len(unknown) / max(1, words))
    return Understanding(
        text=text,
        weights=shares,
        intensity=math.fsum(moment.intensity for moment in moments) / len(moments),
        rate=math.fsum(moment.rate for moment in moments) / len(moments),
        loudness_db=math.fsum(moment.loudness_db for moment in moments) / len(moments),
        whisper=all(moment.whisper for moment in moments),
        confidence=clear * known,
        relied_on=tuple(reasons),
        not_understood=tuple(dict.fromkeys(unknown)),
        moments=tuple(moments),
        by=by,
    )


def reasons_of(evidence: Evidence) -> list[Reason]:
    """What each word of a text added to the emotion it speaks for most; punctuation is left out."""
    found = []
    for word, row in zip(evidence.words, evidence.parts, strict=True):
        best = int(row.argmax())
        if any(character.isalnum() for character in word) and row[best] >= _LEAST_PART:
            found.append(Reason(word, EMOTIONS[best], float(row[best])))
    return sorted(found, key=lambda reason: -reason.amount)


@lru_cache(maxsize=512)
def _understood(text: str) -> Understanding:
    from emovoice.emotion.encoder import shared_encoder

    encoder = shared_encoder()
    emphasis, shouted = cues.emphasis(text)
    reasons: list[Reason] = []
    small: list[Reason] = [Reason(found.words, found.effect, 1.0) for found in shouted]
    unknown: list[str] = []
    moments = []
    for stage in cues.stages(text):
        moment = _moment(stage, encoder, emphasis, reasons, unknown)
        if moment is not None:
            moments.append(moment)
        small += [Reason(found.words, found.effect, 1.0) for part in stage.parts for found in part.found]
    if not moments:
        moments = [_plain(text)]
    if len(moments) > 1 and any(sign in text.lower() for sign in _RISING):
        moments[-1] = _raised(moments[-1], min(1.0, moments[0].intensity + _RISE))
    best = sorted(reasons, key=lambda reason: -reason.amount)[:_MOST_REASONS]
    return summed_up(text, moments, [*best, *dict.fromkeys(small)], unknown, len(text.split()))


def _moment(
    stage: cues.Stage, encoder: TextEncoder, emphasis: float, reasons: list[Reason], unknown: list[str]
) -> Moment | None:
    """One stage; None where nothing in it speaks of a feeling or a style."""
    felt: list[tuple[float, dict[str, float], float]] = []
    negated: list[str] = []
    for part in stage.parts:
        negated += part.negated
        if not part.text:
            continue
        evidence = encoder.read(part.text, "instruction")
        shares = dict(zip(EMOTIONS, (float(share) for share in evidence.shares), strict=True))
        felt.append((part.share, shares, min(1.0, evidence.intensity * part.degree * emphasis)))
        reasons += reasons_of(evidence)
        unknown += [word for word in evidence.unknown if not cues.is_taught(word)]
    style = cues.joined_style([part.style for part in stage.parts])
    if not felt:
        if not negated:
            styled = style != cues.Style()
            return _styled(_plain(stage.text), style) if styled else None
        shares, intensity = cues.opposite(negated)
        return Moment(stage.text, shares, intensity, *style)
    shares, intensity = _joined(felt)
    return Moment(stage.text, _without(shares, negated), intensity, *style)


def _joined(felt: Sequence[tuple[float, Mapping[str, float], float]]) -> tuple[dict[str, float], float]:
    whole = math.fsum(share for share, _, _ in felt)
    shares = {name: math.fsum(share * each[name] for share, each, _ in felt) / whole for name in EMOTIONS}
    mean = math.fsum(share * intensity for share, _, intensity in felt) / whole
    return shares, (mean + max(intensity for _, _, intensity in felt)) / 2


def _without(shares: dict[str, float], negated: Sequence[str]) -> dict[str, float]:
    """The shares with the negated emotions at 0; if that leaves next to nothing, what not feeling them amounts to."""
    kept = {name: 0.0 if name in negated else share for name, share in shares.items()}
    total = math.fsum(kept.values())
    if total < FOUND_ABOVE:
        return cues.opposite(negated)[0]
    return {name: share / total for name, share in kept.items()}


def _plain(text: str) -> Moment:
    """Nothing is felt: all calm, hardly any intensity."""
    return Moment(text, {name: float(name == "calm") for name in EMOTIONS}, 0.1, 1.0, 0.0, False)


def _styled(moment: Moment, style: cues.Style) -> Moment:
    return replace(moment, rate=style.rate, loudness_db=style.loudness_db, whisper=style.whisper)


def _raised(moment: Moment, least: float) -> Moment:
    return replace(moment, intensity=max(moment.intensity, least))
