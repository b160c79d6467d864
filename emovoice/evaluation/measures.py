"""Figures from samples, pitch tracks and lists of numbers. Pure functions: numpy, and scipy where named.

`samples` are float32 mono `(N,)` in -1..1, `rate` is in Hz; st = semitones re 1 Hz where a level is meant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

ACTIVE_BELOW_PEAK_DB = 40.0
"""Frames less than this below the loudest one count as speech; Kokoro's own silence lies far deeper."""
FEWEST_VOICED_FRAMES = 8
"""With fewer, a pitch statistic says nothing and is NaN."""
_FRAME_S = 0.02
_HOP_S = 0.01
_FLOOR_DB = -120.0


def frame_levels_db(samples: np.ndarray, rate: int) -> np.ndarray:
    """`(F,)` RMS in dB re full scale of 20 ms frames every 10 ms; never below -120."""
    frame, hop = max(1, round(_FRAME_S * rate)), max(1, round(_HOP_S * rate))
    padded = np.pad(np.asarray(samples, dtype=np.float64), (0, max(0, frame - len(samples))))
    sums = np.concatenate(([0.0], np.cumsum(padded**2)))
    starts = np.arange(0, len(padded) - frame + 1, hop)
    power = (sums[starts + frame] - sums[starts]) / frame
    return 10 * np.log10(np.maximum(power, 10 ** (_FLOOR_DB / 10)))


def active_frames(samples: np.ndarray, rate: int) -> np.ndarray:
    """`(F,)` booleans: frames within 40 dB of the loudest; all False in digital silence."""
    levels = frame_levels_db(samples, rate)
    loudest = float(levels.max())
    if loudest <= _FLOOR_DB:
        return np.zeros(len(levels), dtype=bool)
    return np.asarray(levels > loudest - ACTIVE_BELOW_PEAK_DB)


def speech_s(samples: np.ndarray, rate: int) -> float:
    """Seconds from the first to the last active frame, pauses in between included; 0 in silence."""
    active = np.flatnonzero(active_frames(samples, rate))
    if not len(active):
        return 0.0
    return min(float(active[-1] - active[0]) * _HOP_S + _FRAME_S, len(samples) / rate)


def level_db(samples: np.ndarray, rate: int) -> float:
    """RMS of the active frames in dB re full scale; NaN in silence."""
    active = active_frames(samples, rate)
    if not active.any():
        return math.nan
    return float(10 * np.log10(np.mean(10 ** (frame_levels_db(samples, rate)[active] / 10))))


def letters_per_s(text: str, samples: np.ndarray, rate: int) -> float:
    """Letters and digits of the text per second of trimmed speech; NaN in silence.

    Only ever compared within one text, where it moves exactly as phonemes per second would.
    """
    seconds = speech_s(samples, rate)
    return sum(character.isalnum() for character in text) / seconds if seconds > 0 else math.nan


def semitones(hz: ArrayLike) -> np.ndarray:
    """12 log2 of Hz: semitones re 1 Hz."""
    return 12 * np.log2(np.asarray(hz, dtype=np.float64))


def f0_level_st(voiced_hz: np.ndarray) -> float:
    """Median pitch of the voiced frames in st re 1 Hz; NaN with fewer than 8 voiced frames."""
    return float(np.median(semitones(voiced_hz))) if len(voiced_hz) >= FEWEST_VOICED_FRAMES else math.nan


def f0_range_st(voiced_hz: np.ndarray) -> float:
    """95th less 5th percentile of the pitch of the voiced frames in st; NaN with fewer than 8 of them."""
    if len(voiced_hz) < FEWEST_VOICED_FRAMES:
        return math.nan
    low, high = np.percentile(semitones(voiced_hz), [5, 95])
    return float(high - low)


def cosine(a: ArrayLike, b: ArrayLike) -> float:
    """Cosine similarity of two vectors of one shape, -1..1; 0 when one of them is all zero."""
    x, y = np.asarray(a, dtype=np.float64).ravel(), np.asarray(b, dtype=np.float64).ravel()
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y / norm) if norm > 0 else 0.0


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation (scipy). 0 where it is undefined: a constant or a NaN among the values."""
    if not np.isfinite([*x, *y]).all() or len(set(x)) < 2 or len(set(y)) < 2:
        return 0.0
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic)


def moves_as_expected(changes: Sequence[float], direction: int) -> bool:
    """Whether the mean of the finite changes has the sign of `direction`, +1 or -1; False if none is."""
    finite = np.asarray(changes, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    return bool(len(finite)) and bool(finite.mean() * direction > 0)


def ratio(numerators: ArrayLike, denominators: ArrayLike) -> float:
    """Sum over sum: corpus-level word error rate from errors and words per item; NaN without denominators."""
    below = float(np.sum(denominators))
    return float(np.sum(numerators)) / below if below else math.nan


def ratio_ci(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Percentile bootstrap over items of `ratio`; None with fewer than two items.

    Args:
        numerators, denominators: `(N,)` per item.
        draws: resamples; the same `seed` gives the same interval.
    """
    top, below = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if len(top) < 2:
        return None
    pick = np.random.default_rng(seed).integers(0, len(top), (draws, len(top)))
    sums = below[pick].sum(axis=1)
    values = np.divide(top[pick].sum(axis=1), sums, out=np.zeros(draws), where=sums > 0)
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def mean_ci(
    values: ArrayLike, *, confidence: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float] | None:
    """Percentile bootstrap of the mean over the items of `values` `(N,)`; None with fewer than two."""
    return ratio_ci(values, np.ones(len(np.asarray(values))), confidence=confidence, draws=draws, seed=seed)
