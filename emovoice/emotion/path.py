"""Emotions over seconds: points to pass at given times, and the way between them.

A point is a mixture of the eight (none for neutral) and an intensity. Between points the embeddings are interpolated,
and smoothed over 150 ms, so that a jump is heard as a quick change and not as a click.

Shapes: N points, K times, D numbers of a vector.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from emovoice.emotion import names
from emovoice.emotion.curve import EmotionCurve
from emovoice.errors import InputError

SMOOTH_S = 0.15
_SAMPLES = 16  # of the smoothing window
_REMEDY = "Give [(0.0, 'sad', 0.2), (2.5, 'happy', 0.9), ...]: seconds, an emotion, an intensity; times rise."


@dataclass(frozen=True)
class Waypoint:
    """What is felt at one moment: shares of the eight that add up to 1 (or 0: neutral), and how much of it, 0..1."""

    t_s: float
    shares: tuple[float, ...]
    intensity: float


def waypoints(emotion: Any, intensity: float | None, length_s: float | None = None) -> tuple[Waypoint, ...]:
    """Points from an emotion given in any of the accepted ways.

    Args:
        emotion: whatever `emovoice.emotion.names.parse` takes; keyframes [(seconds, emotion, intensity), ...]; or an
            `EmotionCurve` over the whole recording.
        intensity: 0..1; of keyframes and curves it multiplies theirs.
        length_s: how long the recording is, which a curve needs; None where nobody knows.

    Raises:
        InputError: not usable; says which keyframe.
    """
    if isinstance(emotion, EmotionCurve):
        if length_s is None:
            raise InputError("a curve over the whole needs a recording of known length", field="emotion",
                             remedy="Give keyframes in seconds for a stream.")
        factor = names.check_intensity(intensity, default=1.0)
        return tuple(_scaled(_mixed(frame.t * length_s, frame.emotion, frame.intensity), factor)
                     for frame in emotion.keyframes)
    if is_keyframes(emotion):
        factor = names.check_intensity(intensity, default=1.0)
        points = [_scaled(_keyframe(row, index), factor) for index, row in enumerate(emotion)]
        if any(b.t_s < a.t_s for a, b in itertools.pairwise(points)):
            raise InputError("the times of keyframes must rise", field="emotion", value=[p.t_s for p in points],
                             remedy=_REMEDY)
        return tuple(points)
    return (_mixed(0.0, emotion, intensity),)


def read_keyframes(text: str) -> list[tuple[float, str, float]]:
    """Keyframes out of "0:calm:0.2, 2.5:angry:0.9". Raises InputError for anything else."""
    rows = []
    for part in text.split(","):
        try:
            seconds, emotion, intensity = part.split(":")
            rows.append((float(seconds), emotion.strip(), float(intensity)))
        except ValueError as error:
            raise InputError("this is no keyframe", field="curve", value=part.strip(),
                             remedy='Give "SECONDS:EMOTION:INTENSITY, ...", such as "0:calm:0.2, 2.5:angry:0.9".'
                             ) from error
    return rows


def is_curve(emotion: object) -> bool:
    """Whether this emotion changes over time."""
    return isinstance(emotion, EmotionCurve) or is_keyframes(emotion)


def is_keyframes(emotion: object) -> bool:
    """Whether this is a list of (seconds, emotion, intensity)."""
    return (isinstance(emotion, Sequence) and not isinstance(emotion, str) and len(emotion) > 0
            and all(isinstance(row, (tuple, list)) for row in emotion))


def _keyframe(row: Sequence[Any], index: int) -> Waypoint:
    if len(row) != 3:
        raise InputError("a keyframe has three parts", field=f"emotion[{index}]", value=list(row), remedy=_REMEDY)
    t_s, emotion, intensity = row
    if isinstance(t_s, bool) or not isinstance(t_s, Real) or not math.isfinite(t_s) or t_s < 0:
        raise InputError("a time is a number of seconds, 0 or more", field=f"emotion[{index}]", value=t_s,
                         remedy=_REMEDY)
    return _mixed(float(t_s), emotion, intensity)


def _mixed(t_s: float, emotion: Any, intensity: float | None) -> Waypoint:
    """One point; the sum of given weights counts as part of the intensity."""
    weights = names.parse(emotion, intensity)
    whole = math.fsum(weights)
    if whole > 0:
        return Waypoint(t_s, tuple(weight / whole for weight in weights), min(whole, 1.0))
    # neutral, or an intensity of nothing; whichever it is, the way leads to the neutral point
    default = names.NAMED_INTENSITY if isinstance(emotion, str) else names.GIVEN_INTENSITY
    amount = names.check_intensity(intensity, default=default)
    return Waypoint(t_s, names.NEUTRAL, amount)


def _scaled(point: Waypoint, factor: float) -> Waypoint:
    return Waypoint(point.t_s, point.shares, point.intensity * factor)


def weights_within(points: Sequence[Waypoint], spans_s: Sequence[tuple[float, float]]) -> np.ndarray:
    """(S, 16, 8): the weights of the eight on the way, at 16 moments of each span (start, end) in seconds."""
    times_s = np.array([point.t_s for point in points])
    weights = np.array([point.shares for point in points]) * np.array([[point.intensity] for point in points])
    moments = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    at_s = np.array([start + (end - start) * moments for start, end in spans_s])
    return np.stack([np.interp(at_s, times_s, column) for column in weights.T], -1)


def along(times_s: np.ndarray, vectors: np.ndarray, at_s: np.ndarray) -> np.ndarray:
    """Points (N,) with vectors (N, D) -> (K, D) at the times (K,), averaged over the 150 ms around each.

    Constant before the first and after the last point.
    """
    if len(times_s) == 1:
        return np.repeat(vectors, len(at_s), axis=0).astype(np.float32)
    window = (np.arange(_SAMPLES) + 0.5) / _SAMPLES - 0.5
    place = at_s[:, None] + SMOOTH_S * window  # (K, samples)
    after = np.clip(np.searchsorted(times_s, place, side="right"), 1, len(times_s) - 1)
    gap = times_s[after] - times_s[after - 1]
    part = np.clip(np.where(gap > 0, (place - times_s[after - 1]) / np.where(gap > 0, gap, 1), place >= times_s[after]),
                   0, 1)
    share = np.zeros((len(at_s), len(times_s)))
    rows = np.repeat(np.arange(len(at_s)), _SAMPLES)
    np.add.at(share, (rows, after.ravel()), part.ravel() / _SAMPLES)
    np.add.at(share, (rows, after.ravel() - 1), (1 - part).ravel() / _SAMPLES)
    return (share @ vectors).astype(np.float32)
