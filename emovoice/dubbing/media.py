"""Video and encoded sound, by PyAV: what is in a file, its sound as samples, and files with a dub in them.

Pictures are copied packet by packet, never encoded again. The same input gives the same bytes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from emovoice.dubbing import PROGRAMME_RATE_HZ
from emovoice.dubbing.extras import need
from emovoice.errors import AudioError, OutputError
from emovoice.writing import put_tags, whole_file

VIDEO_ENDINGS = (".mp4", ".m4v", ".mov", ".mkv")
PLAIN_ENDINGS = {".wav": ("WAV", "PCM_24"), ".flac": ("FLAC", "PCM_24")}
CODED_ENDINGS = {".mp3": ("mp3", "libmp3lame", 192_000), ".opus": ("opus", "libopus", 128_000),
                 ".m4a": ("ipod", "aac", 192_000)}  # fmt: skip
SOUND_ENDINGS = (*PLAIN_ENDINGS, *CODED_ENDINGS)
ENDINGS = (*SOUND_ENDINGS, *VIDEO_ENDINGS)

_MUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_VIDEO_SOUND = ("aac", 192_000)
_LARGEST_WAV_BYTES = 2**32 - 2**16
# No playlists: they name other files, and would have them opened. A file is read through its own bytes alone.
_READING = {
    "protocol_whitelist": "file,crypto,data",
    "format_whitelist": "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,wav,w64,flac,mp3,aac,aiff,caf,ac3,eac3,dts,mxf",
}
_EXACT = {"fflags": "bitexact"}
_GAP_S = 0.03
_ATTACHED = 1 << 10  # a cover, not a moving picture: Disposition.attached_pic


@dataclass(frozen=True)
class Media:
    """What a file holds.

    Attributes:
        duration_s: of the picture, or of the whole where there is none.
        fps: pictures a second, None without a picture.
        sounds: language of each sound track, "" where it is not said.
        channels: of the first sound track, 0 without one.
    """

    duration_s: float
    fps: Fraction | None
    sounds: tuple[str, ...]
    channels: int

    @property
    def samples(self) -> int:
        """Its length in samples of the programme."""
        return round(self.duration_s * PROGRAMME_RATE_HZ)


def probe(path: str | os.PathLike[str]) -> Media:
    """What a file holds. Raises AudioError."""
    with _opened(path) as container:
        pictures = [stream for stream in container.streams.video if not _is_cover(stream)]
        sounds = container.streams.audio
        video = pictures[0] if pictures else None
        tracks = tuple((stream.metadata.get("language") or "") for stream in sounds)
        channels = sounds[0].channels if sounds else 0
        length_s = _seconds(video) if video else None
        if length_s is None:
            length_s = float(container.duration / 1_000_000) if container.duration else _seconds(*sounds)
        if length_s is None or not math.isfinite(length_s) or length_s <= 0:
            raise AudioError("the length of this file is not known", field="path", value=str(path),
                             remedy="Remux it, for instance to mkv.")
        return Media(length_s, video.average_rate if video else None, tracks, channels)


def sound(path: str | os.PathLike[str], channels: int, total: int | None = None, track: int = 0
          ) -> Iterator[np.ndarray]:
    """A file's sound as `(n, channels)` float32 blocks at 48 kHz, in step with its picture.

    Args:
        channels: 1 or 2; what has more is mixed down.
        total: cut off or filled up with silence to exactly that many samples; None for all there is.
        track: which sound track.

    Raises:
        AudioError: it cannot be read or has no such track.
    """
    av = need("av", "media", "reading sound of videos")
    done = 0
    with _opened(path) as container:
        if track >= len(container.streams.audio):
            raise AudioError("there is no such sound track", field="path", value=str(path))
        stream = container.streams.audio[track]
        resampler = av.AudioResampler(format="fltp", layout="mono" if channels == 1 else "stereo",
                                      rate=PROGRAMME_RATE_HZ)  # fmt: skip
        for block in _in_step(container, stream, resampler, channels, path):
            block = block if total is None else block[: total - done]
            done += len(block)
            if len(block):
                yield block
            if total is not None and done >= total:
                return
    while total is not None and done < total:
        block = np.zeros((min(total - done, PROGRAMME_RATE_HZ), channels), np.float32)
        done += len(block)
        yield block


@contextmanager
def sound_map(path: str | os.PathLike[str], folder: Path, total: int | None = None) -> Iterator[np.ndarray]:
    """A file's sound as `(N,)` float32 mono at 48 kHz, on disk in `folder` while the block runs: films are long."""
    spool = folder / ".emovoice-sound.partial"
    try:
        with open(spool, "wb") as file:
            for block in sound(path, 1, total):
                file.write(block.tobytes())
        if not spool.stat().st_size:
            raise AudioError("the recording has no sound", field="path", value=str(path))
        yield np.memmap(spool, np.float32, "r")
    except OSError as error:
        raise OutputError(f"sound could not be unpacked: {error.strerror or error}", field="path", value=str(spool),
                          remedy="Check that the disk is not full.") from error
    finally:
        spool.unlink(missing_ok=True)


