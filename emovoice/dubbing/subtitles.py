"""SRT, WebVTT, ASS/SSA and the other subtitle formats of pysubs2.

pysubs2 reads ASS, SSA and the rare ones. SubRip and WebVTT are read here, because real files have missing counters,
lines that are numbers, stamps of a hundred hours and notes, which pysubs2 takes for counters, times or text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote

from emovoice.dubbing.cues import Cue, Remark, as_curve, as_emotion, as_intensity, curve_text
from emovoice.dubbing.entries import Entry
from emovoice.dubbing.extras import need
from emovoice.dubbing.marks import write as marked
from emovoice.errors import InputError

ENDINGS = (".srt", ".vtt", ".ass", ".ssa", ".sub", ".ttml", ".sbv", ".smi", ".sami")

_STAMP = r"-?(?:\d{1,4}:)?\d{1,2}:\d{1,2}(?:[.,:]\d{1,3})?"
_TIMES = re.compile(rf"^\s*({_STAMP})\s*-+>\s*({_STAMP})")
_LONGEST_H = 99
_PLAIN = " .:;'!?-"
_EFFECT = re.compile(r"(emotion|intensity|instruction|curve)=([^|]*)")


def read(text: str, ending: str) -> tuple[list[Entry], list[Remark]]:
    """Entries of a subtitle file and what was remarkable. Raises InputError when it is none."""
    if ending in (".srt", ".vtt") or _TIMES.search(text.split("\n\n", 1)[0]):
        return _read_blocks(text)
    return _read_others(text)


def write(cues: Iterable[Cue], ending: str) -> str:
    """Cues as the text of a subtitle file; `read` gives the same cues."""
    if ending in (".ass", ".ssa"):
        return _write_ass(cues, ending)
    return plain((cue.start_ms, cue.end_ms, marked(cue)) for cue in cues) if ending == ".srt" else (
        "WEBVTT\n\n" + plain(((cue.start_ms, cue.end_ms, _escaped(marked(cue))) for cue in cues), point="."))


def plain(rows: Iterable[tuple[int, int, str]], point: str = ",") -> str:
    """(start ms, end ms, text) as SubRip; blank lines inside a text would end it and are left out."""
    blocks = []
    for number, (start_ms, end_ms, text) in enumerate(rows, 1):
        lines = "\n".join(line for line in text.split("\n") if line.strip())
        blocks.append(f"{number}\n{stamp(start_ms, point)} --> {stamp(end_ms, point)}\n{lines}\n\n")
    return "".join(blocks)


def stamp(ms: int, point: str = ",") -> str:
    """Milliseconds as HH:MM:SS,mmm; more digits of hours where it takes them."""
    seconds, ms = divmod(max(0, ms), 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{ms:03d}"


def milliseconds(text: str) -> int:
    """The inverse of `stamp`, lenient: hours may be missing, the point may be a comma, a colon or absent."""
    sign = -1 if text.strip().startswith("-") else 1
    whole, _, fraction = re.sub(r"[.,](\d+)$", r"|\1", text.strip().lstrip("-")).partition("|")
    parts = [int(part) for part in whole.split(":")]
    if not fraction and len(parts) == 4:
        fraction = str(parts.pop()).zfill(3)
    seconds = 0
    for part in parts:
        seconds = 60 * seconds + part
    return sign * (seconds * 1000 + int(fraction.ljust(3, "0")[:3] or 0))


def _escaped(text: str) -> str:
    """For WebVTT; the marks `<word|PHONEMES>` are ours and stay."""
    return text.replace("&", "&amp;")


def _read_blocks(text: str) -> tuple[list[Entry], list[Remark]]:
    """SubRip and WebVTT: a line of times, then text up to the next counter, identifier or line of times."""
    is_vtt = text.lstrip("\ufeff \n").startswith("WEBVTT")
    lines = text.split("\n")
    at = [index for index, line in enumerate(lines) if _TIMES.match(line)]
    if not at:
        raise InputError("no cue was found", field="timeline", value=text[:40], remedy="Is this a subtitle file?")
    entries, uncounted, long = [], 0, 0
    for order, index in enumerate(at):
        end = at[order + 1] if order + 1 < len(at) else len(lines)
        found = _TIMES.match(lines[index])
        assert found is not None
        body = _until_blank(lines[index + 1 : end]) if is_vtt else lines[index + 1 : end]
        counted = is_vtt or _is_counter(lines, index, order + 1)
        uncounted += not counted
        if not is_vtt and order + 1 < len(at) and _is_counter(lines, end, order + 2):
            body = body[:-1]
        start_ms, end_ms = milliseconds(found[1]), milliseconds(found[2])
        long += max(start_ms, end_ms) >= (_LONGEST_H + 1) * 3_600_000
        entries.append(Entry(start_ms, end_ms, "\n".join(line for line in body if line.strip())))
    remarks = []
    if uncounted:
        remarks.append(Remark("counters", f"{uncounted} cues have no counter; numbered by their order"))
    if long:
        what = f"{long} cues lie beyond {_LONGEST_H} hours; shift them if that is a slip"
        remarks.append(Remark("long-stamps", what))
    return entries, remarks


def _is_counter(lines: list[str], index: int, number: int) -> bool:
    """Whether the line before the times at `index` is a counter rather than text that is a number."""
    if index == 0 or not lines[index - 1].strip().isdigit():
        return False
    alone = index == 1 or not lines[index - 2].strip()
    return alone or int(lines[index - 1]) == number


def _until_blank(lines: list[str]) -> list[str]:
    """WebVTT: a cue ends at a blank line; notes, styles and the identifier of the next cue follow it."""
    for index, line in enumerate(lines):
        if not line.strip():
            return lines[:index]
    return lines


def _read_others(text: str) -> tuple[list[Entry], list[Remark]]:
    pysubs2 = need("pysubs2", "media", "reading this timeline")
    try:
        subtitles = pysubs2.SSAFile.from_string(text)
    except (pysubs2.Pysubs2Error, ValueError, KeyError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"this subtitle file cannot be read: {reason[:80]}", field="timeline", value=text[:40],
                         remedy="Save it as SRT, WebVTT or ASS.") from error
    entries, drawings = [], 0
    for event in subtitles.events:
        if event.is_comment:
            continue
        if event.is_drawing:
            drawings += 1
            continue
        entries.append(_from_event(event))
    if not entries:
        raise InputError("no cue was found", field="timeline", value=text[:40], remedy="Is this a subtitle file?")
    note = [Remark("drawing", f"{drawings} drawings were left out")] if drawings else []
    return entries, note


def _from_event(event: Any) -> Entry:
    text = event.text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    given = {name: unquote(value) for name, value in _EFFECT.findall(event.effect or "")}
    return Entry(event.start, event.end, text, character=(event.name or "").strip(),
                 emotion=as_emotion(given.get("emotion")), intensity=as_intensity(given.get("intensity")),
                 instruction=given.get("instruction"), curve=as_curve(given.get("curve")))


def _write_ass(cues: Iterable[Cue], ending: str) -> str:
    """Actor = character; the emotion in the Effect field, where players ignore it."""
    pysubs2 = need("pysubs2", "media", "writing this timeline")
    subtitles = pysubs2.SSAFile()
    for cue in cues:
        given = {"emotion": cue.emotion, "intensity": None if cue.intensity is None else f"{cue.intensity:g}",
                 "instruction": cue.instruction, "curve": curve_text(cue.curve)}
        # A comma ends a field of an ASS event, whatever stands in it.
        effect = "|".join(f"{name}={quote(value, safe=_PLAIN)}" for name, value in given.items() if value)
        subtitles.append(pysubs2.SSAEvent(start=cue.start_ms, end=cue.end_ms, text=cue.text.replace("\n", "\\N"),
                                          name=cue.character.replace(",", " "), effect=effect))
    return str(subtitles.to_string(ending[1:]))
