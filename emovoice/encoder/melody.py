"""Pitch and level beside the codes: bins, and the way between bins and Hz or dB.

Pitch bin 0 is unvoiced; bins 1.. are spaced evenly on a log scale from 50 to 650 Hz. Level is the RMS of a code's 40
ms, in 2 dB bins from -80 dBFS; for the decoder it is scaled to about -1..1. Arrays are (..., K) at 25 Hz.
"""
from __future__ import annotations

from itertools import pairwise

import numpy as np

RATE_HZ = 24_000
CODE_SAMPLES = 960
PITCH_BINS, LEVEL_BINS = 128, 40
LOW_HZ, HIGH_HZ = 50.0, 650.0
_STEP = np.log(HIGH_HZ / LOW_HZ) / (PITCH_BINS - 2)
_FLOOR_DB, _BIN_DB = -80.0, 2.0


def pitch_to_bin(pitch_hz: np.ndarray) -> np.ndarray:
    """Hz (0 unvoiced) -> 0..127."""
    bins = 1 + np.round(np.log(np.clip(pitch_hz, LOW_HZ, HIGH_HZ) / LOW_HZ) / _STEP)
    return np.where(pitch_hz > 0, bins, 0).astype(np.int64)


def bin_to_pitch(bins: np.ndarray) -> np.ndarray:
    """0..127 -> Hz, 0 unvoiced."""
    return np.where(bins > 0, LOW_HZ * np.exp((bins - 1.0) * _STEP), 0.0).astype(np.float32)


def level_to_bin(level_db: np.ndarray) -> np.ndarray:
    """dBFS -> 0..39."""
    return np.clip(np.floor((level_db - _FLOOR_DB) / _BIN_DB), 0, LEVEL_BINS - 1).astype(np.int64)


def bin_to_level(bins: np.ndarray) -> np.ndarray:
    """0..39 -> dBFS at the middle of the bin."""
    return (_FLOOR_DB + (bins + 0.5) * _BIN_DB).astype(np.float32)


def scaled_level(level_db: np.ndarray) -> np.ndarray:
    """dBFS -> about -1..1, what the decoder is given."""
    return (np.clip(level_db, _FLOOR_DB, 0.0) + 40.0) / 40.0


def level_of(samples: np.ndarray) -> np.ndarray:
    """(n,) -> (n // 960,) RMS in dBFS per code."""
    codes = len(samples) // CODE_SAMPLES
    power = (samples[: codes * CODE_SAMPLES].reshape(codes, CODE_SAMPLES) ** 2).mean(1)
    return 10 * np.log10(power + 1e-10)


def pitch_per_code(f0_hz: np.ndarray, frame_hz: float, codes: int) -> np.ndarray:
    """F0 frames (0 unvoiced) at `frame_hz` -> (codes,): geometric mean of the voiced frames of each 40 ms.

    0 where fewer than half are voiced.
    """
    edges = np.round(np.arange(codes + 1) * CODE_SAMPLES / RATE_HZ * frame_hz).astype(int)
    out = np.zeros(codes, np.float32)
    for k, (a, b) in enumerate(pairwise(edges)):
        part = f0_hz[a : max(b, a + 1)]
        voiced = part[part > 0]
        if len(voiced) and 2 * len(voiced) >= len(part):
            out[k] = np.exp(np.log(voiced).mean())
    return out
