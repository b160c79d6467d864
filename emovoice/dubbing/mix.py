"""From placed takes and a bed to one programme: streams of blocks, so that memory does not grow with the length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from emovoice import waveform
from emovoice.dubbing import PROGRAMME_RATE_HZ
from emovoice.dubbing.plan import Fit
from emovoice.dubbing.stretch import stretched
from emovoice.errors import OutputError

BLOCK = 10 * PROGRAMME_RATE_HZ

_EDGE_S = 0.003
_CUT_S = 0.03
_ATTACK_S, _RELEASE_S, _BRIDGE_S = 0.15, 0.4, 1.0
_UNDER_DIALOGUE_LU = 15.0  # how far the bed is to lie below the dialogue while someone speaks
_DUCK_RANGE_DB = (6.0, 30.0)


@dataclass(frozen=True)
class Placed:
    """A take where it belongs.

    Attributes:
        path: its sound file.
        fit: where it lies.
        character: whose it is.
        gain_db: as the cast and the original ask for; of a clip, what its file lacks.
    """

    path: Path
    fit: Fit
    character: str = ""
    gain_db: float = 0.0


def take_samples(placed: Placed) -> np.ndarray:
    """`(fit.length,)` float32 at the programme's rate: resampled, stretched, with short fades at its ends."""
    samples, rate = soundfile.read(placed.path, dtype="float32")
    if samples.ndim != 1 or not len(samples):
        raise OutputError("a take is no mono sound", field="path", value=str(placed.path), remedy="Delete it.")
    fit = placed.fit
    samples = _fixed(waveform.resample(samples, rate, PROGRAMME_RATE_HZ), fit.taken)
    samples = stretched(samples, fit.length + fit.cut, PROGRAMME_RATE_HZ)[: fit.length]
    return samples * _edges(len(samples), _CUT_S if fit.cut else _EDGE_S) * np.float32(10 ** (placed.gain_db / 20))


def reblocked(blocks: Iterable[np.ndarray], size: int = BLOCK) -> Iterator[np.ndarray]:
    """The same samples in blocks of exactly `size`, the last one shorter."""
    waiting: list[np.ndarray] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += len(block)
        while count >= size:
            joined = np.concatenate(waiting) if len(waiting) > 1 else waiting[0]
            yield joined[:size]
            waiting, count = [joined[size:]], count - size
    if count:
        yield np.concatenate(waiting)


def ducking(fits: Sequence[Fit], depth_db: float) -> Callable[[int, int], np.ndarray]:
    """A function (start, length) -> gains `(length, 1)` of the bed: down while someone speaks, up in long gaps."""
    times, gains_db = [-1.0], [0.0]
    for start, end in _bridged(fits):
        times += [start - _ATTACK_S * PROGRAMME_RATE_HZ, start, end, end + _RELEASE_S * PROGRAMME_RATE_HZ]
        gains_db += [0.0, -depth_db, -depth_db, 0.0]

    def gains(start: int, length: int) -> np.ndarray:
        found = np.interp(np.arange(start, start + length), times, gains_db)
        return (10 ** (found / 20)).astype(np.float32)[:, None]

    return gains


def mixed(speech: Iterable[np.ndarray], bed: Iterable[np.ndarray] | None, gains: Callable[[int, int], np.ndarray],
          channels: int) -> Iterator[np.ndarray]:
    """`(n, channels)` blocks of the speech, in the middle, over the bed."""
    at = 0
    below = reblocked(bed) if bed is not None else None
    for block in reblocked(speech):
        out = np.repeat(block, channels, axis=1)
        if below is not None:
            out = out + next(below) * gains(at, len(block))
        at += len(block)
        yield out


def only_under(bed: Iterable[np.ndarray], fits: Sequence[Fit]) -> Iterator[np.ndarray]:
    """Those samples of the bed over which someone speaks."""
    spans = [(fit.start, fit.end) for fit in fits]
    at, first = 0, 0
    for block in reblocked(bed):
        while first < len(spans) and spans[first][1] <= at:
            first += 1
        for start, end in spans[first:]:
            if start >= at + len(block):
                break
            yield block[max(0, start - at) : end - at]
        at += len(block)


def duck_depth_db(bed_lufs: float, dialogue_lufs: float) -> float:
    """How far to lower a bed of that loudness so that dialogue stands out; from their loudness at the same gain."""
    if not np.isfinite([bed_lufs, dialogue_lufs]).all():
        return 0.0
    low, high = _DUCK_RANGE_DB
    return float(min(high, max(low, bed_lufs - (dialogue_lufs - _UNDER_DIALOGUE_LU))))


def _bridged(fits: Sequence[Fit]) -> list[tuple[int, int]]:
    """Spans of speech; those less than a second apart are one."""
    bridge = _BRIDGE_S * PROGRAMME_RATE_HZ
    spans: list[tuple[int, int]] = []
    for fit in fits:
        if spans and fit.start - spans[-1][1] < bridge:
            spans[-1] = (spans[-1][0], fit.end)
        else:
            spans.append((fit.start, fit.end))
    return spans


def _silence(length: int) -> Iterator[np.ndarray]:
    while length > 0:
        yield np.zeros((min(BLOCK, length), 1), np.float32)
        length -= BLOCK


def _fixed(samples: np.ndarray, length: int) -> np.ndarray:
    """Exactly `length`: a resampler may be off by a sample."""
    return np.pad(samples, (0, max(0, length - len(samples))))[:length]


def _edges(length: int, last_s: float) -> np.ndarray:
    """Gains that rise over 3 ms and fall over `last_s`, against clicks."""
    gains = np.ones(length, np.float32)
    rise, fall = (min(length // 2, round(seconds * PROGRAMME_RATE_HZ)) for seconds in (_EDGE_S, last_s))
    gains[:rise] = np.linspace(0, 1, rise, endpoint=False, dtype=np.float32)
    if fall:
        gains[-fall:] *= np.linspace(1, 0, fall, dtype=np.float32)
    return gains
