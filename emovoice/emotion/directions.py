"""Directional latent vectors: EmoReg's model of the emotion space (arXiv 2412.20359), which is text to speech's as well.

    local means    of a Gaussian mixture: a component for neutral and for each emotion          m_k
    directions     between local means, and between pairs of recordings of one text and voice   D
    learned PCA    the leading right singular vectors of D, not centred, so that no difference
                   stays no difference                                                          U (Q, D)
    use            e_d = U^T U (e_r - e_s),  e_ir = e_s + i e_d                                 for i in 0..1

Q is the smallest number with which, on pairs that were kept out, the length of the cleaned difference follows the known
intensity (Spearman) about as well as with any number. Intensities are calibrated by a monotone map for each emotion, so
that equal steps asked for are equal steps measured.

Shapes: N items, P pairs, E = 8 emotions, D = 256 numbers of a vector, Q components, G points of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emovoice.emotion.names import EMOTIONS
from emovoice.emotion.space import EmotionSpace

STRONG = 0.6
"""Intensity from which an item belongs to the component of its emotion."""
POINTS = 11
"""G: points of a calibration, from 0 to 1."""
_OWN_LABEL = 0.9  # belief in the label of an item before its vector is looked at
_ROUNDS = 10
_MOST_COMPONENTS = 32
_AS_GOOD = 0.005
_HELD_SHARE = 5  # every fifth pair is kept out
_LONGEST_PERCENTILE = 99


def _identity(emotions: int) -> np.ndarray:
    return np.tile(np.linspace(0, 1, POINTS, dtype=np.float32), (emotions, 1))


@dataclass
class Directions(EmotionSpace):
    """The emotion space with its learned PCA.

    Attributes:
        neutral: (D,) local mean of neutral speech.
        directions: (E, D) from there to each emotion at full intensity, cleaned.
        basis: (Q, D) orthonormal rows.
        calibration: (E, G) intensity inside for the intensities 0, 0.1 ... 1 asked for.
        longest: no cleaned difference is longer than nearly all in training were.
        about: what was found when it was fitted, for people.
    """

    basis: np.ndarray = field(default_factory=lambda: np.zeros((0, 256), np.float32))
    calibration: np.ndarray = field(default_factory=lambda: _identity(len(EMOTIONS)))
    longest: float = float("inf")
    about: dict[str, Any] = field(default_factory=dict)

    def at(self, weights: Sequence[float] | np.ndarray) -> np.ndarray:
        """(E,) weights in 0..1, together at most 1 -> (D,): neutral + sum of calibrated weight * direction."""
        return super().at(self.calibrated(weights))

    def calibrated(self, weights: Sequence[float] | np.ndarray) -> np.ndarray:
        """(E,) weights -> (E,): of a mixture each emotion gets its share of its own map of the whole."""
        asked = np.asarray(weights, np.float32)
        whole = float(asked.sum())
        if whole <= 0:
            return asked
        grid = np.linspace(0, 1, self.calibration.shape[1])
        inside = np.array([np.interp(min(whole, 1.0), grid, row) for row in self.calibration], np.float32)
        return asked / np.float32(whole) * inside

    def clean(self, difference: np.ndarray) -> np.ndarray:
        """(..., D) -> (..., D): PCA and its inverse, and no longer than `longest`."""
        kept = difference @ self.basis.T @ self.basis
        length = np.linalg.norm(kept, axis=-1, keepdims=True)
        return (kept * np.minimum(1.0, self.longest / np.maximum(length, 1e-12))).astype(np.float32)

    def between(self, source: np.ndarray, reference: np.ndarray, intensity: float | np.ndarray) -> np.ndarray:
        """e_s + i e_d: (D,), (..., D) and i of (...) -> (..., D)."""
        amount = np.asarray(intensity, np.float32)[..., None]
        return (source + amount * self.clean(reference - source)).astype(np.float32)

    @classmethod
    def fit_pairs(cls, weights: np.ndarray, vectors: np.ndarray, pairs: np.ndarray) -> Directions:
        """Weights (N, E), vectors (N, D), and pairs (P, 2) of items: a neutral and an emotional one of one text and voice.

        Raises:
            ValueError: fewer than ten pairs, or an emotion or neutral without a strong item.
        """
        if len(pairs) < 10:
            raise ValueError(f"{len(pairs)} pairs of a text and voice are too few for directions; 10 are the least")
        neutral, means, reached = local_means(weights, vectors)
        differences = vectors[pairs[:, 1]] - vectors[pairs[:, 0]]
        held = np.arange(len(pairs)) % _HELD_SHARE == 0
        scores = monotonicity(_pca(means - neutral, differences[~held]), differences[held], weights[pairs[held, 1]])
        count = 1 + int(np.flatnonzero(scores >= scores.max() - _AS_GOOD)[0])
        basis = _pca(means - neutral, differences)[:count]
        directions = (means - neutral) @ basis.T @ basis / reached[:, None]
        longest = float(np.percentile(np.linalg.norm(differences @ basis.T, axis=1), _LONGEST_PERCENTILE))
        longest = max(longest, float(np.linalg.norm(directions, axis=1).max()))
        about = {"emotions": list(EMOTIONS), "items": len(vectors), "pairs": len(pairs), "components": count,
                 "pairs_kept_out": int(held.sum()),
                 "spearman_of_kept_out_pairs": {str(i + 1): round(float(s), 4) for i, s in enumerate(scores)},
                 "intensity_of_local_means": [round(float(r), 3) for r in reached]}
        as_float = [np.asarray(part, np.float32) for part in (neutral, directions, basis)]
        return cls(*as_float, longest=longest, about=about)


def local_means(weights: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Neutral (D,), means (E, D), and the mean intensity of each mean's items (E,), by a mixture of round Gaussians.

    Labels are believed to nine tenths and the vectors decide the rest, so that a recording whose emotion cannot be heard
    does not pull its mean. Items of an intensity between none and STRONG take no part.
    """
    label = np.where(weights.max(1) >= STRONG, weights.argmax(1) + 1, np.where(weights.max(1) == 0, 0, -1))
    used = label >= 0
    x, label, known = vectors[used].astype(np.float64), label[used], weights[used]
    count = weights.shape[1] + 1
    if missing := sorted(set(range(count)) - set(label.tolist())):
        names = ["neutral", *EMOTIONS]
        raise ValueError(f"no strong recording of {', '.join(names[i] for i in missing)}")
    belief = np.where(np.eye(count, dtype=bool)[label], _OWN_LABEL, (1 - _OWN_LABEL) / (count - 1))
    share = np.eye(count)[label]
    for _ in range(_ROUNDS):
        size = np.maximum(share.sum(0), 1e-6)
        means = share.T @ x / size[:, None]
        distance = ((x[:, None] - means[None]) ** 2).sum(-1)  # (N, E + 1)
        variance = (share * distance).sum(0) / size / x.shape[1] + 1e-6
        score = np.log(belief) - 0.5 * distance / variance - 0.5 * x.shape[1] * np.log(variance)
        share = np.exp(score - score.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
    intensity = (share[:, 1:] * known).sum(0) / np.maximum(share[:, 1:].sum(0), 1e-6)
    return means[0], means[1:], np.clip(intensity, STRONG, 1.0)


def _pca(from_neutral: np.ndarray, differences: np.ndarray) -> np.ndarray:
    """(at most 32, D) leading right singular vectors of all directions, which are not centred.

    The directions between local means (E, D) weigh as much as all pairs (P, D) together.
    """
    points = np.concatenate([np.zeros_like(from_neutral[:1]), from_neutral])
    rows, columns = np.triu_indices(len(points), 1)
    between = points[rows] - points[columns]
    stacked = [part / max(float(np.linalg.norm(part)), 1e-12) for part in (between, differences)]
    return np.linalg.svd(np.concatenate(stacked), full_matrices=False)[2][:_MOST_COMPONENTS]


def monotonicity(basis: np.ndarray, differences: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(Q,): with the first 1, 2 ... Q components, how well the length of a cleaned difference follows the intensity.

    Spearman's correlation within each emotion that has three pairs or more, averaged.
    """
    from scipy.stats import spearmanr

    lengths = np.sqrt(np.cumsum((differences @ basis.T) ** 2, axis=1))  # (P, Q)
    kinds, intensity = weights.argmax(1), weights.max(1)
    own = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    own = [rows for rows in own if len(rows) > 2 and len(set(intensity[rows].tolist())) > 1] or [np.arange(len(kinds))]
    found = [[float(spearmanr(lengths[rows, q], intensity[rows]).statistic) for q in range(len(basis))] for rows in own]
    return np.nan_to_num(np.mean(found, axis=0))


def calibration_of(inside: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Strengths (E, H) measured at the inside intensities (H,), rising from 0 to 1 -> (E, G) map.

    Isotonic regression makes a strength rise; its inverse is the map. Where nothing rises, it is the identity.
    """
    from scipy.optimize import isotonic_regression

    asked = np.linspace(0, 1, POINTS)
    out = _identity(len(strength))
    for row, values in enumerate(strength):
        if not np.isfinite(values).all():
            continue
        rising = isotonic_regression(values).x
        span = rising[-1] - rising[0]
        if span <= 1e-9:
            continue
        # a hundredth of a straight line, so that the inverse of a flat stretch is not a jump
        share = 0.99 * (rising - rising[0]) / span + 0.01 * (inside - inside[0]) / (inside[-1] - inside[0])
        out[row] = np.interp(asked, share, inside)
    return out
