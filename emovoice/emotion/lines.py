"""The emotion of a line from the line itself, its neighbours, and what the speaker felt before.

Context-aware reading follows the text-emotion literature (Emo Pillars, arXiv 2504.16856: labels depend on the lines
around; LEIA, arXiv 2304.10973: labels of those who wrote the lines; soft labels: all votes kept). With z(x) the logits
that the small model gives a text, the line x_0, earlier lines x_-1, x_-2, ... and later ones x_1, ...:

    z = z(x_0) + g (sum_{k>=1} lambda rho^(k-1) z(x_-k) + mu z(x_1)),   g = max(g_min, 1 - n / n_0)

n is the number of words of the line: "Fine." means what the scene means, a long line speaks for itself. lambda, rho
and n_0 were chosen on the exchanges of the validation split, mu by hand.

What the speaker felt is a prior over emotions in valence-arousal-dominance space, in which a character has a resting
place b (zero, or from the big five) and leaves a state v only slowly:

    v' = kappa v + (1 - kappa) b,      p(e | line, before) ~ p(e | line) exp(-s |p_e - v'|^2 / 2 w^2)

p_e is the place of emotion e in data/taxonomy.json. kappa = 0.6 (+ 0.3 neuroticism: bad states last), w = 0.8, and s is
the strength, 1 by default; more for short lines by the same g. The resting place of a character is Mehrabian's
regression of temperament on the big five (Mehrabian 1996, as used by ALMA, Gebhard 2005), with S = -neuroticism:

    valence   = 0.21 E + 0.59 A + 0.19 S
    arousal   = 0.15 O + 0.30 A - 0.57 S
    dominance = 0.25 O + 0.17 C + 0.60 E - 0.32 A

An emotion that the line denies in so many words ("I'm not scared of you") gets no share.

All functions are pure but for the loading of the one small model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING

from emovoice.emotion import cues, taxonomy
from emovoice.emotion.instructions import Moment, Understanding, check_text, reasons_of, summed_up
from emovoice.emotion.names import EMOTIONS
from emovoice.emotion.taxonomy import VAD
from emovoice.errors import InputError

if TYPE_CHECKING:
    from emovoice.emotion.encoder import Evidence

MOST_CONTEXT = 8
"""Lines before and after that are looked at."""

BEFORE = 2.5  # lambda
FADING = 0.6  # rho
AFTER = 0.3  # mu
ALONE_WORDS = 5  # n_0
LEAST_CONTEXT = 0.05  # g_min

_LINGER = 0.6  # kappa
_NEUROTIC_LINGER = 0.3
_WIDTH = 0.8  # w


@dataclass(frozen=True)
class Personality:
    """The big five of a character, each -1 (low) .. 1 (high), 0 the average person.

    Raises:
        InputError: a trait that is not a number in -1..1.
    """

    openness: float = 0.0
    conscientiousness: float = 0.0
    extraversion: float = 0.0
    agreeableness: float = 0.0
    neuroticism: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or not -1 <= value <= 1:
                raise InputError(
                    "a trait must be a number in -1..1",
                    field=field.name,
                    value=value,
                    remedy="0 is the average person.",
                )

    @property
    def rest(self) -> VAD:
        """Where the character comes to rest (Mehrabian 1996)."""
        o, c, e, a, s = (
            self.openness,
            self.conscientiousness,
            self.extraversion,
            self.agreeableness,
            -self.neuroticism,
        )
        valence = 0.21 * e + 0.59 * a + 0.19 * s
        arousal = 0.15 * o + 0.30 * a - 0.57 * s
        dominance = 0.25 * o + 0.17 * c + 0.60 * e - 0.32 * a
        return VAD(*(max(-1.0, min(1.0, value)) for value in (valence, arousal, dominance)))

    @property
    def lingering(self) -> float:
        """kappa, 0.3..0.9: how much of a state is left at the next line."""
        return _LINGER + _NEUROTIC_LINGER * self.neuroticism


AVERAGE = Personality()


def understand_line(
    text: str,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    previous: Mapping[str, float] | VAD | None = None,
    personality: Personality = AVERAGE,
) -> Understanding:
    """The emotion of a line of dialogue or narration.

    Args:
        text: the line.
        before: what was said before it, in order, by anybody; the last eight lines count.
        after: what is said after it; the first line counts.
        previous: what the speaker felt when last speaking: weights over the eight by name (such as
            `Understanding.emotion`) or a place in valence, arousal and dominance. None for nothing known.
        personality: the speaker's.

    Returns:
        Like `understand`; pace and loudness are 1 and 0 dB.

    Raises:
        InputError: an empty or overlong line, a place out of range.
        ModelError: the model that comes with emovoice is missing.
    """
    line = _read(check_text(text, "line"))
    gate = context_gate(len(text.split()))
    earlier = [_read(each) for each in before[-MOST_CONTEXT:] if _has_words(each)]
    later = [_read(each) for each in after[:1] if _has_words(each)]
    logits = in_context(
        _listed(line), [_listed(each) for each in reversed(earlier)], [_listed(each) for each in later], gate
    )
    intensity = line.intensity
    if earlier:
        intensity += 0.5 * gate * (max(intensity, earlier[-1].intensity) - intensity)
    shares = softmax(logits)
    if previous is not None or personality != AVERAGE:
        place = previous if isinstance(previous, tuple) else taxonomy.vad_of(previous or {})
        shares = after_state(shares, expected(taxonomy.checked(place), personality), 0.5 + gate)
    shares = _without(shares, cues.negated(text))
    moment = Moment(text, dict(zip(EMOTIONS, shares, strict=True)), intensity, 1.0, 0.0, False)
    return summed_up(text, [moment], reasons_of(line), line.unknown, len(text.split()))


def understand_lines(
    lines: Sequence[str],
    speakers: Sequence[str] | None = None,
    personalities: Mapping[str, Personality] | None = None,
) -> list[Understanding]:
    """A whole dialogue: each line in its context, after what its speaker felt before.

    Args:
        lines: in order.
        speakers: who says each; None if one person says all.
        personalities: by speaker; the average person for others.

    Raises:
        InputError: as `understand_line`; as many speakers as lines are needed.
    """
    who = [""] * len(lines) if speakers is None else list(speakers)
    if len(who) != len(lines):
        raise InputError(f"{len(lines)} lines need as many speakers", field="speakers", value=len(who))
    felt: dict[str, VAD] = {}
    found = []
    for index, line in enumerate(lines):
        person = (personalities or {}).get(who[index], AVERAGE)
        answer = understand_line(line, lines[:index], lines[index + 1 :], felt.get(who[index]), person)
        felt[who[index]] = answer.vad
        found.append(answer)
    return found


def context_gate(words: int) -> float:
    """g: how much a line of some words leans on its context, `LEAST_CONTEXT`..1."""
    return max(LEAST_CONTEXT, 1 - words / ALONE_WORDS)


def in_context(
    line: Sequence[float], before: Sequence[Sequence[float]], after: Sequence[Sequence[float]], gate: float
) -> list[float]:
    """Logits of a line among its neighbours, nearest first; see the module's formula."""
    terms = [(1.0, line)]
    terms += [(gate * BEFORE * FADING**k, each) for k, each in enumerate(before)]
    terms += [(gate * AFTER, each) for each in after]
    return [math.fsum(weight * each[index] for weight, each in terms) for index in range(len(line))]


