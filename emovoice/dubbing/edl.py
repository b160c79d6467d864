"""CMX 3600: an edit list of the takes, which every editing program reads. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from emovoice.dubbing.cues import Cue
from emovoice.errors import InputError

_DROPPING = {Fraction(30_000, 1001): 2, Fraction(60_000, 1001): 4}
_MOST_EVENTS = 9999


def write(placed: Sequence[tuple[Cue, int, int, str]], rate: int, fps: Fraction, name: str) -> str:
    """An edit list: one audio event for each take, on frames, in order and apart.

    Args:
        placed: cue, start and length in samples, and the path of its sound file.
        rate: samples a second.
        fps: pictures a second; 29.97 and 59.94 are counted with dropped numbers.
        name: the title.
    """
    lines = [f"TITLE: {_plain(name)[:70]}", f"FCM: {'DROP FRAME' if fps in _DROPPING else 'NON-DROP FRAME'}", ""]
    last = 0
    for number, (cue, start, length, path) in enumerate(placed[:_MOST_EVENTS], 1):
        first = max(last, round(Fraction(start, rate) * fps))
        last = max(first + 1, round(Fraction(start + length, rate) * fps))
        source = f"{timecode(0, fps)} {timecode(last - first, fps)}"
        record = f"{timecode(first, fps)} {timecode(last, fps)}"
        lines.append(f"{number:03d}  {_reel(cue.character):<8} A     C        {source} {record}")
        lines.append(f"* FROM CLIP NAME: {_plain(path)}")
        lines.append(f"* COMMENT: CUE {cue.id} {_plain(cue.text)[:200]}")
    if len(placed) > _MOST_EVENTS:
        lines.append(f"* COMMENT: {len(placed) - _MOST_EVENTS} MORE EVENTS THAN CMX 3600 CAN NUMBER; SEE THE OTIO FILE")
    return "\n".join(lines) + "\n"


def timecode(frame: int, fps: Fraction) -> str:
    """HH:MM:SS:FF of a frame; HH:MM:SS;FF where numbers are dropped (SMPTE 12M). Raises InputError for fps <= 0."""
    if fps <= 0:
        raise InputError("a frame rate must be above 0", field="fps", value=str(fps))
    whole = round(fps)
    drop = _DROPPING.get(Fraction(fps), 0)
    if drop:
        minute = 60 * whole - drop
        tens, rest = divmod(frame, 10 * minute + drop)
        frame += 9 * drop * tens + drop * max(0, (rest - drop) // minute)
    seconds, frames = divmod(frame, whole)
    mark = ";" if drop else ":"
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{frames:02d}"


def _reel(character: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", character.upper())[:8] or "AX"


def _plain(text: str) -> str:
    return " ".join(text.encode("ascii", "replace").decode().split())