def write_sound(target: Path, blocks: Iterable[np.ndarray], channels: int, total: int,
                tags: Mapping[str, str] = MappingProxyType({})) -> None:
    """Write `(n, C)` blocks, `total` samples in all, to a sound file with metadata. Raises OutputError."""
    ending = target.suffix.lower()
    if ending in PLAIN_ENDINGS:
        _write_plain(target, blocks, channels, total, tags)
        return
    av = need("av", "media", "writing this format")
    muxer, codec, bits = CODED_ENDINGS[ending]
    with whole_file(target) as file, _reported(av, target), av.open(file, "w", format=muxer, options=_EXACT) as out:
        out.metadata.update(tags)
        track = _sound_track(av, out, codec, bits, channels)
        for packet in _encoded(av, track, blocks, channels, 0.0):
            out.mux(packet)


def write_video(target: Path, video: str | os.PathLike[str], blocks: Iterable[np.ndarray], channels: int,
                language: str, tags: Mapping[str, str] = MappingProxyType({})) -> None:
    """Write a video with its own tracks, copied, and the dub as one more sound track, which becomes the default.

    Args:
        tags: metadata of the whole.

    Raises:
        AudioError: the video cannot be read.
        OutputError: it cannot be written, or its container cannot hold a track.
    """
    av = need("av", "media", "writing video")
    muxer = _MUXERS[target.suffix.lower()]
    codec, bits = _VIDEO_SOUND
    with _opened(video) as source, whole_file(target) as file, _reported(av, target), \
            av.open(file, "w", format=muxer, options=_EXACT) as out:  # fmt: skip
        out.metadata.update(tags)
        copies = {stream.index: out.add_stream_from_template(stream) for stream in source.streams
                  if stream.type in ("video", "audio", "subtitle") and not _is_cover(stream)}
        for stream in source.streams:
            if stream.index in copies:
                _dress(av, stream, copies[stream.index])
        dub = _sound_track(av, out, codec, bits, channels)
        dub.metadata["language"] = language
        dub.metadata["title" if muxer == "matroska" else "handler_name"] = "Dub"
        dub.disposition = av.stream.Disposition.default | av.stream.Disposition.dub
        _interleave(out, source, copies, _encoded(av, dub, blocks, channels, _begin_s(source)))


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    av = need("av", "media", "reading video and encoded sound")
    source = Path(path)
    if not source.is_file():
        what = "there is no such file" if not source.exists() else "this is not a plain file"
        raise AudioError(what, field="path", value=str(source))
    try:
        with av.open(f"file:{source}", options=_READING, metadata_errors="replace") as container:
            yield container
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(f"this file cannot be read: {reason}", field="path", value=str(source),
                         remedy="Is it a video or a recording?") from error


@contextmanager
def _reported(av: Any, target: Path) -> Iterator[None]:
    try:
        yield
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"the output could not be written: {reason}", field="path", value=str(target),
                          remedy="If its container cannot hold a track of the input, write .mkv instead.") from error


def _is_cover(stream: Any) -> bool:
    return stream.type == "video" and bool(stream.disposition & _ATTACHED)


def _seconds(*streams: Any) -> float | None:
    lengths = [float(stream.duration * stream.time_base) for stream in streams if stream.duration]
    return max(lengths, default=None)


def _begin_s(container: Any) -> float:
    """The time of the first picture, or of the first sound where there is no picture: zero of the programme."""
    for stream in container.streams.video:
        if not _is_cover(stream) and stream.start_time is not None:
            return float(stream.start_time * stream.time_base)
    return float((container.start_time or 0) / 1_000_000)


