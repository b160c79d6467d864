"""Timelines from and to files, and what a side file says about their cues.

To add a format, write a module with `ENDINGS`, `read` and `write`, and name it in `ENDINGS`, `_parsed` and `write`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from emovoice.dubbing import otio, subtitles, tables
from emovoice.dubbing.cues import Cue, Remark, Timeline
from emovoice.dubbing.decoding import read_text
from emovoice.dubbing.entries import Entry, timeline
from emovoice.errors import InputError
from emovoice.writing import check_target, whole_file

ENDINGS = (*subtitles.ENDINGS, *tables.ENDINGS, *otio.ENDINGS)


def read(path: str | os.PathLike[str], *, known: Collection[str] = (), offset_ms: int = 0) -> Timeline:
    """The timeline of a file; defects become remarks.

    Args:
        path: SRT, WebVTT, ASS, SSA and others by their ending, JSON, JSONL, CSV, TSV or OTIO.
        known: names of characters, for lines such as "Anna: Hello."
        offset_ms: added to all times.

    Raises:
        InputError: missing, unknown ending, nothing in it, or a value that cannot be used.
        ModelError: a package that this format needs is not installed.
    """
    source = Path(path)
    ending = source.suffix.lower()
    if ending not in ENDINGS:
        raise InputError("the ending of the timeline is not known", field="timeline", value=str(source),
                         remedy=f"Use one of {', '.join(ENDINGS)}.")
    text, remarks = read_text(source)
    entries, more = _parsed(text, ending)
    return timeline(entries, [*remarks, *more], known=known, name=source.name, offset_ms=offset_ms)


def write(cues: Timeline, path: str | os.PathLike[str], force: bool = False) -> Path:
    """Write a timeline with all its fields; reading it gives the same cues (ASS keeps hundredths of a second).

    Raises:
        OutputError: it exists and `force` is not set, has an ending that is not written, or cannot be written.
    """
    target = check_target(path, force, endings=(".srt", ".vtt", ".ass", ".ssa", *tables.ENDINGS, *otio.ENDINGS))
    ending = target.suffix.lower()
    if ending in tables.ENDINGS:
        text = tables.write(cues.cues, ending)
    else:
        text = otio.write(cues.cues) if ending in otio.ENDINGS else subtitles.write(cues.cues, ending)
    with whole_file(target) as file:
        file.write(text.encode())
    return target


def with_side(found: Timeline, side: Mapping[str, Any]) -> Timeline:
    """A timeline with the fields of a side file: `{"defaults": {...}, "cues": {12: {...}, "40-44": {...}}}`.

    Fields for a cue win over those in the timeline; defaults fill what is not given.

    Raises:
        InputError: an unknown cue, field or value.
    """
    if unknown := set(side) - {"defaults", "cues"}:
        raise InputError("a side file has 'defaults' and 'cues'", field="side", value=sorted(map(str, unknown)))
    defaults = _side_fields(side.get("defaults") or {}, "defaults")
    given: dict[int, dict[str, Any]] = {}
    for which, row in (side.get("cues") or {}).items():
        fields = _side_fields(row, f"cue {which}")
        for number in numbers(str(which)):
            given[number] = {**given.get(number, {}), **fields}
    known = {cue.number for cue in found.cues}
    remarks = [Remark("side", f"the side file speaks of cue {number}, which is not there")
               for number in sorted(set(given) - known)]
    cues = [_with(cue, defaults, given.get(cue.number, {})) for cue in found.cues]
    return Timeline(tuple(cues), (*found.remarks, *remarks), found.name)


def read_yaml(path: str | os.PathLike[str], what: str) -> Mapping[str, Any]:
    """A mapping from a YAML file. Raises InputError."""
    import yaml

    text, _ = read_text(Path(path))
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the {what} is not YAML: {reason}", field=what, value=str(path)) from error
    if not isinstance(found, Mapping):
        raise InputError(f"the {what} holds no names and values", field=what, value=str(path))
    return found


def numbers(text: str) -> tuple[int, ...]:
    """ "12,40-44" as (12, 40, ..., 44). Raises InputError."""
    found: list[int] = []
    for piece in text.split(","):
        first, dash, last = piece.strip().partition("-")
        fine = first.isdigit() and (not dash or last.isdigit())
        if not fine or (dash and int(last) - int(first) not in range(10**6)):
            raise InputError("cues are numbers and ranges", field="cues", value=text, remedy="Write 12,40-44.")
        found.extend(range(int(first), int(last or first) + 1))
    return tuple(dict.fromkeys(found))


def _parsed(text: str, ending: str) -> tuple[list[Entry], list[Remark]]:
    if ending in tables.ENDINGS:
        return tables.read(text, ending)
    return otio.read(text) if ending in otio.ENDINGS else subtitles.read(text, ending)


def _side_fields(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise InputError(f"{where} of the side file has no fields", field="side", value=row)
    allowed = {"text", "character", "emotion", "intensity", "instruction", "curve"}
    if unknown := {str(name) for name in row} - allowed:
        raise InputError(f"{where} of the side file has unknown fields", field="side", value=sorted(unknown),
                         remedy=f"Known are {', '.join(sorted(allowed))}.")
    return tables.fields(row)


def _with(cue: Cue, defaults: dict[str, Any], given: dict[str, Any]) -> Cue:
    missing = {name: value for name, value in defaults.items() if getattr(cue, name) in (None, "", ())}
    if not cue.text:
        missing.pop("text", None)
    return replace(cue, **{**missing, **given})
