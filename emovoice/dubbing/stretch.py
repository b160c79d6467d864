"""Longer or shorter without another pitch: WSOLA (Verhelst & Roelands 1993), exact to the sample. Pure.

Frames are taken from the input at the stretched pace, each moved within a small search range to where it continues
the previous one best (largest normalised cross-correlation), and overlap-added with a Hann window.
"""

from __future__ import annotations

import numpy as np

_WINDOW_S = 0.030
_SEARCH_S = 0.010


def stretched(samples: np.ndarray, length: int, rate: int) -> np.ndarray:
    """`(N,)` float32 to `(length,)` at the same pitch; N and length above 0. Itself when the length is the same."""
    if length < 1 or not len(samples):
        raise ValueError(f"cannot stretch {len(samples)} samples to {length}")
    if length == len(samples):
        return samples
    hop = round(_WINDOW_S * rate / 2)
    search = round(_SEARCH_S * rate)
    if min(len(samples), length) < 4 * hop:  # too short for frames; nobody hears a pitch in it
        positions = np.linspace(0, len(samples) - 1, length)
        return np.interp(positions, np.arange(len(samples)), samples).astype(np.float32)
    starts = _starts(np.asarray(samples, np.float32), length, hop, search)
    return _overlap_added(samples, starts, length, hop)


def _starts(samples: np.ndarray, length: int, hop: int, search: int) -> list[int]:
    """Where in the input each frame of `2 * hop` samples begins; frame k lies at k * hop in the output."""
    pace = (len(samples) - 2 * hop) / max(1, length - 2 * hop)
    last = len(samples) - 2 * hop
    starts = [0]
    for frame in range(1, -(-length // hop)):
        aim = min(last, round(frame * hop * pace))
        low, high = max(0, aim - search), min(last, aim + search)
        follow = starts[-1] + hop  # what would come next at the input's own pace
        if follow + hop > len(samples) or low >= high:
            starts.append(aim)
            continue
        starts.append(low + _best(samples[low : high + hop], samples[follow : follow + hop]))
    return starts


def _best(region: np.ndarray, template: np.ndarray) -> int:
    """Offset in `region` where `template` fits best."""
    products = np.correlate(region, template, mode="valid")
    energy = np.concatenate([[0.0], np.cumsum(np.square(region, dtype=np.float64))])
    norm = np.sqrt(np.maximum(energy[len(template) :] - energy[: -len(template)], 1e-9))
    return int(np.argmax(products / norm))


def _overlap_added(samples: np.ndarray, starts: list[int], length: int, hop: int) -> np.ndarray:
    window = np.hanning(2 * hop + 1)[:-1]  # periodic: two of them, half a window apart, add up to one
    out = np.zeros(len(starts) * hop + 2 * hop, np.float64)
    weight = np.zeros_like(out)
    for frame, start in enumerate(starts):
        piece = samples[start : start + 2 * hop]
        at = frame * hop
        out[at : at + len(piece)] += piece * window[: len(piece)]
        weight[at : at + len(piece)] += window[: len(piece)]
    return (out[:length] / np.maximum(weight[:length], 1e-3)).astype(np.float32)
