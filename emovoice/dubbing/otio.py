"""OpenTimelineIO: cues from and to markers, and takes as clips.

A marker is a cue: its range the slot, its comment or name the text; `metadata["emovoice"]` holds the other fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from emovoice.dubbing import tables
from emovoice.dubbing.cues import Cue, Remark
from emovoice.dubbing.entries import Entry
from emovoice.dubbing.extras import need
from emovoice.errors import EmovoiceError, InputError

ENDINGS = (".otio",)
_RATE = 1000  # of times that are written: milliseconds
_ROOM = "emovoice"


def read(text: str) -> tuple[list[Entry], list[Remark]]:
    """Entries of the markers of a timeline. Raises InputError when it is none or holds no markers."""
    otio = need("opentimelineio", "otio", "reading this timeline")
    try:
        found = otio.adapters.read_from_string(text, "otio_json")
    except (otio.exceptions.OTIOError, ValueError, RecursionError) as error:
        raise InputError(f"this is not an OpenTimelineIO file: {str(error)[:80]}", field="timeline",
                         value=text[:40]) from error
    if not isinstance(found, otio.schema.Timeline):
        raise InputError("this holds no timeline", field="timeline", value=type(found).__name__)
    entries = [_entry(marker, item, found.tracks) for item in _items(otio, found) for marker in item.markers]
    if not entries:
        raise InputError("the timeline has no markers", field="timeline", value=found.name,
                         remedy="Put a marker with the text in its comment where each line is spoken.")
    return sorted(entries, key=lambda entry: entry.start_ms), []


def write(cues: Iterable[Cue]) -> str:
    """Cues as markers of a timeline; `read` gives the same cues."""
    otio = need("opentimelineio", "otio", "writing this timeline")
    timeline = otio.schema.Timeline("cues")
    cues = list(cues)
    timeline.tracks.append(_gap_track(otio, max((cue.end_ms for cue in cues), default=0)))
    timeline.tracks[0].markers.extend(_marker(otio, cue) for cue in cues)
    return str(otio.adapters.write_to_string(timeline, "otio_json"))


def takes(placed: Sequence[tuple[Cue, int, int, str]], total: int, rate: int, name: str) -> str:
    """A timeline of the takes: a track for each character, a clip for each take, a marker for each cue.

    Args:
        placed: cue, start and length in samples, and the path of its sound file, in the order of their start.
        total: length in samples.
        rate: samples a second.
    """
    otio = need("opentimelineio", "otio", "writing a timeline of the takes")
    timeline = otio.schema.Timeline(name)
    for character in dict.fromkeys(cue.character for cue, *_ in placed):
        track = otio.schema.Track(character or "nobody", kind=otio.schema.TrackKind.Audio)
        at = 0
        for cue, start, length, path in placed:
            if cue.character == character:
                track.append(_gap(otio, start - at, rate))
                track.append(_clip(otio, cue, length, path, rate))
                at = start + length
        track.append(_gap(otio, total - at, rate))
        timeline.tracks.append(track)
    return str(otio.adapters.write_to_string(timeline, "otio_json"))


def _items(otio: Any, timeline: Any) -> list[Any]:
    return [timeline.tracks, *timeline.tracks.find_children(descended_from_type=otio.core.Item)]


def _entry(marker: Any, item: Any, root: Any) -> Entry:
    span = marker.marked_range
    try:
        # Gaps, nested stacks and trims: the range as the whole timeline counts it.
        span = item.transformed_time_range(span, root) if item is not root else span
        start_ms = round(span.start_time.to_seconds() * 1000)
        end_ms = round(span.end_time_exclusive().to_seconds() * 1000)
        given = dict(marker.metadata.get(_ROOM, {}))
        given["curve"] = [list(row) for row in given.get("curve", [])]
        return Entry(start_ms, end_ms, **{"text": marker.comment or marker.name or "", **tables.fields(given)})
    except EmovoiceError as error:
        raise InputError(f"marker '{marker.name}': {error.what}", field=error.field, value=error.value) from error
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise InputError(f"the range of a marker cannot be read: {error}", field="marker", value=marker.name) from error


def _marker(otio: Any, cue: Cue, at_ms: int = 0) -> Any:
    span = otio.opentime.TimeRange(otio.opentime.RationalTime(cue.start_ms - at_ms, _RATE),
                                   otio.opentime.RationalTime(cue.end_ms - cue.start_ms, _RATE))
    given = {name: value for name, value in tables.row(cue).items() if name not in ("start_ms", "end_ms", "text")}
    return otio.schema.Marker(name=cue.id, marked_range=span, metadata={_ROOM: given}, comment=cue.text)


def _gap_track(otio: Any, length_ms: int) -> Any:
    track = otio.schema.Track("dialogue", kind=otio.schema.TrackKind.Audio)
    track.append(_gap(otio, length_ms, _RATE))
    return track


def _gap(otio: Any, length: int, rate: int) -> Any:
    return otio.schema.Gap(duration=otio.opentime.RationalTime(length, rate))


def _clip(otio: Any, cue: Cue, length: int, path: str, rate: int) -> Any:
    span = otio.opentime.TimeRange(otio.opentime.RationalTime(0, rate), otio.opentime.RationalTime(length, rate))
    reference = otio.schema.ExternalReference(target_url=Path(path).as_posix(), available_range=span)
    clip = otio.schema.Clip(f"{cue.id} {cue.text[:40]}", media_reference=reference, source_range=span)
    given = {name: value for name, value in tables.row(cue).items() if name not in ("start_ms", "end_ms")}
    clip.markers.append(otio.schema.Marker(name=cue.id, marked_range=span, metadata={_ROOM: given}, comment=cue.text))
    return clip