def expected(state: VAD, personality: Personality = AVERAGE) -> VAD:
    """v': where a speaker who was in `state` is expected by the next line."""
    kappa, rest = personality.lingering, personality.rest
    return VAD(*(kappa * v + (1 - kappa) * b for v, b in zip(state, rest, strict=True)))


def after_state(shares: Sequence[float], state: VAD, strength: float = 1.0) -> list[float]:
    """Shares of the line times the prior of the state, normalised."""
    places = taxonomy.places()
    squares = [math.dist(places[name], state) ** 2 for name in EMOTIONS]
    least = min(squares)
    joint = [
        share * math.exp(-strength * (square - least) / (2 * _WIDTH**2))
        for share, square in zip(shares, squares, strict=True)
    ]
    total = math.fsum(joint)
    return [value / total for value in joint]


def _without(shares: Sequence[float], negated: Sequence[str]) -> list[float]:
    """The shares without those that the line denies ("I'm not scared"), unless nothing else is left."""
    kept = [0.0 if name in negated else share for name, share in zip(EMOTIONS, shares, strict=True)]
    total = math.fsum(kept)
    return [share / total for share in kept] if total > 1e-3 else list(shares)


def softmax(logits: Sequence[float]) -> list[float]:
    """Shares that add up to 1."""
    top = max(logits)
    exps = [math.exp(value - top) for value in logits]
    total = math.fsum(exps)
    return [value / total for value in exps]


@lru_cache(maxsize=1024)
def _read(text: str) -> Evidence:
    from emovoice.emotion.encoder import shared_encoder

    return shared_encoder().read(text, "line")


def _has_words(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _listed(evidence: Evidence) -> list[float]:
    values: list[float] = evidence.logits.tolist()
    return values
