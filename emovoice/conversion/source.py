"""What is converted, block by block: a file, an array, or blocks that are still coming.

A file or an array is gone through once before anything is converted, so that what is wrong with it is known in time:
its peak, clipping, channels, whether anybody speaks. Memory does not grow with its length.

Shapes: n samples, C channels; blocks are float32 (n, C).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from emovoice import waveform
from emovoice.audio import _not_audio, _open, _says_cut_short
from emovoice.errors import AudioError, InputError
from emovoice.limits import Limits

_BLOCK_S = 1.0
_OFFSET = 1e-3
_CANCELLED = 0.1  # a mix this much quieter than the loudest channel has lost it
_REMEDY = "Give a path, a numpy array, a pair (array, rate), or blocks of samples with rate=."


@dataclass
class Mixing:
    """How channels become one and one becomes channels again: by the second moments (C, C) of what was seen."""

    channels: int
    count: int = 0
    sums: np.ndarray = field(init=False)
    moments: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.sums = np.zeros(self.channels)
        self.moments = np.zeros((self.channels, self.channels))

    def see(self, block: np.ndarray) -> None:
        """Take a block (n, C) into account."""
        wide = block.astype(np.float64)
        self.count += len(block)
        self.sums += wide.sum(0)
        self.moments += wide.T @ wide

    @property
    def offset(self) -> np.ndarray:
        """(C,) mean: no sound, but it would count as level. A small one is that of the sound itself, and taking it away
        would put it into digital silence."""
        mean = self.sums / max(self.count, 1)
        return np.where(np.abs(mean) < _OFFSET, 0.0, mean)

    def _spread(self) -> np.ndarray:
        return self.moments - self.count * np.outer(self.offset, self.offset)

    def loudest(self) -> int | None:
        """The channel to be used alone, because the mean of all would cancel it; None for the mean."""
        spread = self._spread()
        mean = np.full(self.channels, 1 / self.channels)
        strongest = int(np.argmax(np.diag(spread)))
        return strongest if mean @ spread @ mean < _CANCELLED**2 * spread[strongest, strongest] else None

    def weights(self) -> np.ndarray:
        """(C,) of the mix to mono."""
        alone = self.loudest()
        return np.full(self.channels, 1 / self.channels) if alone is None else np.eye(self.channels)[alone]

    def gains(self) -> np.ndarray:
        """(C,): how much of the mix each channel is; 1 while there is nothing to tell by."""
        spread, weights = self._spread(), self.weights()
        energy = weights @ spread @ weights
        return (spread @ weights / energy if energy > 1e-12 else np.ones(self.channels)).astype(np.float32)


@dataclass
class Incoming:
    """A source that is about to be converted.

    Attributes:
        rate: samples a second.
        frames: how many there are; None where nobody knows.
        notes: what there is to say about it; grows while a stream comes in.
        scale: what samples are multiplied by, so that their peak is at most 1.
    """

    rate: int
    channels: int
    frames: int | None
    blocks: Iterator[np.ndarray]
    mixing: Mixing
    notes: list[str]
    scale: float = 1.0
    heard: bool = False  # whether anybody speaks
    taken: int = 0  # frames so far

    def mono(self) -> Iterator[np.ndarray]:
        """(n,) float32 blocks at the source's rate, without an offset."""
        known = self.frames is not None
        for block in self.blocks:
            waveform.check_finite(block)
            if not known:
                self.mixing.see(block)
            self.taken += len(block)
            offset = self.mixing.offset if known else 0.0
            mono = (block - offset) @ self.mixing.weights() * self.scale
            if not known and not self.heard:
                self.heard = bool(waveform.speech_frames(mono, self.rate).any())
            yield mono.astype(np.float32)

    def all_channels(self, mono: np.ndarray) -> np.ndarray:
        """(n,) -> (n,) for one channel, (n, C) for more."""
        return mono if self.channels == 1 else mono[:, None] * self.mixing.gains()


