"""Which emotion, and how much of it: names, aliases and eight weights.

The eight emotions and their order are IndexTTS-2's. Names of other vocabularies and valence-arousal-dominance are
looked up in `emovoice.emotion.taxonomy`. Pure functions: no torch, no numpy.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from emovoice.emotion import taxonomy
from emovoice.errors import InputError

EMOTIONS = ("happy", "angry", "sad", "afraid", "disgusted", "melancholic", "surprised", "calm")
"""The order of the eight weights."""

NEUTRAL = (0.0,) * len(EMOTIONS)

ALIASES = {
    "neutral": "neutral", "none": "neutral", "normal": "neutral", "plain": "neutral",
    "happiness": "happy", "joy": "happy", "joyful": "happy", "cheerful": "happy", "glad": "happy",
    "anger": "angry", "rage": "angry", "furious": "angry", "mad": "angry",
    "sadness": "sad", "sorrow": "sad", "sorrowful": "sad", "grief": "sad", "unhappy": "sad",
    "fear": "afraid", "fearful": "afraid", "scared": "afraid", "frightened": "afraid", "terrified": "afraid",
    "disgust": "disgusted",
    "melancholy": "melancholic", "gloomy": "melancholic", "wistful": "melancholic",
    "surprise": "surprised", "amazed": "surprised", "astonished": "surprised",
    "calmness": "calm", "serene": "calm", "relaxed": "calm", "peaceful": "calm",
}  # fmt: skip
"""Common names and what they mean here; "neutral" stands for eight zeros."""

NAMED_INTENSITY = 0.7
"""Intensity of an emotion given by name when none is asked for: clearly heard, not played to the gallery."""

GIVEN_INTENSITY = 1.0
"""Intensity of weights or of a recording when none is asked for: as given."""

# Eight float32 shares that add up to one may exceed it in the last digits.
_SUM_SLACK = 1e-6

_NAMES_REMEDY = f"Use one of {', '.join(EMOTIONS)} or neutral, or a name of EmoNet-Voice's 40 or GoEmotions' 28"
_WEIGHTS_REMEDY = (
    f"Give eight numbers in the order {', '.join(EMOTIONS)}, three (valence, arousal, dominance), or a name such as "
    "'angry'."
)


def parse(
    emotion: str | Sequence[float] | Mapping[str, float] | Any | None = None, intensity: float | None = None
) -> tuple[float, ...]:
    """Eight weights for an emotion given in any of the accepted ways.

    Args:
        emotion: a name or alias in any case ("angry", "Anger"), also one of EmoNet-Voice's 40 or GoEmotions' 28
            ("awe", "Bitterness"), which may be shared among several; eight numbers as list, tuple, array or text
            ("0.1,0,0,0.4,0,0,0,0"); three numbers -1..1, valence, arousal and dominance, as list, tuple, array, text or
            mapping ({"valence": 0.6, "arousal": -0.2, "dominance": 0}); a mapping from names to weights
            ({"sad": 0.5, "calm": 0.2}); None or "neutral" for none.
        intensity: 0..1; what the weights are multiplied by. None means 0.7 for a name and 1.0 for weights; a place in
            valence, arousal and dominance has its own strength, which is then multiplied.

    Returns:
        Eight weights in the order of `EMOTIONS`, each in 0..1, together at most 1. Neutral is eight zeros.

    Raises:
        InputError: unknown name, neither eight nor three numbers, a number out of range or not finite, a sum above 1.
    """
    if emotion is None:
        check_intensity(intensity, default=NAMED_INTENSITY)
        return NEUTRAL
    if isinstance(emotion, str) and not _looks_like_numbers(emotion):
        return _scaled(_ordered(shares_of(emotion)), check_intensity(intensity, default=NAMED_INTENSITY))
    factor = check_intensity(intensity, default=GIVEN_INTENSITY)
    if isinstance(emotion, Mapping):
        vad = _vad_of_mapping(emotion)
        return _scaled(_from_mapping(emotion) if vad is None else _from_vad(vad), factor)
    return _scaled(_from_numbers(emotion), factor)


def check_intensity(intensity: float | None, *, default: float) -> float:
    """`intensity` as a float in 0..1, or `default` for None. Raises InputError for anything else."""
    if intensity is None:
        return default
    return _in_unit_range(
        intensity, field="intensity", remedy="Give a number from 0 (none) to 1 (full), or leave it out."
    )


def canonical(name: str) -> str:
    """The emotion a name or alias stands for: one of `EMOTIONS` or "neutral". InputError if unknown."""
    key = name.strip().casefold()
    if key in EMOTIONS:
        return key
    if key in ALIASES:
        return ALIASES[key]
    close = difflib.get_close_matches(key, [*EMOTIONS, *ALIASES, *taxonomy.entries()], n=1)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    raise InputError("unknown emotion", field="emotion", value=name, remedy=f"{hint}{_NAMES_REMEDY}.")


def shares_of(name: str) -> Mapping[str, float]:
    """Shares over the eight for any name, adding up to 1, or empty for neutral. InputError if unknown."""
    key = " ".join(name.split()).casefold()
    found = None if key in EMOTIONS or key in ALIASES else taxonomy.shares_of(key)
    if found is not None:
        return found
    one = canonical(name)
    return {} if one == "neutral" else {one: 1.0}


def is_known(name: str) -> bool:
    """Whether `name` is one of the eight, an alias, or a name of another vocabulary."""
    key = " ".join(name.split()).casefold()
    return key in EMOTIONS or key in ALIASES or key in taxonomy.entries()


def named(weights: Sequence[float]) -> dict[str, float]:
    """The weights that are not zero, by name: what to show to people and to write in reports."""
    return {name: round(weight, 6) for name, weight in zip(EMOTIONS, weights, strict=True) if weight > 0}


def _looks_like_numbers(text: str) -> bool:
    return "," in text or re.match(r"\s*[\[(]?\s*[-+]?\.?\d", text) is not None


def _ordered(shares: Mapping[str, float]) -> tuple[float, ...]:
    return tuple(float(shares.get(emotion, 0.0)) for emotion in EMOTIONS)


def _from_mapping(weights: Mapping[Any, Any]) -> tuple[float, ...]:
    found = dict.fromkeys(EMOTIONS, 0.0)
    seen: set[str] = set()
    total = 0.0
    for name, weight in weights.items():
        if not isinstance(name, str):
            raise InputError("emotion names must be text", field="emotion", value=name, remedy=f"{_NAMES_REMEDY}.")
        shares = shares_of(name)
        meaning = repr(sorted(shares.items()))
        if meaning in seen:
            raise InputError(
                f"'{next(iter(shares), 'neutral')}' is given twice",
                field="emotion",
                value=dict(weights),
                remedy="Give each emotion once.",
            )
        seen.add(meaning)
        number = _in_unit_range(weight, field=f"emotion[{name!r}]", remedy="Give a number from 0 to 1.")
        total += number if shares else 0.0
        for emotion, share in shares.items():
            found[emotion] += share * number
    _checked_sum((total,), weights)
    return _ordered(found)


def _vad_of_mapping(weights: Mapping[Any, Any]) -> tuple[object, ...] | None:
    """The three numbers of {"valence": ..., "arousal": ..., "dominance": ...}; the rest is 0. None if no such."""
    if not weights or not all(name in taxonomy.VAD_NAMES for name in weights):
        return None
    return tuple(weights.get(name, 0.0) for name in taxonomy.VAD_NAMES)


def _from_vad(vad: Sequence[Any]) -> tuple[float, ...]:
    shares, strength = taxonomy.from_vad(vad)
    return _checked_sum(_scaled(_ordered(shares), strength), vad)


def _from_numbers(emotion: Any) -> tuple[float, ...]:
    if isinstance(emotion, str):
        values = _split(emotion)
    elif hasattr(emotion, "tolist"):  # numpy arrays and torch tensors, without importing either
        values = emotion.tolist()
    else:
        values = emotion
    if not isinstance(values, (list, tuple)):
        raise InputError("an emotion cannot be read from this", field="emotion", value=emotion, remedy=_WEIGHTS_REMEDY)
    if len(values) == len(taxonomy.VAD_NAMES):
        return _from_vad(values)
    if len(values) != len(EMOTIONS):
        raise InputError(
            f"an emotion needs eight numbers, or three, not {len(values)}",
            field="emotion",
            value=emotion,
            remedy=_WEIGHTS_REMEDY,
        )
    weights = tuple(
        _in_unit_range(value, field=f"emotion[{index}] ({name})", remedy="Give a number from 0 to 1.")
        for index, (name, value) in enumerate(zip(EMOTIONS, values, strict=True))
    )
    return _checked_sum(weights, emotion)


def _split(text: str) -> list[float]:
    parts = [part for part in re.split(r"[,;\s]+", text.strip().strip("[]()").strip()) if part]
    try:
        return [float(part) for part in parts]
    except ValueError as error:
        raise InputError("these are not numbers", field="emotion", value=text, remedy=_WEIGHTS_REMEDY) from error


def _checked_sum(weights: tuple[float, ...], given: object) -> tuple[float, ...]:
    total = math.fsum(weights)
    if total > 1 + _SUM_SLACK:
        raise InputError(
            f"the weights of an emotion may add up to at most 1, not {total:.3g}",
            field="emotion",
            value=given,
            remedy=f"Divide each by {total:.3g}, or lower some.",
        )
    return weights


def _scaled(weights: tuple[float, ...], factor: float) -> tuple[float, ...]:
    return tuple(weight * factor for weight in weights)


def _in_unit_range(value: object, *, field: str, remedy: str) -> float:
    """`value` as a float in 0..1. Text and truth values are refused: "0,7" and True are slips."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError("a number is needed", field=field, value=value, remedy=remedy)
    number = float(value)
    if not math.isfinite(number) or not 0.0 <= number <= 1.0:
        raise InputError("a number must lie in 0..1", field=field, value=value, remedy=remedy)
    return number
