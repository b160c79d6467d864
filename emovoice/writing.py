"""Writing results: whole or not at all.

A file is written under another name beside its target, forced to disk and only then renamed, so that
a crash, a full disk or Ctrl-C never leaves half a file under the name that was asked for.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from emovoice import provenance
from emovoice.errors import InputError, OutputError

FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
"""File endings and what is written for them (container, encoding)."""

_IN_MEMORY_BYTES = 64 * 2**20
_BLOCK_SAMPLES = 2**16
_HIGHEST_PEAK = 32767 / 32768  # the largest value 16 bits hold


@dataclass(frozen=True)
class Written:
    """What was written: seconds, and what there is to say about it."""

    duration_s: float
    warnings: tuple[str, ...]


def check_target(path: str | os.PathLike[str], force: bool = False, endings: Iterable[str] = FORMATS) -> Path:
    """The path to write to, if it can be written to as far as one can tell beforehand.

    Raises:
        OutputError: a directory, no such folder, a folder that cannot be written to, an ending that is not
            known, or a file that exists and `force` is not set.
    """
    target = Path(path)
    if "\0" in str(target):
        raise OutputError("a file name cannot hold a NUL", field="path", value=str(target))
    try:
        if target.is_dir():
            raise OutputError("the output is a directory", field="path", value=str(target), remedy="Add a file name.")
        if target.suffix.lower() not in endings:
            raise OutputError(
                "the ending of the output is not known",
                field="path",
                value=str(target),
                remedy=f"Use one of {', '.join(endings)}.",
            )
        if not target.parent.is_dir():
            raise OutputError(
                "the folder to write to does not exist",
                field="path",
                value=str(target),
                remedy="Make it first.",
            )
        if target.exists() and not force:
            raise OutputError(
                "the output exists",
                field="path",
                value=str(target),
                remedy="Use another name, or overwrite it with --force (in Python force=True).",
            )
    except OSError as error:  # a name too long, a loop of links
        raise _not_written(target, error) from error
    if not os.access(target.parent, os.W_OK):
        raise OutputError("the folder cannot be written to", field="path", value=str(target))
    return target


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """An open file that becomes `target` when the block ends well, and vanishes when it does not.

    Raises:
        OutputError: it could not be written; nothing is left behind and an existing target is as it was.
    """
    partial = target.with_name(f".emovoice-{secrets.token_hex(6)}.partial")
    try:
        with open(partial, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except (OSError, soundfile.SoundFileError) as error:
        raise _not_written(target, error) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def write_audio(
    path: str | os.PathLike[str],
    chunks: Iterable[np.ndarray],
    rate: int,
    *,
    force: bool = False,
    tags: Mapping[str, str] | None = None,
) -> Written:
    """Write float32 chunks to a sound file; memory does not grow with their length.

    Args:
        path: ends in .wav (16 bit), .flac (16 bit) or .ogg (Vorbis).
        chunks: `(N,)` samples each, or `(N, C)` of C channels. If their peak exceeds 1 all are made quieter
            together; nothing is clipped.
        rate: Hz.
        force: overwrite an existing file.
        tags: the mark for its metadata; None for that of `provenance.tags()`.

    Raises:
        OutputError: see `check_target`; or the disk is full, or there is nothing to write.
    """
    target = check_target(path, force)
    with _Spool() as spool:
        spool.extend(chunks)
        with whole_file(target) as file:
            spool.encode(file, rate, FORMATS[target.suffix.lower()], tags)
        return spool.written(rate)


def write_wav_stream(
    out: BinaryIO, chunks: Iterable[np.ndarray], rate: int, tags: Mapping[str, str] | None = None
) -> Written:
    """Write float32 chunks, as of `write_audio`, as one 16-bit wav to a stream that cannot seek (standard output)."""
    with _Spool() as spool, tempfile.TemporaryFile() as file:
        spool.extend(chunks)
        try:
            spool.encode(file, rate, FORMATS[".wav"], tags)
            file.seek(0)
            while block := file.read(_BLOCK_SAMPLES):
                out.write(block)
            out.flush()
        except BrokenPipeError:
            raise  # the reader went away: not ours to report
        except (OSError, soundfile.SoundFileError) as error:
            raise _not_written("-", error) from error
        return spool.written(rate)


class _Spool:
    """Samples kept until their peak is known: in memory while few, in an unnamed temporary file when many."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115
        self.peak = 0.0
        self.count = 0  # samples of each channel
        self.channels = 0  # as the first chunk has

    def __enter__(self) -> _Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def extend(self, chunks: Iterable[np.ndarray]) -> None:
        """Take in chunks of finite samples. Raises OutputError for others, for none, and for a full disk."""
        for chunk in chunks:
            samples = np.ascontiguousarray(chunk, dtype=np.float32)
            channels = 1 if samples.ndim == 1 else samples.shape[-1]
            self.channels = self.channels or channels
            if samples.ndim not in (1, 2) or channels != self.channels or not np.isfinite(samples).all():
                raise OutputError("only finite samples of the same channels can be written", field="shape",
                                  value=samples.shape)
            self.peak = max(self.peak, float(np.abs(samples).max(initial=0.0)))
            self.count += len(samples)
            try:
                self._file.write(samples.tobytes())
            except OSError as error:
                raise _not_written("the temporary folder", error) from error
        if not self.count:
            raise OutputError("there are no samples to write", field="samples", value=0)

    def encode(
        self, file: BinaryIO, rate: int, kind: tuple[str, str], tags: Mapping[str, str] | None = None
    ) -> None:
        """Write what was spooled in a container and encoding of libsndfile, marked, quieter where it would clip."""
        container, encoding = kind
        gain = _HIGHEST_PEAK / self.peak if self.peak > 1 else 1.0
        self._file.seek(0)
        # By descriptor: libsndfile reports a failed write of its own, but swallows one of a Python object.
        # In blocks: libvorbis takes the stack for what it is given at once.
        channels = self.channels
        with soundfile.SoundFile(
            file.fileno(), "w", rate, channels, encoding, format=container, closefd=False
        ) as sound:
            put_tags(sound, provenance.tags() if tags is None else tags)
            while data := self._file.read(4 * channels * _BLOCK_SAMPLES):
                sound.write(np.frombuffer(data, dtype=np.float32).reshape(-1, channels) * np.float32(gain))

    def written(self, rate: int) -> Written:
        return Written(self.count / rate, peak_warnings(self.peak))


