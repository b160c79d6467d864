"""Loudness and true peak after ITU-R BS.1770-4 and EBU R 128, block by block; a limiter that keeps a ceiling.

Samples are `(N, C)` float32 at 48 kHz with one or two channels, for which BS.1770 has coefficients. Memory does not
grow with the length but for one number each 100 ms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from emovoice.dubbing import PROGRAMME_RATE_HZ
from emovoice.errors import InputError


@dataclass(frozen=True)
class Target:
    """What a programme has to meet.

    Attributes:
        name: what to call it.
        lufs: integrated loudness.
        peak_dbtp: highest true peak.
        of: "programme", or "dialogue" where the speech alone is measured.
    """

    name: str
    lufs: float
    peak_dbtp: float
    of: str = "programme"


TARGETS = {
    target.name: target
    for target in (
        Target("ebu", -23.0, -1.0),  # EBU R 128
        Target("streaming", -27.0, -2.0, of="dialogue"),  # dialogue loudness, as film streaming services ask for
        Target("web", -14.0, -1.0),
    )
}
"""Targets by name."""

TOLERANCE_LU = 0.5

# BS.1770-4, tables 1 and 2: the shelf of a head, and the RLB high-pass; at 48 kHz.
_WEIGHTING = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585),
    (1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621),
)
_STEP = PROGRAMME_RATE_HZ // 10
_BLOCK_STEPS = 4  # 400 ms, overlapping by 75 %
_ABSOLUTE_LUFS, _RELATIVE_LU = -70.0, -10.0
_OVERSAMPLING = 4
_TAPS = 12  # on each side, at the programme's rate
_PIECE = 2048
_LOOK_S = 0.005
_MARGIN_DB = 0.1  # the interpolator of BS.1770 may miss that much of a peak


def target_of(name: str) -> Target:
    """A target by name. Raises InputError."""
    if name not in TARGETS:
        raise InputError("unknown loudness target", field="target", value=name,
                         remedy=f"Use one of {', '.join(TARGETS)}.")
    return TARGETS[name]


class Meter:
    """Integrated loudness, true peak and length of what it was fed, in any blocks."""

    def __init__(self, channels: int) -> None:
        self.samples = 0
        self.peak = 0.0
        self._state = np.zeros((2, 2, channels))
        self._rest = np.zeros((0, channels))
        self._powers: list[float] = []
        self._tail = np.zeros((2 * _TAPS, channels), np.float32)

    def feed(self, block: np.ndarray) -> None:
        """Take in `(n, C)` samples."""
        from scipy.signal import sosfilt

        if not len(block):
            return
        self.samples += len(block)
        padded = np.concatenate([self._tail, block]).astype(np.float32)
        self.peak = max(self.peak, float(true_peaks(padded, self.peak).max(initial=0.0)))
        self._tail = padded[-2 * _TAPS :]
        weighted, self._state = sosfilt(_WEIGHTING, block, axis=0, zi=self._state)
        steps = np.concatenate([self._rest, weighted])
        whole = len(steps) // _STEP * _STEP
        power = np.square(steps[:whole]).reshape(-1, _STEP, steps.shape[1]).mean(axis=1).sum(axis=1)
        self._powers.extend(power.tolist())
        self._rest = steps[whole:]

    @property
    def lufs(self) -> float:
        """Integrated loudness, gated (BS.1770-4, equations 2 to 7); -inf for silence."""
        steps = np.array(self._powers)
        if not len(steps):
            return -math.inf
        width = min(_BLOCK_STEPS, len(steps))
        power = np.convolve(steps, np.ones(width) / width, mode="valid")
        power = power[_lufs(power) > _ABSOLUTE_LUFS]
        if not len(power):
            return -math.inf
        power = power[_lufs(power) > _lufs(power.mean()) + _RELATIVE_LU]
        return float(_lufs(power.mean())) if len(power) else -math.inf

    @property
    def peak_dbtp(self) -> float:
        """Highest true peak; -inf for silence."""
        return 20 * math.log10(self.peak) if self.peak > 0 else -math.inf


def measured(blocks: Iterable[np.ndarray], channels: int) -> Meter:
    """A meter that was fed all blocks."""
    meter = Meter(channels)
    for block in blocks:
        meter.feed(block)
    return meter


def true_peaks(samples: np.ndarray, above: float = 0.0) -> np.ndarray:
    """`(n, C)` to `(n,)`: the largest magnitude around each sample at four times the rate, over the channels.

    Args:
        above: where no true peak can exceed this, the samples' own magnitudes are returned: that saves most of the
            work, and is exact for anyone who only asks about peaks above it.
    """
    peaks = np.abs(samples).max(axis=1, initial=0.0)
    highest = float(np.abs(_interpolator()).reshape(-1)[1:].reshape(-1, _OVERSAMPLING).sum(axis=0).max())
    for start in range(0, len(samples), _PIECE):
        low, high = max(0, start - 2 * _TAPS), min(len(samples), start + _PIECE + 2 * _TAPS)
        if peaks[low:high].max(initial=0.0) * highest > above:
            found = _interpolated_peaks(samples[low:high])[start - low :][:_PIECE]
            peaks[start : start + _PIECE] = np.maximum(peaks[start : start + _PIECE], found)
    return peaks


def _interpolated_peaks(samples: np.ndarray) -> np.ndarray:
    """`(n, C)` to `(n,)`: the largest magnitude between each sample and its neighbours."""
    from scipy.signal import upfirdn

    kernel = _interpolator()
    peaks = np.zeros(len(samples), np.float32)
    columns = np.ascontiguousarray(samples.T)
    for phase in range(1, _OVERSAMPLING):
        between = np.abs(upfirdn(kernel[phase::_OVERSAMPLING], columns, axis=1)).max(axis=0)
        between = between[_TAPS : _TAPS + len(samples)]  # half way on from each sample
        peaks = np.maximum(peaks, between)
        peaks[1:] = np.maximum(peaks[1:], between[:-1])
    return peaks


def limited(samples: np.ndarray, gain: float, ceiling_dbtp: float, block: int = 480_000) -> Iterator[np.ndarray]:
    """`(N, C)` times `gain`, with true peaks below a ceiling; yields blocks that add up to N.

    A gain that falls ahead of each peak and recovers after it: the smallest gain needed within 5 ms, smoothed over
    5 ms, so that no sample is clipped and no gain jumps.
    """
    from scipy.ndimage import minimum_filter1d, uniform_filter1d

    look = round(_LOOK_S * PROGRAMME_RATE_HZ)
    around = 2 * look + 2 * _TAPS
    ceiling = 10 ** ((ceiling_dbtp - _MARGIN_DB) / 20)
    for start in range(0, len(samples), block):
        low, high = max(0, start - around), min(len(samples), start + block + around)
        piece = np.asarray(samples[low:high], np.float32) * np.float32(gain)
        needed = np.minimum(1.0, ceiling / np.maximum(true_peaks(piece, ceiling), 1e-9))
        # Any smoothing window around a sample lies within the window of the minimum: the mean cannot exceed it.
        smooth = uniform_filter1d(minimum_filter1d(needed, 2 * look + 1), 2 * look + 1)
        yield (piece * smooth[:, None])[start - low : start - low + block].astype(np.float32)


@cache
def _interpolator() -> np.ndarray:
    """A windowed sinc for four times the rate."""
    half = _TAPS * _OVERSAMPLING
    times = np.arange(-half, half + 1) / _OVERSAMPLING
    return np.asarray(np.sinc(times) * np.kaiser(len(times), 8.0), np.float32)


def _lufs(power: np.ndarray | float) -> np.ndarray:
    return np.asarray(-0.691 + 10 * np.log10(np.maximum(power, 1e-30)))