def open_source(source: Any, rate: int | None, limits: Limits) -> Incoming:
    """A source ready to be converted: a path, an array (at 24 kHz or `rate`), (array, rate), or blocks with `rate`.

    Raises:
        AudioError: missing, not audio, too long, silent, samples that are not numbers.
        InputError: blocks without a rate.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        return _known(lambda notes: _file_blocks(path, notes), *_header(path), limits)
    if isinstance(source, tuple) and len(source) == 2:
        source, rate = source
    if isinstance(source, np.ndarray):
        checked = waveform.check_rate(waveform.SAMPLE_RATE_HZ if rate is None else rate)
        frames = waveform.as_frames(source)
        step = round(_BLOCK_S * checked)
        cut = [frames[i : i + step] for i in range(0, len(frames), step)]
        return _known(lambda notes: iter(cut), checked, frames.shape[1], limits)
    if isinstance(source, Iterable) and not isinstance(source, (tuple, list, dict, bytes)):
        if rate is None:
            raise InputError("the rate of a stream is needed", field="rate", value=None, remedy="Give rate=48000.")
        return _coming(iter(source), waveform.check_rate(rate), limits)
    raise AudioError("a recording cannot be read from this", field="source", value=type(source).__name__,
                     remedy=_REMEDY)


def _known(blocks: Callable[[list[str]], Iterator[np.ndarray]], rate: int, channels: int, limits: Limits) -> Incoming:
    """Go through it once, then give it again."""
    notes: list[str] = []
    mixing, peak, flat, spoken = Mixing(channels), 0.0, 0, False
    for block in blocks(notes):
        waveform.check_finite(block)
        mixing.see(block)
        _check_length(mixing.count, rate, limits)
        peak = max(peak, waveform.peak(block))
        flat += waveform.is_clipped(block.T.reshape(-1)) * len(block)
        spoken = spoken or any(waveform.speech_frames(column, rate).any() for column in (block - mixing.offset).T)
    if not spoken:
        raise AudioError("the recording is silent", remedy="Give a recording in which someone speaks.")
    notes += _complaints(rate, peak, flat > 0, mixing)
    scale = 1 / peak if peak > 1 else 1.0
    again = blocks([])
    return Incoming(rate, channels, mixing.count, again, mixing, notes, scale, True)


def _complaints(rate: int, peak: float, clipped: bool, mixing: Mixing) -> Iterator[str]:
    if peak > 1:
        yield f"samples reach {peak:.3g}, beyond 1; the recording was made {20 * np.log10(peak):.1f} dB quieter"
    if clipped:
        yield "the recording is clipped (flat tops at full scale); the result will sound rougher"
    if rate < 16_000:
        yield f"recorded at {rate} Hz, without anything above {rate / 2000:g} kHz; the result will be duller"
    yield from _of_channels(mixing)


def _of_channels(mixing: Mixing) -> Iterator[str]:
    if mixing.channels == 1:
        return
    alone = mixing.loudest()
    if alone is not None:
        yield f"the channels cancel each other out; channel {alone + 1} alone was converted"
    yield f"{mixing.channels} channels were converted as one; they keep their levels, but not what else differs"


def _coming(blocks: Iterator[Any], rate: int, limits: Limits) -> Incoming:
    """Blocks of a stream; the first one tells how many channels there are."""
    try:
        first = _as_block(next(blocks), None)
    except StopIteration:
        raise AudioError("the stream holds no samples", field="source", value="nothing") from None
    channels = first.shape[1]
    mixing = Mixing(channels)
    notes = [] if channels == 1 else list(_of_channels(mixing))[-1:]

    def checked() -> Iterator[np.ndarray]:
        count = 0
        block: Any = first
        while True:
            ready = _as_block(block, channels)
            waveform.check_finite(ready)
            count += len(ready)
            _check_length(count, rate, limits)
            yield np.clip(ready, -1, 1) if waveform.peak(ready) > 1 and _told(notes) else ready
            try:
                block = next(blocks)
            except StopIteration:
                return

    return Incoming(rate, channels, None, checked(), mixing, notes)


def _told(notes: list[str]) -> bool:
    message = "samples of the stream reach beyond 1; they were clipped"
    if message not in notes:
        notes.append(message)
    return True


def _as_block(block: Any, channels: int | None) -> np.ndarray:
    """(n, C) float32; unlike whole recordings a block may be shorter than it is wide."""
    if not isinstance(block, np.ndarray) or block.ndim not in (1, 2) or not block.size:
        raise AudioError("a block of the stream is not an array of samples", field="block", value=type(block).__name__,
                         remedy="Give numpy arrays (n,) or (n, channels).")
    if block.ndim == 2 and block.shape[1] > waveform.MOST_CHANNELS:
        raise AudioError("too many channels", field="shape", value=block.shape)
    columns = [block] if block.ndim == 1 else list(block.T)
    ready = np.concatenate([waveform.as_frames(np.ascontiguousarray(column)) for column in columns], axis=1)
    if channels is not None and ready.shape[1] != channels:
        raise AudioError("blocks of a stream must have the same channels", field="shape", value=block.shape)
    return ready


def _check_length(count: int, rate: int, limits: Limits) -> None:
    if count > limits.source_s * rate:
        raise AudioError(
            f"the recording is longer than {limits.source_s:g} s",
            field="seconds",
            value=round(count / rate, 1),
            remedy="Cut it into parts, or raise the limit: Engine(limits=Limits(source_s=...)).",
        )


def _header(path: Path) -> tuple[int, int]:
    descriptor = _open(path)
    try:
        with soundfile.SoundFile(descriptor, closefd=False) as sound:
            if sound.channels > waveform.MOST_CHANNELS:
                raise AudioError("too many channels", field="channels", value=sound.channels)
            return waveform.check_rate(sound.samplerate), sound.channels
    except soundfile.SoundFileError as error:
        raise _not_audio(path, str(error)) from error
    finally:
        os.close(descriptor)


def _file_blocks(path: Path, notes: list[str]) -> Iterator[np.ndarray]:
    """Blocks of a sound file, as far as it can be read."""
    descriptor = _open(path)
    try:
        with soundfile.SoundFile(descriptor, closefd=False) as sound:
            count, damage = 0, ""
            while True:
                try:
                    block = sound.read(round(_BLOCK_S * sound.samplerate), dtype="float32", always_2d=True)
                except soundfile.SoundFileError as error:
                    damage = str(error)
                    break
                if not len(block):
                    break
                count += len(block)
                yield block
            if not count:
                raise _not_audio(path, damage or "it holds no samples")
            if damage or count < sound.frames or _says_cut_short(sound.extra_info):
                read_s = count / sound.samplerate
                notes.append(f"the file is damaged or cut short; the {read_s:.2f} s that could be read were used")
    except soundfile.SoundFileError as error:
        raise _not_audio(path, str(error)) from error
    finally:
        os.close(descriptor)
