"""Recordings in, speech out: reading a reference from anywhere, and `Audio`, the result of synthesis."""

from __future__ import annotations

import os
import re
import stat
import warnings as python_warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soundfile

from emovoice import waveform
from emovoice.errors import AudioError
from emovoice.limits import DEFAULT_LIMITS, Limits
from emovoice.waveform import SAMPLE_RATE_HZ
from emovoice.writing import write_audio

Source: TypeAlias = "str | os.PathLike[str] | np.ndarray | tuple[np.ndarray, int]"
"""A recording: a file, samples at 24 kHz, or (samples, rate in Hz)."""

SHORTEST_S = 0.5
"""Less speech than this says nothing about a voice."""

SHORT_S = 3.0
"""Less speech than this makes a poor likeness."""

USED_S = 15.0
"""How much of a longer recording is used."""

_NARROW_RATE_HZ = 16_000
_CONVERT = "Convert it to wav, flac, ogg or mp3."
# A wav whose writer never came back to fill in its length; complete all the same.
_UNKNOWN_LENGTH_BYTES = 0x7FFF0000
_WAV_CUT_SHORT = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
_OGG_CUT_SHORT = "lacks an end-of-stream bit"


@dataclass(frozen=True, eq=False)
class Reference:
    """A recording made ready for the encoder.

    Attributes:
        samples: float32 `(N,)`, mono, 24 kHz; of `read_audio`, silence at both ends trimmed, 0.5 to 15 s.
        warnings: what was done to it or is wrong with it.
    """

    samples: np.ndarray
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Audio:
    """Speech, and what was measured while it was made.

    Attributes:
        samples: float32 `(N,)`, mono, or `(N, C)` of a converted recording of C channels; normally within -1..1.
        rate: samples a second.
        asked_s: the length asked for, or None.
        real_time_factor: seconds it took to make a second of speech; below 1 is faster than real time.
        warnings: every way in which this is less than what was asked for.
    """

    samples: np.ndarray
    rate: int
    asked_s: float | None = None
    real_time_factor: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """The length, in seconds."""
        return len(self.samples) / self.rate

    def save(self, path: str | os.PathLike[str], force: bool = False) -> Path:
        """Write it to a .wav (16 bit), .flac (16 bit) or .ogg (Vorbis) file and return the path.

        The file appears whole or not at all. Samples beyond 1 are not clipped: all are made quieter, with a
        `UserWarning` (and synthesis has put the same into `warnings`).

        Raises:
            OutputError: it exists and `force` is not set, is a directory, or cannot be written.
        """
        written = write_audio(path, [self.samples], self.rate, force=force)
        for message in written.warnings:
            python_warnings.warn(message, stacklevel=2)
        return Path(path)


