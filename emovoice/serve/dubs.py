"""A dub on the page: a timeline as a table that can be changed, spoken as a whole or line by line."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from emovoice.serve import parts
from emovoice.serve.failures import ApiError

COLUMNS = ("cue", "start s", "end s", "character", "voice", "emotion", "intensity", "text", "slot s", "got s", "take",
           "remarks")  # fmt: skip
EDITABLE = ("voice", "emotion", "intensity", "text")

_OUTPUT = {True: "dub.mp4", False: "dub.wav"}
_VIDEOS = (".mp4", ".m4v", ".mov", ".mkv")

Progress = Callable[[int, int], None]


@dataclass
class Dub:
    """One timeline being worked on.

    Attributes:
        folder: holds the copies, takes and results; made here.
        timeline, video: files in it; None without a picture.
        report: of the last run, or None.
        picks: the take to use, by number of the cue.
    """

    folder: Path
    timeline: Path
    video: Path | None
    report: dict[str, Any] | None = None
    picks: dict[int, int] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        """The file that is made."""
        if self.video is None:
            return self.folder / _OUTPUT[False]
        return self.folder / f"dub{self.video.suffix.lower()}"

    @property
    def results(self) -> Path:
        """The folder of takes and reports."""
        return self.folder / f"{self.output.name}.dub"


def begin(timeline: str | None, video: str | None, parent: Path) -> tuple[Dub, list[list[Any]]]:
    """A dub of uploaded files, and its table. Raises ApiError (501) where nothing here can dub, or an EmovoiceError."""
    parts.dubbing()
    if not timeline:
        raise ApiError(400, "give a timeline first, such as an .srt file", param="timeline", code="missing_file")
    folder = Path(tempfile.mkdtemp(prefix="dub-", dir=parent))
    kept = shutil.copyfile(timeline, folder / f"timeline{Path(timeline).suffix.lower()}")
    picture = None
    if video:
        ending = Path(video).suffix.lower()
        if ending not in _VIDEOS:
            raise ApiError(400, f"use a video that ends in {', '.join(_VIDEOS)}", param="video", code="invalid_value")
        picture = shutil.copyfile(video, folder / f"picture{ending}")
    dub = Dub(folder, Path(kept), Path(picture) if picture else None)
    found = import_module("emovoice.dubbing.timelines").read(dub.timeline)
    return dub, [_row(cue) for cue in found.cues]


def speak(
    dub: Dub,
    table: Sequence[Sequence[Any]],
    model: str,
    device: str,
    again: int | None = None,
    progress: Progress | None = None,
) -> list[list[Any]]:
    """Speak what has changed, or another take of line `again`; the table with what was met.

    Raises:
        EmovoiceError: see `emovoice.dubbing.job.prepare`.
    """
    parts.dubbing()
    job_module, run_module = (import_module(f"emovoice.dubbing.{name}") for name in ("job", "run"))
    options: dict[str, Any] = {
        "video": str(dub.video) if dub.video else None,
        "cast": cast_of(table),
        "side": side_of(table),
        "model": model,
        "device": device,
        "force": True,
        "workers": 1,
    }
    if again is not None:
        dub.picks[again] = _next_take(dub, again)
        options |= {"only": (again,), "takes": dub.picks[again]}
    options["pick"] = dict(dub.picks)
    job = job_module.prepare(dub.timeline, dub.output, run_module.options_of(**options))
    dub.report = json.loads(json.dumps(run_module.run([job], progress)[0].report, default=str))
    return _met(table, dub.report or {})


def files(dub: Dub) -> list[str]:
    """What can be downloaded: the result, the report, the adjusted subtitles, the edit list."""
    names = ("report.html", "report.json", "subtitles.srt", "takes.edl")
    return [str(path) for path in (dub.output, *(dub.results / name for name in names)) if path.is_file()]


def clip(dub: Dub, number: int) -> str | None:
    """The sound of a line, or None while it has not been spoken."""
    found = sorted((dub.results / "clips").glob(f"{number:05d}[_.]*"))
    return str(found[0]) if found else None


def cast_of(table: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The voices of the table as a cast: each character speaks with the voice of its first line that has one."""
    found: dict[str, str] = {}
    for row in table:
        character, voice = str(_cell(row, "character") or ""), str(_cell(row, "voice") or "")
        if voice:
            found.setdefault(character, voice)
    default = found.pop("", None)
    return {"characters": found, **({"default": default} if default else {})}


def side_of(table: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """What the table says about lines, as a side file."""
    cues: dict[int, dict[str, Any]] = {}
    for row in table:
        fields = {name: _cell(row, name) for name in ("emotion", "text") if _cell(row, name) not in (None, "")}
        intensity = _cell(row, "intensity")
        if intensity not in (None, ""):
            fields["intensity"] = float(intensity)
        if fields:
            cues[int(_cell(row, "cue"))] = fields
    return {"cues": cues}


def _row(cue: Any) -> list[Any]:
    slot_s = round((cue.end_ms - cue.start_ms) / 1000, 3)
    times = [round(cue.start_ms / 1000, 3), round(cue.end_ms / 1000, 3)]
    how = [cue.emotion or "", "" if cue.intensity is None else cue.intensity]
    return [cue.number, *times, cue.character, "", *how, cue.text, slot_s, "", "", ""]


def _cell(row: Sequence[Any], name: str) -> Any:
    return row[COLUMNS.index(name)]


def _met(table: Sequence[Sequence[Any]], report: dict[str, Any]) -> list[list[Any]]:
    """The table with lengths, takes and remarks of a report."""
    by_cue = {str(entry["cue"]).split(".")[0]: entry for entry in report.get("rows", [])}
    rows = []
    for row in table:
        entry = by_cue.get(str(int(_cell(row, "cue"))), {})
        remarks = "; ".join(remark["message"] for remark in entry.get("remarks", []))
        take = f"{entry['take']} of {entry['takes']}" if entry.get("take") is not None else ""
        rows.append([*row[: COLUMNS.index("got s")], entry.get("placed_s") or "", take, remarks])
    return rows


def _next_take(dub: Dub, number: int) -> int:
    rows = (dub.report or {}).get("rows", [])
    takes = [entry.get("takes") or 0 for entry in rows if str(entry["cue"]).split(".")[0] == str(number)]
    return max([*takes, dub.picks.get(number, 0), 1]) + 1
