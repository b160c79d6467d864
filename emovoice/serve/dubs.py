"""A dub on the page: a timeline as a table that can be changed, spoken as a whole or line by line."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emovoice.dubbing import media, timelines
from emovoice.dubbing.cues import Cue
from emovoice.dubbing.job import folder_of, prepare
from emovoice.dubbing.run import options_of, run
from emovoice.serve.failures import ApiError

COLUMNS = ("play", "cue", "start s", "end s", "character", "voice", "emotion", "intensity", "text", "slot s", "got s",
           "take", "remarks")  # fmt: skip
EDITABLE = ("voice", "emotion", "intensity", "text")

_PLAYABLE = "▶"

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
            return self.folder / "dub.wav"
        return self.folder / f"dub{self.video.suffix.lower()}"

    @property
    def results(self) -> Path:
        """The folder of takes and reports."""
        return folder_of(self.output)

    def forget(self) -> None:
        """Delete all its files."""
        shutil.rmtree(self.folder, ignore_errors=True)


def begin(timeline: str | None, video: str | None, parent: Path) -> tuple[Dub, list[list[Any]]]:
    """A dub of uploaded files, and its table. Raises ApiError, or an EmovoiceError of `timelines.read`."""
    if not timeline:
        raise ApiError(400, "give a timeline first, such as an .srt file", param="timeline", code="missing_file")
    if video and Path(video).suffix.lower() not in media.VIDEO_ENDINGS:
        endings = ", ".join(media.VIDEO_ENDINGS)
        raise ApiError(400, f"use a video that ends in {endings}", param="video", code="invalid_value")
    folder = Path(tempfile.mkdtemp(prefix="dub-", dir=parent))
    kept = _copied(timeline, folder / "timeline")
    dub = Dub(folder, kept, _copied(video, folder / "picture") if video else None)
    try:
        return dub, [_row(cue) for cue in timelines.read(dub.timeline).cues]
    except Exception:
        dub.forget()
        raise


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
    job = prepare(dub.timeline, dub.output, options_of(**options))
    dub.report = json.loads(json.dumps(run([job], progress)[0].report, default=str))
    return _met(dub, table)


def files(dub: Dub) -> list[str]:
    """What can be downloaded: the result, the report, the adjusted subtitles, the edit list."""
    names = ("report.html", "report.json", "subtitles.srt", "takes.edl")
    return [str(path) for path in (dub.output, *(dub.results / name for name in names)) if path.is_file()]


def clip(dub: Dub, number: int) -> str | None:
    """The sound of a line, or None while it has not been spoken."""
    found = sorted((dub.results / "clips").glob(f"{number:05d}[_.]*"))
    return str(found[0]) if found else None


def pressed(dub: Dub | None, row: Sequence[Any], column: int) -> tuple[int, str | None]:
    """The number of the cue of a row, and its sound where a cell is pressed that is not there to be edited."""
    number = int(_cell(row, "cue"))
    return number, clip(dub, number) if dub and COLUMNS[column] not in EDITABLE else None


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


def _copied(source: str, target: Path) -> Path:
    """A copy under a name of ours, with the ending it has."""
    return Path(shutil.copyfile(source, target.with_suffix(Path(source).suffix.lower())))


def _row(cue: Cue) -> list[Any]:
    slot_s = round((cue.end_ms - cue.start_ms) / 1000, 3)
    times = [round(cue.start_ms / 1000, 3), round(cue.end_ms / 1000, 3)]
    how = [cue.emotion or "", "" if cue.intensity is None else cue.intensity]
    return ["", cue.number, *times, cue.character, "", *how, cue.text, slot_s, "", "", ""]


def _cell(row: Sequence[Any], name: str) -> Any:
    return row[COLUMNS.index(name)]


def _met(dub: Dub, table: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The table with lengths, takes and remarks of the report."""
    by_cue = {str(entry["cue"]).split(".")[0]: entry for entry in (dub.report or {}).get("rows", [])}
    rows = []
    for row in table:
        number = int(_cell(row, "cue"))
        entry = by_cue.get(str(number), {})
        remarks = "; ".join(remark["message"] for remark in entry.get("remarks", []))
        take = f"{entry['take']} of {entry['takes']}" if entry.get("take") is not None else ""
        play = _PLAYABLE if clip(dub, number) else ""
        rows.append([play, *row[1 : COLUMNS.index("got s")], entry.get("placed_s") or "", take, remarks])
    return rows


def _next_take(dub: Dub, number: int) -> int:
    rows = (dub.report or {}).get("rows", [])
    takes = [entry.get("takes") or 0 for entry in rows if str(entry["cue"]).split(".")[0] == str(number)]
    return max([*takes, dub.picks.get(number, 0), 1]) + 1
