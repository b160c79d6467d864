"""Which emotion vector is wanted at which time. Pure.

Shapes: N points, K times, D numbers of a vector, E emotions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emovoice.emotion.directions import Directions
from emovoice.emotion.names import EMOTIONS
from emovoice.emotion.path import Waypoint, along
from emovoice.emotion.prosody import ProsodyMoves

_ALIKE = 0.25  # of the length of a full emotion: what lies nearer sounds the same


@dataclass(frozen=True)
class Target:
    """Points to pass: times in seconds (N,), vectors to move towards (N, D), and how far, 0..1 (N,); of which by name,
    (N, E) at full intensity."""

    times_s: np.ndarray
    vectors: np.ndarray
    amounts: np.ndarray
    shares: np.ndarray

    def at(self, space: Directions, source: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        """(K, D): e_ir of a source (D,) at the times (K,), smoothed."""
        return along(self.times_s, space.between(source[None], self.vectors, self.amounts), times_s)

    def moves(self, space: Directions, known: ProsodyMoves, source: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        """(K, 8): what becomes of the prosody of a source (D,). Named emotions have their own moves; what the map is
        asked for is how far the source is from neutral, and the vector of a recording."""
        unnamed = self.vectors - space.neutral - self.shares @ space.directions
        rest = space.clean(unnamed + known.audible(space.neutral - source))
        moves = self.amounts[:, None] * (self.shares @ known.named + known.of(rest))
        return along(self.times_s, moves, times_s)

    def is_like(self, space: Directions, source: np.ndarray) -> bool:
        """Whether a source (D,) sounds already as every point that is asked for with some intensity."""
        asked = self.amounts > 0
        full = float(np.median(np.linalg.norm(space.directions, axis=1)))
        away = np.linalg.norm(space.clean(self.vectors[asked] - source), axis=1)
        return bool(asked.any() and (away < _ALIKE * full).all())


def of_path(space: Directions, points: Sequence[Waypoint]) -> Target:
    """From points of named emotions: towards their place in the space, by their calibrated intensity."""
    shares = np.array([point.shares for point in points], np.float32)
    amounts = [float(space.calibrated(point.intensity * row).sum()) if row.any() else point.intensity
               for point, row in zip(points, shares, strict=True)]
    times_s = np.array([point.t_s for point in points])
    return Target(times_s, space.neutral + shares @ space.directions, np.array(amounts, np.float32), shares)


def of_reference(reference: np.ndarray, intensity: float) -> Target:
    """From the vector (D,) of a recording."""
    none = np.zeros((1, len(EMOTIONS)), np.float32)
    return Target(np.zeros(1), reference[None], np.array([intensity], np.float32), none)


def unchanged(dimensions: int) -> Target:
    """No other emotion: for another voice or length alone."""
    return of_reference(np.zeros(dimensions, np.float32), 0.0)
