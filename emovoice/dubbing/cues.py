"""Values of a timeline: cues, the emotion asked for in each, and remarks about what was read. Pure.

A *cue* is one timed line; what is written in its file beside the words that are spoken (names, tags, sounds) has been
taken out and understood.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emovoice.emotion import names
from emovoice.errors import EmovoiceError, InputError

AUTO = "auto"
"""The emotion that is read from the line itself."""


@dataclass(frozen=True)
class Key:
    """A point of an emotion curve: seconds after the cue's start, an emotion's name, its intensity 0..1."""

    at_s: float
    emotion: str
    intensity: float


@dataclass(frozen=True)
class Cue:
    """One timed line of a timeline.

    Attributes:
        number: its place in the file, from 1.
        start_ms, end_ms: its slot.
        text: what is spoken; may be empty.
        character: who speaks; "" when nobody is named.
        emotion: a name, eight numbers "0.1,0,...", "auto", or None.
        intensity: 0..1 or None.
        instruction: the emotion in plain words, or None.
        curve: the emotion over time, instead of `emotion`.
        part: 0, or 1, 2, ... where one cue of the file held several speakers.
        written: the line as it stands in the file.
        unspoken: pieces of it that are not spoken, such as "(sighs)".

    Raises:
        InputError: an unknown emotion, an intensity outside 0..1, a curve that is not in order.
    """

    number: int
    start_ms: int
    end_ms: int
    text: str
    character: str = ""
    emotion: str | None = None
    intensity: float | None = None
    instruction: str | None = None
    curve: tuple[Key, ...] = ()
    part: int = 0
    written: str = field(default="", compare=False)
    unspoken: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        try:
            _check(self)
        except EmovoiceError as error:
            raise InputError(f"cue {self.id}: {error.what}", field=error.field, value=error.value,
                             remedy=error.remedy) from error

    @property
    def id(self) -> str:
        """ "12", or "12.2" for the second speaker of cue 12."""
        return f"{self.number}.{self.part}" if self.part else str(self.number)


@dataclass(frozen=True)
class Remark:
    """What was noticed.

    Attributes:
        kind: one word for programs, such as "overlap".
        message: one clause for people.
        cue: the id of the cue, "" when it is about the whole.
        fault: whether the result is less than it has to be, rather than only worth knowing.
    """

    kind: str
    message: str
    cue: str = ""
    fault: bool = False

    def __str__(self) -> str:
        return f"cue {self.cue}: {self.message}" if self.cue else self.message


@dataclass(frozen=True)
class Timeline:
    """Cues in the order of their start, and what was noticed while they were read."""

    cues: tuple[Cue, ...]
    remarks: tuple[Remark, ...] = field(default=(), compare=False)
    name: str = field(default="", compare=False)

    @property
    def end_ms(self) -> int:
        """Where the last cue ends; 0 for none."""
        return max((max(cue.start_ms, cue.end_ms) for cue in self.cues), default=0)

    @property
    def characters(self) -> tuple[str, ...]:
        """Names in the order of their first line, "" among them if a line has none."""
        return tuple(dict.fromkeys(cue.character for cue in self.cues))


def as_emotion(value: Any) -> str | None:
    """An emotion as any file may give it (a name, a list or text of eight numbers, a mapping) as text."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        text = value.strip()
        if not any(character.isdigit() for character in text):
            return text.casefold()
        value = text
    if isinstance(value, (str, Mapping, Sequence)):
        return ",".join(f"{weight:g}" for weight in names.parse(value))
    raise InputError("an emotion cannot be read from this", field="emotion", value=value)


def as_intensity(value: Any) -> float | None:
    """An intensity as any file may give it; "" and None mean none was given."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InputError("the intensity must be a number", field="intensity", value=value) from error
    return names.check_intensity(number, default=0.0)


def as_curve(value: Any) -> tuple[Key, ...]:
    """A curve from "0 calm 0.2; 1.5 angry 0.9", or from a list of [seconds, emotion, intensity]."""
    if not value:
        return ()
    rows = [row.split() for row in value.split(";") if row.strip()] if isinstance(value, str) else value
    try:
        return tuple(Key(float(at_s), names.canonical(str(emotion)), float(much)) for at_s, emotion, much in rows)
    except (TypeError, ValueError) as error:
        remedy = "Write '0 calm 0.2; 1.5 angry 0.9': seconds, emotion, intensity."
        raise InputError("a curve cannot be read from this", field="curve", value=value, remedy=remedy) from error


def curve_text(curve: Iterable[Key]) -> str:
    """The inverse of `as_curve`."""
    return "; ".join(f"{key.at_s:g} {key.emotion} {key.intensity:g}" for key in curve)


def _check(cue: Cue) -> None:
    if cue.emotion not in (None, AUTO):
        names.parse(cue.emotion)
    names.check_intensity(cue.intensity, default=0.0)
    times = [key.at_s for key in cue.curve]
    if times != sorted(set(times)) or not all(math.isfinite(at_s) and at_s >= 0 for at_s in times):
        raise InputError("the times of a curve must grow from 0", field="curve", value=curve_text(cue.curve))
    for key in cue.curve:
        names.parse(key.emotion, key.intensity)