def read_audio(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> Reference:
    """A recording from a file or an array, ready for the encoder.

    Any file libsndfile reads (wav, flac, ogg, mp3, aiff ...), any rate from 4 to 384 kHz, any sample
    type, any number of channels. A file is refused by its header before it is decoded.

    Args:
        source: a path, an array at 24 kHz, or (array, rate in Hz).
        limits: upper limits on its length and decoded size.

    Raises:
        AudioError: missing, not a file, not audio, too long, too short, silent, or with samples that
            are not numbers.
    """
    return prepare(*read_frames(source, limits=limits))


def read_frames(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """Samples `(N, C)` as they were recorded, float32, with their rate in Hz and warnings. Sources as `read_audio`.

    Raises:
        AudioError: missing, not a file, not audio, too long; samples are not looked at.
    """
    if isinstance(source, (str, os.PathLike)):
        return _decode(Path(source), limits)
    if isinstance(source, tuple) and len(source) == 2:
        samples, rate = source
    else:
        samples, rate = source, SAMPLE_RATE_HZ  # type: ignore[assignment]
    if not isinstance(samples, np.ndarray):
        raise AudioError(
            "a recording cannot be read from this",
            field="source",
            value=type(samples).__name__,
            remedy="Give a path, a numpy array at 24 kHz, or a pair (array, rate).",
        )
    rate = waveform.check_rate(rate)
    frames = waveform.as_frames(samples)
    _check_limits(len(frames), rate, frames.shape[1], limits)
    return frames, rate, ()


def read_whole(path: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> Reference:
    """All of a sound file, mono at 24 kHz: unlike `read_audio` it neither trims nor cuts, nor asks for 0.5 s.

    Raises:
        AudioError: missing, not a file, not audio, too long, silent, or with samples that are not numbers.
    """
    frames, rate, notes = _decode(Path(path), limits)
    waveform.check_finite(frames)
    samples, more = _cleaned(frames, rate)
    if not samples.size or not waveform.speech_frames(samples, SAMPLE_RATE_HZ).any():
        raise _silent()
    return Reference(samples / max(1.0, waveform.peak(samples)), (*notes, *more))


def prepare(frames: np.ndarray, rate: int, warnings: tuple[str, ...] = ()) -> Reference:
    """Float32 `(N, C)` at `rate` to a `Reference`: mono, 24 kHz, trimmed, 0.5 to 15 s. No files.

    Args:
        warnings: what is known about the recording already; the result's warnings begin with it.

    Raises:
        AudioError: NaN or infinite samples, silence, less than 0.5 s of speech.
    """
    waveform.check_finite(frames)
    _check_long_enough(len(frames) / rate, "the recording is too short")
    whole, more = _cleaned(frames, rate)
    notes = [*warnings, *more]
    samples = waveform.trimmed(whole, SAMPLE_RATE_HZ)
    if not samples.size:
        raise _silent()
    length_s = len(samples) / SAMPLE_RATE_HZ
    _check_long_enough(length_s, "there is too little speech in the recording")
    if length_s < SHORT_S:
        notes.append(f"only {length_s:.1f} s of speech to learn from; 5 to 15 s give a better likeness")
    if length_s > USED_S:
        notes.append(f"of {length_s:.1f} s of speech the densest {USED_S:.0f} s were used")
    used = np.array(waveform.densest(samples, SAMPLE_RATE_HZ, USED_S), dtype=np.float32)
    return Reference(used / max(1.0, waveform.peak(used)), tuple(notes))


def _cleaned(frames: np.ndarray, rate: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Float32 `(N, C)` at `rate` to mono at 24 kHz without an offset, and what there is to say about it."""
    notes = tuple(complaints(frames, rate))
    mono, mixing = waveform.to_mono(frames)
    mono = mono - mono.mean(dtype=np.float64).astype(np.float32)  # an offset is no sound, but would count as level
    return waveform.resample(mono, rate), notes + mixing


def _silent() -> AudioError:
    return AudioError("the recording is silent", remedy="Give a recording in which someone speaks.")


def complaints(frames: np.ndarray, rate: int) -> Iterator[str]:
    """What is wrong with samples `(N, C)` at `rate`, one sentence each."""
    peak = waveform.peak(frames)
    if peak > 1:
        yield f"samples reach {peak:.3g}, beyond 1; they were scaled down"
    if waveform.is_clipped(frames.T.reshape(-1)):
        yield "the recording is clipped (flat tops at full scale); the voice will sound rougher"
    if rate < _NARROW_RATE_HZ:
        yield f"recorded at {rate} Hz, without anything above {rate / 2000:g} kHz; the voice will be duller"


def _check_long_enough(length_s: float, what: str) -> None:
    if length_s < SHORTEST_S:
        raise AudioError(
            what,
            field="seconds",
            value=round(length_s, 3),
            remedy=f"At least {SHORTEST_S} s of speech are needed; 5 to 15 s are best.",
        )


def _check_limits(count: int, rate: int, channels: int, limits: Limits) -> None:
    length_s, size_bytes = count / rate, 4 * count * channels
    if length_s > limits.reference_s:
        raise AudioError(
            f"the recording is longer than {limits.reference_s:g} s",
            field="seconds",
            value=round(length_s, 1),
            remedy="Cut 5 to 15 s of speech out of it, or raise Limits.reference_s.",
        )
    if size_bytes > limits.reference_bytes:
        raise AudioError(
            f"the recording takes more than {limits.reference_bytes / 2**20:.0f} MiB once decoded",
            field="MiB",
            value=round(size_bytes / 2**20),
            remedy="Cut 5 to 15 s of speech out of it, or raise Limits.reference_bytes.",
        )


def _decode(path: Path, limits: Limits) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """Samples `(N, C)`, rate and warnings of a sound file."""
    descriptor = _open(path)
    try:
        # By descriptor, so that the ending of the name plays no part and nothing is guessed from it.
        with soundfile.SoundFile(descriptor, closefd=False) as sound:
            rate = waveform.check_rate(sound.samplerate)
            if sound.channels > waveform.MOST_CHANNELS:
                raise AudioError("too many channels", field="channels", value=sound.channels, remedy=_CONVERT)
            _check_limits(max(0, sound.frames), rate, sound.channels, limits)
            frames, notes = _read_blocks(sound, path, limits)
            return frames, rate, notes
    except soundfile.SoundFileError as error:
        raise _not_audio(path, str(error)) from error
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """A descriptor of a plain file. Pipes and devices are refused: they may never end, or never begin."""
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise AudioError("this is a directory, not a recording", field="path", value=str(path))
        if not stat.S_ISREG(kind):
            raise AudioError("this is not a plain file", field="path", value=str(path), remedy="Save it to a file.")
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise AudioError(
            "there is no such recording",
            field="path",
            value=str(path),
            remedy="Check the name and the folder.",
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise AudioError(f"the recording cannot be opened: {reason}", field="path", value=str(path)) from error


def _read_blocks(sound: soundfile.SoundFile, path: Path, limits: Limits) -> tuple[np.ndarray, tuple[str, ...]]:
    """All that can be decoded, a second at a time and counted, since a header can say anything."""
    blocks: list[np.ndarray] = []
    count, damage = 0, ""
    while True:
        try:
            block = sound.read(sound.samplerate, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            damage = str(error)
            break
        if not len(block):
            break
        blocks.append(block)
        count += len(block)
        _check_limits(count, sound.samplerate, sound.channels, limits)
    if not count:
        raise _not_audio(path, damage or "it holds no samples")
    cut_short = bool(damage) or count < sound.frames or _says_cut_short(sound.extra_info)
    read_s = count / sound.samplerate
    notes = (f"the file is damaged or cut short; the {read_s:.2f} s that could be read were used",)
    return np.concatenate(blocks), notes if cut_short else ()


def _says_cut_short(log: str) -> bool:
    """Whether libsndfile's log of the header says that there is less sound than the header promises."""
    found = _WAV_CUT_SHORT.search(log)
    if found and int(found[2]) < int(found[1]) < _UNKNOWN_LENGTH_BYTES:
        return True
    return _OGG_CUT_SHORT in log


def _not_audio(path: Path, reason: str) -> AudioError:
    reason = reason.strip().splitlines()[0].rstrip(".") if reason.strip() else "unknown format"
    return AudioError(f"the recording cannot be read: {reason}", field="path", value=str(path), remedy=_CONVERT)
