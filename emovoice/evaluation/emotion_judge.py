"""The judge of emotions: matched filters on acoustic measures, made by hand after eGeMAPS (Eyben 2016). Plain numpy.

It hears a recording beside another one of the same words and voice, and says by how much of which emotion they differ.
It shares nothing with the encoders of a model: no network, no mel, other features. Fitted on the real recordings of a
corpus: neutral and emotional ones of one text and voice.

    mu_k     what emotion k at full strength changes: least squares of d = i mu_k over the pairs of k
    S        covariance of what is left, shrunk towards its diagonal
    strength of k in d: mu_k' S^-1 d / mu_k' S^-1 mu_k      (1 is full)
    the emotion: whose filter answers loudest, (mu_k' S^-1 d)^2 / mu_k' S^-1 mu_k with a strength above 0

Shapes: P pairs, F features, E emotions, N frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emovoice.evaluation.judges import RATE_HZ, at_16k
from emovoice.evaluation.measures import active_frames, frame_levels_db, speech_s

VERSION = "hand-features-1"
STRONG = 0.6
_FRAME, _HOP = 512, 160  # 32 ms every 10 ms
_SHRINK = 0.1
_CEPSTRA = 5
_END_FRAMES = 16  # of the pitch judge: a quarter of a second


def features(samples: np.ndarray, rate: int, pitch_hz: np.ndarray) -> np.ndarray:
    """(F,) of a recording and its pitch track, 0 where unvoiced; features that cannot be told are 0."""
    heard = at_16k(samples, rate)
    return np.nan_to_num(np.concatenate([_melody(pitch_hz), _loudness(heard), _colour(heard)]))


def _melody(pitch_hz: np.ndarray) -> np.ndarray:
    voiced = pitch_hz > 0
    if voiced.sum() < 8:
        return np.zeros(10)
    pitch = 12 * np.log2(pitch_hz[voiced])
    low, middle, high = np.percentile(pitch, [10, 50, 90])
    steps = np.diff(12 * np.log2(np.where(voiced, pitch_hz, np.nan)))
    steps = steps[np.isfinite(steps)]
    starts = np.count_nonzero(np.diff(voiced.astype(int)) == 1) + int(voiced[0])
    seconds = 0.016 * len(pitch_hz)
    return np.array([pitch.mean(), pitch.std(), low, middle, high, high - low, pitch[-_END_FRAMES:].mean() - middle,
                     np.abs(steps).mean() if len(steps) else 0.0, np.log(np.abs(steps).std() + 0.01),
                     starts / max(seconds, 0.1)])


def _loudness(heard: np.ndarray) -> np.ndarray:
    active = active_frames(heard, RATE_HZ)
    if not active.any():
        return np.zeros(8)
    levels = frame_levels_db(heard, RATE_HZ)
    spoken = levels[active]
    low, middle, high = np.percentile(spoken, [20, 50, 80])
    first, last = np.flatnonzero(active)[[0, -1]]
    restless = np.abs(np.diff(spoken)).mean() if len(spoken) > 1 else 0.0
    return np.array([spoken.mean(), spoken.std(), low, middle, high, restless,
                     10 * math.log(speech_s(heard, RATE_HZ) + 0.05), 1 - active[first : last + 1].mean()])


def _colour(heard: np.ndarray) -> np.ndarray:
    """Ratios, slopes and cepstra of the spectrum over active frames: means and deviations."""
    padded = np.pad(heard, (0, max(0, _FRAME - len(heard))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP] * np.hanning(_FRAME)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2 + 1e-10
    whole = 10 * np.log10(power.sum(1))
    power = power[whole > whole.max() - 30]
    hz = np.fft.rfftfreq(_FRAME, 1 / RATE_HZ)

    def band(low: float, high: float) -> np.ndarray:
        return (hz >= low) & (hz < high)

    def db(values: np.ndarray) -> np.ndarray:
        return 10 * np.log10(values)

    def slope(low: float, high: float) -> np.ndarray:
        x = hz[band(low, high)] / 1000
        x = x - x.mean()
        return db(power[:, band(low, high)]) @ x / (x @ x)

    alpha = db(power[:, band(50, 1000)].sum(1)) - db(power[:, band(1000, 5000)].sum(1))
    hammarberg = db(power[:, band(0, 2000)].max(1)) - db(power[:, band(2000, 5000)].max(1))
    air = db(power[:, band(5000, 8000)].sum(1)) - db(power[:, band(50, 5000)].sum(1))
    share = power / power.sum(1, keepdims=True)
    centroid = share @ hz / 1000
    flatness = np.log(power).mean(1) - np.log(power.mean(1))
    flux = np.sqrt((np.diff(np.sqrt(share), axis=0) ** 2).sum(1)) if len(share) > 1 else np.zeros(1)
    edges = 700 * (10 ** (np.linspace(0, 2595 * math.log10(1 + 8000 / 700), 27) / 2595) - 1)
    bands = np.stack([db(power[:, (hz >= a) & (hz <= b)].mean(1)) for a, b in zip(edges[:-2], edges[2:])], 1)
    basis = np.cos(np.pi * np.outer(np.arange(1, _CEPSTRA), np.arange(bands.shape[1]) + 0.5) / bands.shape[1])
    cepstra = bands @ basis.T / bands.shape[1]
    columns = [alpha, hammarberg, air, slope(0, 500), slope(500, 1500), centroid, flatness, *cepstra.T]
    return np.array([flux.mean(), *[c.mean() for c in columns], *[c.std() for c in columns]])


@dataclass(frozen=True)
class EmotionJudge:
    """Fitted filters (E, F) whose answer is the strength of each emotion, and their loudness (E,) at full strength."""

    filters: np.ndarray
    loudness: np.ndarray

    @classmethod
    def fit(cls, differences: np.ndarray, weights: np.ndarray) -> EmotionJudge:
        """Differences (P, F) between emotional and neutral recordings, and the emotions' weights (P, E).

        Raises:
            ValueError: an emotion has no pair.
        """
        kinds, amounts = weights.argmax(1), weights.max(1)
        if missing := set(range(weights.shape[1])) - set(kinds[amounts > 0].tolist()):
            raise ValueError(f"no pairs of {len(missing)} emotions")
        means = np.stack([amounts[kinds == k] @ differences[kinds == k] / (amounts[kinds == k] ** 2).sum()
                          for k in range(weights.shape[1])])
        left = differences - amounts[:, None] * means[kinds]
        covariance = left.T @ left / len(left)
        spread = np.diag(covariance) + 1e-6 * (1 + differences.var(0))
        covariance = (1 - _SHRINK) * covariance + np.diag(_SHRINK * spread + 1e-9)
        matched = np.linalg.solve(covariance, means.T).T
        loudness = np.sqrt((matched * means).sum(1))
        return cls(matched / loudness[:, None] ** 2, loudness)

    def strengths(self, differences: np.ndarray) -> np.ndarray:
        """(..., F) -> (..., E); 1 is as much as the corpus has at full intensity."""
        return differences @ self.filters.T

    def names(self, differences: np.ndarray) -> np.ndarray:
        """(..., F) -> (...): the number of the emotion that is heard."""
        return (self.strengths(differences) * self.loudness).argmax(-1)


def accuracy(heard: Sequence[int] | np.ndarray, truth: Sequence[int] | np.ndarray) -> list[float]:
    """One 0 or 1 per item."""
    return [float(a == b) for a, b in zip(heard, truth, strict=True)]