def put_tags(sound: soundfile.SoundFile, tags: Mapping[str, str]) -> None:
    """Fields of `emovoice.provenance.tags` into a sound file that nothing has been written to yet."""
    for field, text in tags.items():
        setattr(sound, field, text)


def encode_wav24(file: BinaryIO, samples: np.ndarray, rate: int, tags: Mapping[str, str]) -> None:
    """Float32 mono `(N,)` within -1..1 as a 24-bit wav: without the time stamp that files of floats have."""
    with soundfile.SoundFile(file, "w", rate, 1, "PCM_24", format="WAV") as sound:
        put_tags(sound, tags)
        sound.write(samples)


def put_between(path: str | os.PathLike[str], marks: tuple[str, str], text: str) -> None:
    """Replace what stands between two lines of a text file, so that its figures are a command's and not a hand's.

    Raises:
        InputError: the file lacks the marks.
        OutputError: it cannot be written.
    """
    target = Path(path)
    old = target.read_text(encoding="utf-8") if target.is_file() else ""
    begin, end = (old.find(mark) for mark in marks)
    if not 0 <= begin < end:
        raise InputError(
            "no marks to put the figures between",
            field="into",
            value=str(path),
            remedy=f"Give a text file with the lines {marks[0]} and {marks[1]}.",
        )
    new = f"{old[: begin + len(marks[0])]}\n{text.strip()}\n{old[end:]}"
    with whole_file(target) as file:
        file.write(new.encode())


def peak_warnings(peak: float) -> tuple[str, ...]:
    """What to say about samples whose largest magnitude is `peak`: nothing up to 1."""
    if peak <= 1:
        return ()
    return (f"the loudest sample was {peak:.2f}; it is written {20 * np.log10(peak):.1f} dB quieter, not clipped",)


def _not_written(target: object, error: Exception) -> OutputError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return OutputError(
        f"the output could not be written: {reason.rstrip('.')}",
        field="path",
        value=str(target),
        remedy="Check that the disk is not full and the folder can be written to.",
    )
