"""Which emotion vector is wanted at which time. Pure.

Shapes: N points, K times, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emovoice.emotion.directions import Directions
from emovoice.emotion.path import Waypoint, along

_ALIKE = 0.25  # of the length of a full emotion: what lies nearer sounds the same


@dataclass(frozen=True)
class Target:
    """Points to pass: times in seconds (N,), vectors to move towards (N, D), and how far, 0..1 (N,)."""

    times_s: np.ndarray
    vectors: np.ndarray
    amounts: np.ndarray

    def at(self, space: Directions, source: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        """(K, D): e_ir of a source (D,) at the times (K,), smoothed."""
        return along(self.times_s, space.between(source[None], self.vectors, self.amounts), times_s)

    def is_like(self, space: Directions, source: np.ndarray) -> bool:
        """Whether a source (D,) sounds already as every point that is asked for with some intensity."""
        asked = self.amounts > 0
        full = float(np.median(np.linalg.norm(space.directions, axis=1)))
        away = np.linalg.norm(space.clean(self.vectors[asked] - source), axis=1)
        return bool(asked.any() and (away < _ALIKE * full).all())


def of_path(space: Directions, points: Sequence[Waypoint]) -> Target:
    """From points of named emotions: towards their place in the space, by their calibrated intensity."""
    vectors, amounts = [], []
    for point in points:
        shares = np.array(point.shares, np.float32)
        vectors.append(space.neutral + shares @ space.directions)
        inside = space.calibrated(point.intensity * shares)
        amounts.append(float(inside.sum()) if shares.any() else point.intensity)
    return Target(np.array([point.t_s for point in points]), np.stack(vectors), np.array(amounts, np.float32))


def of_reference(reference: np.ndarray, intensity: float) -> Target:
    """From the vector (D,) of a recording."""
    return Target(np.zeros(1), reference[None], np.array([intensity], np.float32))


def unchanged(dimensions: int) -> Target:
    """No other emotion: for another voice or length alone."""
    return of_reference(np.zeros(dimensions, np.float32), 0.0)
