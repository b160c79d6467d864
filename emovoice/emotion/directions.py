"""Directional latent vectors: EmoReg's model of the emotion space (arXiv 2412.20359), text to speech's as well.

    local means    of a Gaussian mixture: a component for neutral and for each emotion          m_k
    directions     between local means, and between pairs of recordings of one text and voice   D
    learned PCA    the leading right singular vectors of D, not centred, so that no difference
                   stays no difference                                                          U (Q, D)
    use            e_d = U^T U (e_r - e_s),  e_ir = e_s + i e_d                                 for i in 0..1

Q is the smallest number with which, on pairs that were kept out, what a linear reader gets of each emotion out of the
cleaned difference follows its intensity (Spearman) about as well as with any number; at least E, so that emotions stay
apart. Intensities are calibrated by a monotone map for each emotion, so that equal steps asked for are equal steps
measured.

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
_SHRINK = 0.1  # of a covariance towards a round one
_LEAST_REACHED = 0.5
_MOST_COMPONENTS = 32
_AS_GOOD = 0.01
_FOLDS = 5  # a fifth of the pairs is kept out in turn
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
        """Weights (N, E), vectors (N, D), pairs (P, 2) of items: a neutral and an emotional one of one text and voice.

        Raises:
            ValueError: fewer than ten pairs, or an emotion or neutral without a strong item.
        """
        if len(pairs) < 10:
            raise ValueError(f"{len(pairs)} pairs of a text and voice are too few for directions; 10 are the least")
        neutral, means, reached = local_means(weights, vectors)
        differences = vectors[pairs[:, 1]] - vectors[pairs[:, 0]]
        scores = _kept_out_scores(means - neutral, differences, weights[pairs[:, 1]])
        least = min(len(means), len(scores))  # with fewer, named emotions would fall together
        count = least + int(np.flatnonzero(scores[least - 1 :] >= scores[least - 1 :].max() - _AS_GOOD)[0])
        basis = _pca(means - neutral, differences)[:count]
        directions = (means - neutral) @ basis.T @ basis / reached[:, None]
        longest = float(np.percentile(np.linalg.norm(differences @ basis.T, axis=1), _LONGEST_PERCENTILE))
        longest = max(longest, float(np.linalg.norm(directions, axis=1).max()))
        about = {"emotions": list(EMOTIONS), "items": len(vectors), "pairs": len(pairs), "components": count,
                 "spearman_of_kept_out_pairs": {str(i + 1): round(float(s), 4) for i, s in enumerate(scores)},
                 "intensity_of_local_means": [round(float(r), 3) for r in reached]}
        return cls(neutral.astype(np.float32), directions.astype(np.float32), basis.astype(np.float32),
                   longest=longest, about=about)


def local_means(weights: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Neutral (D,), means (E, D), and the mean intensity of each mean's items (E,), by a mixture of Gaussians.

    The mixture is seen where the labels differ most against the spread within them (linear discriminants), in which
    every component is round and of unit size. Labels are believed to nine tenths and the vectors decide the rest, so
    that a recording whose emotion cannot be heard does not pull its mean. Items of an intensity between none and STRONG
    take no part.
    """
    label = np.where(weights.max(1) >= STRONG, weights.argmax(1) + 1, np.where(weights.max(1) == 0, 0, -1))
    used = label >= 0
    x, label, known = vectors[used].astype(np.float64), label[used], weights[used]
    count = weights.shape[1] + 1
    if missing := sorted(set(range(count)) - set(label.tolist())):
        names = ["neutral", *EMOTIONS]
        raise ValueError(f"no strong recording of {', '.join(names[i] for i in missing)}")
    seen = x @ _discriminants(x, label, count)
    belief = np.where(np.eye(count, dtype=bool)[label], _OWN_LABEL, (1 - _OWN_LABEL) / (count - 1))
    share = np.eye(count)[label]
    for _ in range(_ROUNDS):
        means = share.T @ seen / share.sum(0)[:, None]
        score = np.log(belief) - 0.5 * ((seen[:, None] - means[None]) ** 2).sum(-1)
        share = np.exp(score - score.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
    size = share.sum(0)
    intensity = (share[:, 1:] * known).sum(0) / size[1:]
    means = share.T @ x / size[:, None]
    return means[0], means[1:], np.clip(intensity, _LEAST_REACHED, 1.0)


def _discriminants(x: np.ndarray, label: np.ndarray, count: int) -> np.ndarray:
    """(D, count - 1): projections in which classes have unit spread and their means lie furthest apart (Fisher)."""
    means = np.stack([x[label == k].mean(0) for k in range(count)])
    left = x - means[label]
    within = left.T @ left / len(x)
    within += _SHRINK * np.trace(within) / len(within) * np.eye(len(within))
    values, vectors = np.linalg.eigh(within)
    whiten = vectors / np.sqrt(values)
    apart = (means - means.mean(0)) @ whiten
    return whiten @ np.linalg.svd(apart, full_matrices=False)[2][: count - 1].T


def _pca(from_neutral: np.ndarray, differences: np.ndarray) -> np.ndarray:
    """(at most 32, D) leading right singular vectors of all directions, which are not centred.

    The directions between local means (E, D) weigh as much as all pairs (P, D) together.
    """
    points = np.concatenate([np.zeros_like(from_neutral[:1]), from_neutral])
    rows, columns = np.triu_indices(len(points), 1)
    between = points[rows] - points[columns]
    stacked = [part / max(float(np.linalg.norm(part)), 1e-12) for part in (between, differences)]
    return np.linalg.svd(np.concatenate(stacked), full_matrices=False)[2][:_MOST_COMPONENTS]


def _kept_out_scores(from_neutral: np.ndarray, differences: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(Q,): `monotonicity` of what is read of pairs in components that were found without them."""
    fold = np.arange(len(differences)) % _FOLDS
    count = len(_pca(from_neutral, differences[fold != 0]))
    read = np.zeros((count, *weights.shape))
    for held in (fold == i for i in range(_FOLDS)):
        basis = _pca(from_neutral, differences[~held])[:count]
        read[:, held] = readings(differences[~held] @ basis.T, weights[~held], differences[held] @ basis.T)
    return monotonicity(read, weights)


def readings(known: np.ndarray, weights: np.ndarray, new: np.ndarray) -> np.ndarray:
    """(Q, H, E): the weights of new differences (H, Q), by least squares on known ones (P, Q), weights (P, E), in the
    first 1, 2 ... Q components."""
    out = []
    for q in range(1, known.shape[1] + 1):
        gram = known[:, :q].T @ known[:, :q]
        ridge = 1e-3 * np.trace(gram) / q * np.eye(q)
        out.append(new[:, :q] @ np.linalg.solve(gram + ridge, known[:, :q].T @ weights))
    return np.stack(out)


def monotonicity(read: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(Q,): Spearman's correlation of what is read (Q, P, E) and the weights (P, E), mean of the emotions.

    Over all pairs: a weight shall be read high where it is high, and low where another emotion speaks. As a share of
    what can be reached, since most weights are the same 0 (the correction of ranks for ties).
    """
    from scipy.stats import spearmanr

    told = [k for k in range(weights.shape[1]) if len(set(weights[:, k].tolist())) > 1]
    found = []
    for k in told:
        count = len(weights)
        ties = np.unique(weights[:, k], return_counts=True)[1].astype(float)
        most = np.sqrt(1 - (ties**3 - ties).sum() / (count**3 - count))
        found.append([float(spearmanr(one[:, k], weights[:, k]).statistic) / most for one in read])
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
