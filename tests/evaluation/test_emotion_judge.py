"""The judge of emotions: its measures follow sound, and its filters answer strength and kind."""

from __future__ import annotations

import numpy as np
import pytest

from emovoice.evaluation.emotion_judge import EmotionJudge, accuracy, features
from tests.evaluation.fakes import RATE, hum


def pairs(count: int = 240, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences of 12 features, of which noise has one that is loud and one that follows another."""
    draw = np.random.default_rng(seed)
    means = np.random.default_rng(1).standard_normal((8, 12))
    kinds = np.arange(count) % 8
    amounts = draw.uniform(0.1, 1, count)
    noise = 0.2 * draw.standard_normal((count, 12))
    noise[:, 3] *= 20
    noise[:, 4] += noise[:, 3]
    weights = np.zeros((count, 8))
    weights[np.arange(count), kinds] = amounts
    return amounts[:, None] * means[kinds] + noise, weights, means


@pytest.fixture(scope="module")
def judge() -> EmotionJudge:
    differences, weights, _ = pairs()
    return EmotionJudge.fit(differences, weights)


def test_strength_is_the_intensity_of_the_corpus(judge: EmotionJudge) -> None:
    differences, weights, means = pairs(seed=5)
    own = judge.strengths(differences)[np.arange(240), weights.argmax(1)]
    assert np.corrcoef(own, weights.max(1))[0, 1] > 0.9
    assert own / weights.max(1) == pytest.approx(np.ones(240), abs=2.5)
    full = judge.strengths(means)
    assert np.diag(full) == pytest.approx(np.ones(8), abs=0.25)
    assert np.array_equal(judge.strengths(np.zeros(12)), np.zeros(8))


def test_the_emotion_is_named(judge: EmotionJudge) -> None:
    differences, weights, _ = pairs(seed=6)
    strong = weights.max(1) > 0.5
    right = accuracy(judge.names(differences[strong]), weights[strong].argmax(1))
    assert np.mean(right) > 0.9
    assert accuracy([1, 2], [1, 3]) == [1.0, 0.0]


def test_an_emotion_without_pairs_cannot_be_judged() -> None:
    differences, weights, _ = pairs()
    weights[:, 2] = 0
    with pytest.raises(ValueError, match="1 emotions"):
        EmotionJudge.fit(differences, weights)


def test_measures_follow_the_sound() -> None:
    track = np.full(60, 120.0)
    plain = features(hum(1.0, 84, 4, -26), RATE, track)
    assert np.isfinite(plain).all()
    louder = features(hum(1.0, 84, 4, -20), RATE, track)
    assert (louder - plain)[10] == pytest.approx(6, abs=0.2)
    higher = features(hum(1.0, 84, 4, -26), RATE, track * 2)
    assert (higher - plain)[0] == pytest.approx(12, abs=0.1)
    assert np.allclose((higher - plain)[10:], 0)


def test_silence_and_whispers_have_measures_too() -> None:
    for samples in (np.zeros(0), np.zeros(5000), 0.01 * np.random.default_rng(0).standard_normal(100)):
        assert np.isfinite(features(samples.astype(np.float32), RATE, np.zeros(5))).all()
