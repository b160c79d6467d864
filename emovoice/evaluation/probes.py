"""Linear probes: what can be read out of a vector by the simplest of readers, on texts it never met. Plain numpy.

Shapes: N items, D values of a vector, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

HELD_SHARE = 0.3
"""Of the texts; none of their items is used to fit."""
FEWEST_OF_A_CLASS = 5
"""Items to fit with; rarer classes are left out on both sides."""
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the ridge, relative to the spread of the values
_LEAST_SPREAD = 1e-8


@dataclass(frozen=True)
class Reading:
    """How well a probe read labels. `right` (H,) bool per held-out item, `weight` (H,) what it counts; `classes` is how
    many there were to tell apart.

    All classes count alike, however many items they have: a corpus is half neutral, and "neutral" is no reading.
    """

    right: np.ndarray
    weight: np.ndarray
    classes: int

    @property
    def accuracy(self) -> float:
        """Mean over classes of the share that was read right, 0..1; NaN without items."""
        return float(np.average(self.right, weights=self.weight)) if len(self.right) else float("nan")

    @property
    def chance(self) -> float:
        """What guessing gets."""
        return 1 / self.classes if self.classes else float("nan")


def read_out(vectors: np.ndarray, labels: Sequence[str], texts: Sequence[str], seed: int = 0) -> Reading:
    """Fit a probe on most texts, read the others.

    Args:
        vectors: (N, D).
        labels: N names of classes.
        texts: N texts, by which items are split: items of one text are on one side.
        seed: decides the split.
    """
    names, numbers = np.unique(np.array(labels, dtype=str), return_inverse=True)
    held = split(texts, HELD_SHARE, seed)
    counts = np.bincount(numbers[~held], minlength=len(names))
    known = counts[numbers] >= FEWEST_OF_A_CLASS
    fit, test = known & ~held, known & held
    classes = int(np.count_nonzero(counts >= FEWEST_OF_A_CLASS))
    if classes < 2 or not test.any():
        return Reading(np.zeros(0, bool), np.zeros(0), classes)
    inner = split([text for text, used in zip(texts, fit.tolist(), strict=True) if used], HELD_SHARE, seed + 1)
    x, y = vectors[fit].astype(np.float64), numbers[fit]
    strength = _best_strength(x, y, inner) if 0 < inner.sum() < len(inner) else _STRENGTHS[2]
    right = _predict(x, y, vectors[test], (strength,))[0] == numbers[test]
    return Reading(right, _weights(numbers[test]), classes)


def split(texts: Sequence[str], share: float, seed: int) -> np.ndarray:
    """(N,) bool: the items of a random `share` of the different texts."""
    different = sorted(set(texts))
    picked = np.random.default_rng(seed).permutation(len(different))[: round(share * len(different))]
    chosen = {different[i] for i in picked}
    return np.array([text in chosen for text in texts], dtype=bool)


def _best_strength(x: np.ndarray, y: np.ndarray, inner: np.ndarray) -> float:
    read = _predict(x[~inner], y[~inner], x[inner], _STRENGTHS)
    return _STRENGTHS[int(np.argmax((read == y[inner]) @ _weights(y[inner])))]


def _weights(y: np.ndarray) -> np.ndarray:
    """(N,) what each item counts, so that classes count alike; the mean is 1."""
    counts = np.bincount(y)
    return len(y) / (np.count_nonzero(counts) * counts[y])


def _predict(x: np.ndarray, y: np.ndarray, new: np.ndarray, strengths: Sequence[float]) -> np.ndarray:
    """Ridge regression of one-hot classes (N,) on x (N, D), weighted so that classes count alike, for each strength:
    classes (len(strengths), H) of `new`."""
    weight = _weights(y)[:, None]
    mean = (weight * x).mean(0)
    spread = np.sqrt((weight * (x - mean) ** 2).mean(0))
    scale = np.where(spread > _LEAST_SPREAD, spread, np.inf)  # a value that never changes tells nothing
    wanted = np.eye(int(y.max()) + 1)[y]
    share = (weight * wanted).mean(0)
    u, s, vt = np.linalg.svd(np.sqrt(weight) * (x - mean) / scale, full_matrices=False)
    target = u.T @ (np.sqrt(weight) * (wanted - share))
    seen = (new - mean) / scale @ vt.T
    shrunk = [s / (s**2 + strength * len(x)) for strength in strengths]
    return np.stack([(seen @ (w[:, None] * target) + share).argmax(1) for w in shrunk])
