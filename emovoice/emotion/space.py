"""The emotion space: a neutral point and a direction per emotion, found by least squares on the encoder's vectors."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass
class EmotionSpace:
    """Neutral point (256,) and directions (8, 256), in the order of EMOTIONS."""

    neutral: np.ndarray
    directions: np.ndarray

    def at(self, weights: Sequence[float] | np.ndarray) -> np.ndarray:
        """(8,) weights in 0..1 -> (256,): neutral + sum of weight * direction."""
        return (self.neutral + np.asarray(weights, np.float32) @ self.directions).astype(np.float32)

    @classmethod
    def fit(cls, weights: np.ndarray, vectors: np.ndarray) -> EmotionSpace:
        """Least squares of vectors (N, 256) on weights (N, 8)."""
        design = np.concatenate([np.ones((len(weights), 1), np.float32), weights], 1)
        solution, *_ = np.linalg.lstsq(design, vectors, rcond=None)
        return cls(solution[0].astype(np.float32), solution[1:].astype(np.float32))
