"""Which emotion a line is spoken with, from all the ways to say so.

A line's own fields win, then what was measured in the original, then the cast's default, then neutral. Words
("instruction", "auto", a personality) are read by `emovoice.emotion`.
"""

from __future__ import annotations

from dataclasses import dataclass

from emovoice.dubbing.cast import Member, emotion_fields
from emovoice.dubbing.cues import AUTO, Cue, Remark
from emovoice.emotion import names
from emovoice.emotion.instructions import understand
from emovoice.emotion.lines import understand_line


@dataclass(frozen=True)
class Direction:
    """How a line is to be spoken: eight weights, where they came from, and what is left out of them."""

    weights: tuple[float, ...]
    source: str
    remarks: tuple[Remark, ...] = ()


def direct(cue: Cue, member: Member, measured: tuple[float, ...] | None = None, before: str = "",
           after: str = "") -> Direction:
    """The direction of a line.

    Args:
        measured: eight weights heard in the original, or None.
        before, after: the neighbouring lines, for emotions that are read from the text.

    Raises:
        InputError: an emotion cannot be used.
    """
    if cue.curve:
        return _flattened(cue)
    own = cue.emotion is not None or cue.instruction is not None
    if measured is not None and not own:
        weights = measured if cue.intensity is None else _at_intensity(measured, cue.intensity)
        return Direction(weights, "original")
    emotion, intensity, instruction = emotion_fields(cue, member)
    source = "line" if own else "cast" if emotion or instruction else "neutral"
    if emotion == AUTO or (emotion is None and instruction is not None):
        words = instruction if emotion != AUTO else None
        return Direction(_from_words(words, cue.text, before, after, intensity), source)
    return Direction(names.parse(emotion, intensity), source)


def _from_words(instruction: str | None, text: str, before: str, after: str, intensity: float | None
                ) -> tuple[float, ...]:
    """Eight weights from an instruction, or from the line and its neighbours."""
    if instruction:
        found = understand(instruction)
    else:
        found = understand_line(text, [before] if before else [], [after] if after else [])
    return names.parse(found.weights, found.intensity if intensity is None else intensity)


def _at_intensity(weights: tuple[float, ...], intensity: float) -> tuple[float, ...]:
    """The same mixture, at an intensity."""
    total = sum(weights)
    return tuple(weight * intensity / total for weight in weights) if total else weights


def _flattened(cue: Cue) -> Direction:
    """A curve as one emotion: the mean over the slot. The model takes one emotion for a line."""
    keys = cue.curve
    end_s = max((cue.end_ms - cue.start_ms) / 1000, keys[-1].at_s)
    rows = [names.parse(key.emotion, key.intensity) for key in keys]
    times = [0.0, *[key.at_s for key in keys], end_s]
    rows = [rows[0], *rows, rows[-1]]
    spans = [(later - at, a, b) for at, later, a, b in zip(times, times[1:], rows, rows[1:], strict=False)]
    whole = sum(span for span, _, _ in spans)
    if whole <= 0:
        return Direction(rows[0], "line")
    weights = tuple(sum(span * (a[i] + b[i]) / 2 for span, a, b in spans) / whole for i in range(len(names.EMOTIONS)))
    remark = Remark("curve", "its curve is spoken as one emotion, the mean over the line", cue.id)
    return Direction(weights, "line", (remark,) if len(keys) > 1 else ())