def _in_step(container: Any, stream: Any, resampler: Any, channels: int, path: object) -> Iterator[np.ndarray]:
    """Blocks of a sound track; where stamps leave a gap there is silence, so that later sound is in its place."""
    import av

    begin_s = _begin_s(container)
    expected_s: float | None = None
    broken = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            broken += 1
            if broken > 100:
                raise
            continue
        for frame in frames:
            at_s = float(frame.pts * frame.time_base) - begin_s if frame.pts is not None else (expected_s or 0.0)
            gap_s = at_s - (expected_s or 0.0)
            skip = 0
            if gap_s > _GAP_S or expected_s is None:
                if gap_s > 0:
                    yield np.zeros((round(gap_s * PROGRAMME_RATE_HZ), channels), np.float32)
                skip = round(-gap_s * PROGRAMME_RATE_HZ) if gap_s < 0 else 0
                expected_s = at_s
            expected_s += frame.samples / frame.sample_rate
            for block in _resampled(resampler, frame):
                yield block[skip:]
                skip = max(0, skip - len(block))
    yield from _resampled(resampler, None)


def _resampled(resampler: Any, frame: Any) -> Iterator[np.ndarray]:
    if frame is not None:
        frame.pts = None  # the resampler would fill gaps of its own
    for out in resampler.resample(frame):
        yield np.ascontiguousarray(out.to_ndarray().T, np.float32)


def _write_plain(target: Path, blocks: Iterable[np.ndarray], channels: int, total: int, tags: Mapping[str, str]
                 ) -> None:  # fmt: skip
    import soundfile

    container, encoding = PLAIN_ENDINGS[target.suffix.lower()]
    if container == "WAV" and 3 * channels * total > _LARGEST_WAV_BYTES:
        container = "RF64"
    with whole_file(target) as file, soundfile.SoundFile(
        file.fileno(), "w", PROGRAMME_RATE_HZ, channels, encoding, format=container, closefd=False
    ) as out:
        put_tags(out, tags)
        for block in blocks:
            out.write(block)


def _sound_track(av: Any, out: Any, codec: str, bits: int, channels: int) -> Any:
    track = out.add_stream(codec, rate=PROGRAMME_RATE_HZ, layout="mono" if channels == 1 else "stereo")
    track.bit_rate = bits * (2 if channels == 2 else 1) // 2
    track.codec_context.flags |= av.codec.context.Flags.bitexact
    return track


def _encoded(av: Any, track: Any, blocks: Iterable[np.ndarray], channels: int, offset_s: float) -> Iterator[Any]:
    """Packets of a track; the encoder is fed whole frames of its size."""
    context = track.codec_context
    layout = "mono" if channels == 1 else "stereo"
    context.open(strict=False)
    fifo, at = av.AudioFifo(), round(offset_s * PROGRAMME_RATE_HZ)
    converter = av.AudioResampler(format=context.format.name, layout=layout, rate=PROGRAMME_RATE_HZ)

    def packets(frame: Any) -> Any:
        nonlocal at
        if frame is not None:
            frame.pts, frame.time_base = at, Fraction(1, PROGRAMME_RATE_HZ)
            at += frame.samples
        return track.encode(frame)

    for block in blocks:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T, np.float32), format="fltp", layout=layout)
        frame.sample_rate = PROGRAMME_RATE_HZ
        for converted in converter.resample(frame):
            converted.pts = None
            fifo.write(converted)
        while (ready := fifo.read(context.frame_size or 1024)) is not None:
            yield from packets(ready)
    if (rest := fifo.read(0, partial=True)) is not None:
        yield from packets(rest)
    yield from packets(None)


def _dress(av: Any, source: Any, copy: Any) -> None:
    """The copy's labels: as they were, but the dub will be the default sound."""
    copy.metadata.update({name: value for name, value in source.metadata.items() if name in ("language", "title")})
    disposition = source.disposition
    if source.type == "audio":
        disposition = (disposition & ~av.stream.Disposition.default) | av.stream.Disposition.original
    copy.disposition = disposition


def _interleave(out: Any, source: Any, copies: dict[int, Any], dub: Iterator[Any]) -> None:
    """Mux packets of the source and of the dub in the order of their times, so that neither piles up in memory."""
    from av.bitstream import BitStreamFilterContext

    # AAC of transport streams carries its description in every packet; other containers want it once, in front.
    filters = {stream.index: BitStreamFilterContext("aac_adtstoasc", stream)
               for stream in source.streams.audio
               if stream.codec_context.name == "aac" and not stream.codec_context.extradata}
    waiting = next(dub, None)
    for packet in source.demux([source.streams[index] for index in copies]):
        if packet.dts is None:
            continue
        now_s, index = float(packet.dts * packet.time_base), packet.stream.index
        while waiting is not None and float(waiting.dts * waiting.time_base) <= now_s:
            out.mux(waiting)
            waiting = next(dub, None)
        for copied in filters[index].filter(packet) if index in filters else [packet]:
            copied.stream = copies[index]
            out.mux(copied)
    while waiting is not None:
        out.mux(waiting)
        waiting = next(dub, None)
