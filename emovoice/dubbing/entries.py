"""Entries, as files give them, to a timeline: understood, sorted, and every usual defect remarked. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from emovoice.dubbing import marks
from emovoice.dubbing.cues import Cue, Key, Remark, Timeline
from emovoice.errors import EmovoiceError, InputError

MANY = 10_000
_SHOWN = 5


@dataclass(frozen=True)
class Entry:
    """One timed text before it is understood. Fields as those of `Cue`; those given here win over marks in the text."""

    start_ms: int
    end_ms: int
    text: str
    character: str = ""
    emotion: str | None = None
    intensity: float | None = None
    instruction: str | None = None
    curve: tuple[Key, ...] = ()


def timeline(entries: Sequence[Entry], remarks: Iterable[Remark] = (), *, known: Collection[str] = (),
             name: str = "", offset_ms: int = 0) -> Timeline:
    """The timeline of a file's entries.

    Args:
        known: names of characters, for lines such as "Anna: Hello."; upper case needs none.
        offset_ms: added to all times.

    Raises:
        InputError: no entries, or a mark in a text that cannot be used.
    """
    if not entries:
        raise InputError("the timeline is empty", field="timeline", value=name, remedy="Give at least one cue.")
    known = {*known, *(entry.character for entry in entries if entry.character)}
    cues: list[Cue] = []
    found = list(remarks)
    for number, entry in enumerate(entries, 1):
        cues.extend(_understood(number, entry, known, offset_ms, found))
    ordered = sorted(cues, key=lambda cue: (cue.start_ms, cue.number, cue.part))
    return Timeline(tuple(ordered), tuple([*found, *_defects(cues, ordered)]), name)


def _understood(number: int, entry: Entry, known: Collection[str], offset_ms: int, remarks: list[Remark]) -> list[Cue]:
    """The cue of an entry, or one for each of its speakers."""
    try:
        meaning = marks.understand(entry.text, known)
    except EmovoiceError as error:
        raise InputError(f"cue {number}: {error.what}", field=error.field, value=error.value,
                         remedy=error.remedy) from error
    if meaning.nameless_dialogue:
        remarks.append(Remark("dialogue", "two speakers without names share it; spoken by one", str(number)))
    lines = meaning.lines
    spans = marks.share_ms(entry.start_ms + offset_ms, entry.end_ms + offset_ms, [line.text for line in lines])
    cues = []
    for part, (line, (start_ms, end_ms)) in enumerate(zip(lines, spans, strict=True), 1):
        cues.append(Cue(number, start_ms, end_ms, line.text, line.character or entry.character,
                        entry.emotion or line.emotion, _first(entry.intensity, line.intensity),
                        entry.instruction or line.instruction, entry.curve or line.curve,
                        part if len(lines) > 1 else 0, entry.text, tuple(line.unspoken)))
        if line.unspoken:
            remarks.append(Remark("unspoken", f"not spoken: {' '.join(line.unspoken)}", cues[-1].id))
    return cues


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _defects(cues: Sequence[Cue], ordered: Sequence[Cue]) -> list[Remark]:
    """One remark for each kind of defect."""
    overlaps, latest = [], None
    for cue in ordered:
        if latest is not None and cue.start_ms < latest.end_ms:
            overlaps.append(cue)
        latest = cue if latest is None or cue.end_ms > latest.end_ms else latest
    late = [cue for before, cue in pairwise(cues) if cue.start_ms < before.start_ms]
    repeated = Counter((cue.start_ms, cue.end_ms, cue.text, cue.character) for cue in cues)
    kinds = [
        ("overlap", "begin before an earlier one ends; their slots are cut apart", overlaps),
        ("unsorted", "stood behind later ones; sorted by their start", late),
        ("zero-length", "have no length; they get the time until the next one", [c for c in cues
                                                                               if c.end_ms == c.start_ms]),
        ("backwards", "end before they begin; they get the time until the next one", [c for c in cues
                                                                                      if c.end_ms < c.start_ms]),
        ("negative", "begin before 0; what lies before is lost", [cue for cue in cues if cue.start_ms < 0]),
        ("blank", "have nothing to speak", [cue for cue in cues if not cue.text]),
        ("repeated", "are there more than once", [c for c in cues if repeated[c.start_ms, c.end_ms, c.text,
                                                                             c.character] > 1 and c.text]),
    ]
    remarks = [Remark(kind, f"{_listed(which)} {what}") for kind, what, which in kinds if which]
    if len(cues) >= MANY:
        remarks.append(Remark("many", f"{len(cues):,} cues: this will take long; --dry-run says how long"))
    return remarks


def _listed(cues: Sequence[Cue]) -> str:
    shown = ", ".join(cue.id for cue in cues[:_SHOWN])
    more = f" and {len(cues) - _SHOWN:,} more" if len(cues) > _SHOWN else ""
    return f"cues {shown}{more}" if len(cues) > 1 else f"cue {shown}"
