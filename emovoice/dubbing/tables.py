"""JSON, JSON lines and CSV timelines.

    {"cues": [{"start": 1.5, "end": "00:00:03,250", "text": "Hello.", "character": "ANNA", "emotion": "happy",
               "intensity": 0.6, "instruction": "...", "curve": [[0, "calm", 0.2], [1.5, "angry", 0.9]]}]}

Times are seconds, or text HH:MM:SS.mmm, or whole milliseconds in `start_ms` and `end_ms`. WhisperX's `segments` with
`speaker` are read as well. CSV has the same names as columns.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from emovoice.dubbing.cues import Cue, Remark, as_curve, as_emotion, as_intensity, curve_text
from emovoice.dubbing.entries import Entry
from emovoice.dubbing.subtitles import milliseconds
from emovoice.errors import InputError

ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
COLUMNS = ("start_ms", "end_ms", "character", "text", "emotion", "intensity", "instruction", "curve")

_SAME = {"speaker": "character", "actor": "character", "name": "character", "line": "text", "start_s": "start",
         "end_s": "end", "start_time": "start", "end_time": "end"}  # fmt: skip
_KNOWN = {*COLUMNS, "start", "end"}


def read(text: str, ending: str) -> tuple[list[Entry], list[Remark]]:
    """Entries of a table and what was remarkable. Raises InputError naming the row."""
    rows = _rows_of_csv(text, ending) if ending in (".csv", ".tsv") else _rows_of_json(text, ending)
    unknown: dict[str, None] = {}
    entries = [_entry(number, row, unknown) for number, row in enumerate(rows, 1)]
    remarks = [Remark("unknown-fields", f"fields that mean nothing here: {', '.join(unknown)}")] if unknown else []
    return entries, remarks


def write(cues: Iterable[Cue], ending: str) -> str:
    """Cues as the text of a table; `read` gives the same cues."""
    rows = [row(cue) for cue in cues]
    if ending in (".csv", ".tsv"):
        out = io.StringIO()
        table = csv.DictWriter(out, COLUMNS, delimiter="\t" if ending == ".tsv" else ",", lineterminator="\n")
        table.writeheader()
        table.writerows({**row, "curve": curve_text(as_curve(row.get("curve")))} for row in rows)
        return out.getvalue()
    if ending == ".json":
        return json.dumps({"cues": rows}, ensure_ascii=False, indent=1) + "\n"
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def row(cue: Cue) -> dict[str, Any]:
    """A cue as plain data, without what was not given."""
    given = {"start_ms": cue.start_ms, "end_ms": cue.end_ms, "character": cue.character, "text": cue.text,
             "emotion": cue.emotion, "intensity": cue.intensity, "instruction": cue.instruction,
             "curve": [[key.at_s, key.emotion, key.intensity] for key in cue.curve]}
    return {name: value for name, value in given.items() if value not in (None, "", []) or name == "text"}


def fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `Cue` from plain data; raises InputError for a value that cannot be used."""
    readers = {"character": _text, "emotion": as_emotion, "intensity": as_intensity, "instruction": _text,
               "curve": as_curve, "text": _text}
    return {name: read(row[name]) for name, read in readers.items() if row.get(name) not in (None, "")}


def _entry(number: int, row: Any, unknown: dict[str, None]) -> Entry:
    if not isinstance(row, Mapping):
        raise InputError(f"cue {number} is no object", field="cue", value=row, remedy='Write {"start": ..., ...}.')
    named = {_SAME.get(str(key).strip().casefold(), str(key).strip().casefold()): value for key, value in row.items()
             if key is not None}
    unknown.update(dict.fromkeys(sorted(set(named) - _KNOWN)))
    try:
        start_ms, end_ms = (_time(named, name) for name in ("start", "end"))
        return Entry(start_ms, end_ms, **{"text": "", **fields(named)})
    except InputError as error:
        raise InputError(f"cue {number}: {error.what}", field=error.field, value=error.value,
                         remedy=error.remedy) from error


def _time(row: Mapping[str, Any], name: str) -> int:
    """Milliseconds of `start` or `end`."""
    value, is_ms = row.get(name), False
    if value in (None, ""):
        value, is_ms = row.get(f"{name}_ms"), True
    try:
        if isinstance(value, str) and ":" in value:
            return milliseconds(value)
        if isinstance(value, bool) or value is None:
            raise ValueError
        number = float(value) * (1 if is_ms else 1000)
        if not math.isfinite(number):
            raise ValueError
        return round(number)
    except (TypeError, ValueError) as error:
        raise InputError(f"the {name} is no time", field=name, value=value,
                         remedy="Give seconds, HH:MM:SS.mmm, or whole milliseconds in start_ms and end_ms.") from error


def _text(value: Any) -> str:
    if not isinstance(value, (str, int, float)):
        raise InputError("text is needed", field="text", value=value)
    return str(value).strip()


def _rows_of_csv(text: str, ending: str) -> list[Any]:
    delimiter = "\t" if ending == ".tsv" else max(",;\t", key=text.split("\n", 1)[0].count)
    try:
        return [row for row in csv.DictReader(io.StringIO(text), delimiter=delimiter, restkey=None)
                if any(value for value in row.values())]
    except csv.Error as error:
        raise InputError(f"this table cannot be read: {error}", field="timeline", value=text[:40]) from error


def _rows_of_json(text: str, ending: str) -> list[Any]:
    try:
        if ending != ".json":
            return [_parsed(line) for line in text.split("\n") if line.strip()]
        found = _parsed(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"this is not JSON: {error}", field="timeline", value=text[:40]) from error
    if isinstance(found, dict):
        found = found.get("cues", found.get("segments"))
    if not isinstance(found, list):
        raise InputError("there is no list of cues", field="timeline", value=text[:40],
                         remedy='Write {"cues": [...]} or a list.')
    return found


def _parsed(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)


def _refuse(constant: str) -> NoReturn:
    raise InputError("JSON has no such number", field="value", value=constant)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InputError("a field is there twice", field="fields", value=[key for key, _ in pairs])
    return found


