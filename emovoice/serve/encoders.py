"""Samples to bytes of a sound file while they are made.

PyAV (extra `media`) encodes mp3, opus and aac chunk by chunk; without it libsndfile encodes mp3 and opus at the end.
wav and pcm need neither. flac is always made at the end: a flac whose header does not know its length is refused by
common readers.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from emovoice.serve.failures import ApiError

_UNKNOWN_BYTES = 0xFFFFFFFF  # what a wav says that is still being written
_OPUS_RATE_HZ = 48_000
_CODEC_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_SMALL_BYTES = 1024  # what FFmpeg may hold back before it writes
_LIST_PADDING = 2


class Encoder(Protocol):
    """Takes float32 mono chunks `(N,)` within -1..1, gives bytes; their concatenation is the file."""

    def feed(self, samples: np.ndarray) -> bytes:
        """The bytes that are ready after these samples; may be none."""
        ...

    def close(self) -> bytes:
        """The last bytes."""
        ...


@dataclass(frozen=True)
class Format:
    """One `response_format`.

    Attributes:
        media_type: for Content-Type.
        carries_metadata: whether its container has room for the mark.
        streams: whether bytes leave before the end, with PyAV.
    """

    media_type: str
    carries_metadata: bool = True
    streams: bool = True


FORMATS = {
    "mp3": Format("audio/mpeg"),
    "opus": Format("audio/ogg"),
    "aac": Format("audio/aac"),
    "flac": Format("audio/flac", streams=False),
    "wav": Format("audio/wav"),
    "pcm": Format("audio/pcm", carries_metadata=False),
}


def encoder(name: str, rate: int, tags: Mapping[str, str]) -> Encoder:
    """An encoder for a format of `FORMATS`. Raises ApiError (501) where a package for it is missing."""
    if name == "pcm":
        return _Pcm()
    if name == "wav":
        return _Wav(rate, tags)
    if name != "flac" and find_spec("av") is not None:
        return _Av(name, rate, tags)
    if name == "aac":
        raise ApiError(501, "aac needs a package that is not installed here: pip install 'emovoice[media]'",
                       "server_error", param="response_format", code="not_implemented")  # fmt: skip
    return _Whole(name, rate, tags)


def as_pcm16(samples: np.ndarray) -> np.ndarray:
    """Float32 `(N,)` within -1..1 to little-endian int16."""
    return np.round(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2")


class _Pcm:
    """16-bit samples and nothing else."""

    def feed(self, samples: np.ndarray) -> bytes:
        return as_pcm16(samples).tobytes()

    def close(self) -> bytes:
        return b""


class _Wav(_Pcm):
    """16-bit wav whose header says that the length is not known, as streaming servers write it."""

    def __init__(self, rate: int, tags: Mapping[str, str]) -> None:
        info = b"INFO" + _info(b"ICMT", tags["comment"]) + _info(b"ISFT", tags["software"])
        self._header = b"".join(
            (
                b"RIFF" + struct.pack("<I", _UNKNOWN_BYTES) + b"WAVE",
                b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16),
                b"LIST" + struct.pack("<I", len(info)) + info,
                b"data" + struct.pack("<I", _UNKNOWN_BYTES),
            )
        )

    def feed(self, samples: np.ndarray) -> bytes:
        header, self._header = self._header, b""
        return header + super().feed(samples)

    def close(self) -> bytes:
        return self.feed(np.zeros(0, np.float32))


def _info(name: bytes, text: str) -> bytes:
    data = text.encode("ascii", "replace") + b"\0"
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % _LIST_PADDING)


_AV_KINDS: dict[str, tuple[str, str, int, dict[str, str]]] = {
    # container, codec, bits a second, options of the container
    "mp3": ("mp3", "libmp3lame", 96_000, {"write_xing": "0", "id3v2_version": "4"}),
    "opus": ("ogg", "libopus", 48_000, {"page_duration": "100000"}),
    "aac": ("adts", "aac", 96_000, {"write_id3v2": "1"}),
}


class _Sink:
    """A file that can only be written to, as a socket is."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: bytes) -> int:
        self._bytes += data
        return len(data)

    def taken(self) -> bytes:
        data, self._bytes = bytes(self._bytes), bytearray()
        return data


class _Av:
    """mp3, opus in ogg, or aac (ADTS), by FFmpeg's libraries."""

    def __init__(self, name: str, rate: int, tags: Mapping[str, str]) -> None:
        av: Any = import_module("av")
        container, codec, bits, options = _AV_KINDS[name]
        self._sink, self._rate, self._pts = _Sink(), rate, 0
        self._container = av.open(
            self._sink, "w", format=container, options={"flush_packets": "1", **options}, buffer_size=_SMALL_BYTES
        )
        self._container.metadata.update(tags)
        kept = name != "opus" and rate in _CODEC_RATES_HZ
        self._stream = self._container.add_stream(codec, rate=rate if kept else _OPUS_RATE_HZ, layout="mono")
        self._stream.bit_rate = bits

    def feed(self, samples: np.ndarray) -> bytes:
        import av

        if len(samples):
            frame = av.AudioFrame.from_ndarray(as_pcm16(samples)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = self._rate, self._pts
            self._pts += len(samples)
            self._container.mux(self._stream.encode(frame))
        return self._sink.taken()

    def close(self) -> bytes:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.taken()


_SOUNDFILE_KINDS = {
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "opus": ("OGG", "OPUS"),
    "flac": ("FLAC", "PCM_16"),
}


class _Whole:
    """A file that is made at the end, by libsndfile."""

    def __init__(self, name: str, rate: int, tags: Mapping[str, str]) -> None:
        self._kind, self._rate, self._tags = _SOUNDFILE_KINDS[name], rate, tags
        self._chunks: list[np.ndarray] = []

    def feed(self, samples: np.ndarray) -> bytes:
        self._chunks.append(as_pcm16(samples))
        return b""

    def close(self) -> bytes:
        import soundfile

        container, encoding = self._kind
        file = io.BytesIO()
        with soundfile.SoundFile(file, "w", self._rate, 1, encoding, format=container) as sound:
            for field, text in self._tags.items():
                setattr(sound, field, text)
            for chunk in self._chunks:
                for start in range(0, len(chunk), 2**16):  # libvorbis and libopus take the stack for what they get
                    sound.write(chunk[start : start + 2**16])
        return file.getvalue()
