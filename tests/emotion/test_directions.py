"""Directions on vectors whose truth is known: an emotion of few dimensions among many of speaker and words."""

from __future__ import annotations

import numpy as np
import pytest

from emovoice.emotion.directions import POINTS, STRONG, Directions, calibration_of, local_means, monotonicity, readings
from emovoice.emotion.names import EMOTIONS
from emovoice.emotion.space import EmotionSpace

SIZE = 64


class World:
    """Vectors are neutral + intensity * direction + speaker and text (far from emotion) + a little of everything."""

    def __init__(self, pairs: int = 200, wide: float = 2.0) -> None:
        draw = np.random.default_rng(0)
        frame = np.linalg.qr(draw.standard_normal((SIZE, SIZE)))[0]
        self.directions = draw.standard_normal((8, 8)) @ frame[:8]
        self.neutral = draw.standard_normal(SIZE)
        kinds = np.arange(pairs) % 8
        intensity = np.where(draw.random(pairs) < 0.3, 1.0, draw.uniform(0.05, 1, pairs))
        emotional = np.zeros((pairs, 8))
        emotional[np.arange(pairs), kinds] = intensity
        who = draw.standard_normal((pairs, SIZE - 8)) @ frame[8:] * wide / 8

        def noise() -> np.ndarray:
            return 0.08 * draw.standard_normal((pairs, SIZE))

        self.weights = np.concatenate([np.zeros((pairs, 8)), emotional]).astype(np.float32)
        self.vectors = np.concatenate([self.neutral + who + noise(), self.neutral + who + emotional @ self.directions
                                       + noise()]).astype(np.float32)
        self.pairs = np.stack([np.arange(pairs), pairs + np.arange(pairs)], 1)
        self.frame = frame

    def fit(self) -> Directions:
        return Directions.fit_pairs(self.weights, self.vectors, self.pairs)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def found(world: World) -> Directions:
    return world.fit()


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_directions_are_those_of_the_emotions(world: World, found: Directions) -> None:
    assert min(cosine(a, b) for a, b in zip(found.directions, world.directions, strict=True)) > 0.95
    lengths = np.linalg.norm(found.directions, axis=1) / np.linalg.norm(world.directions, axis=1)
    assert lengths == pytest.approx(np.ones(8), abs=0.15), "at intensity 1, not at the mean intensity of the items"


def test_the_components_are_those_of_emotion_and_are_told(found: Directions) -> None:
    assert 8 <= len(found.basis) <= 10
    assert np.allclose(found.basis @ found.basis.T, np.eye(len(found.basis)), atol=1e-5)
    assert found.about["components"] == len(found.basis) and found.about["pairs"] == 200
    scores = list(found.about["spearman_of_kept_out_pairs"].values())
    assert scores[len(found.basis) - 1] >= max(scores[7:]) - 0.011 and scores[0] < scores[7]


def test_cleaning_removes_the_speaker_and_keeps_the_emotion(world: World, found: Directions) -> None:
    speaker = world.frame[20]
    assert np.linalg.norm(found.clean(speaker)) < 0.2
    emotion = 0.5 * world.directions[2]
    assert cosine(found.clean(emotion + speaker), emotion) > 0.95
    once = found.clean(emotion + speaker)
    assert np.allclose(found.clean(once), once, atol=1e-5)


def test_no_difference_stays_no_difference_and_intensity_is_an_amount(found: Directions) -> None:
    source, reference = found.neutral, found.neutral + found.directions[1]
    assert np.array_equal(found.between(source, source, 1.0), source)
    assert np.array_equal(found.between(source, reference, 0.0), source)
    half, whole = (found.between(source, reference, i) - source for i in (0.5, 1.0))
    assert np.allclose(2 * half, whole, atol=1e-5) and np.allclose(whole, found.directions[1], atol=1e-3)
    many = found.between(source[None], np.stack([reference, source]), np.array([0.5, 1.0]))
    assert np.allclose(many, np.stack([source + half, source]), atol=1e-5)


def test_nothing_leaps_beyond_what_was_seen(found: Directions) -> None:
    assert np.linalg.norm(found.clean(1000 * found.directions[0])) <= found.longest * 1.001


def test_a_mislabelled_recording_does_not_pull_a_mean(world: World) -> None:
    wrong = world.vectors.copy()
    strong, others = (np.flatnonzero(world.weights[:, kind] > 0.8)[:3] for kind in (0, 5))
    wrong[strong] = world.vectors[others]
    honest, pulled = (local_means(world.weights, vectors)[1][0] for vectors in (world.vectors, wrong))
    own = world.weights[:, 0] >= STRONG
    by_labels = wrong[own].mean(0) - world.vectors[own].mean(0)
    assert np.linalg.norm(pulled - honest) < 0.5 * np.linalg.norm(by_labels)


def test_it_is_the_space_of_speech_as_well(found: Directions) -> None:
    assert isinstance(found, EmotionSpace)
    assert np.allclose(found.at([0] * 8), found.neutral)
    assert np.allclose(found.at([0, 0, 0.5, 0, 0, 0, 0, 0.25]),
                       found.neutral + 0.5 * found.directions[2] + 0.25 * found.directions[7], atol=1e-4)


def test_too_little_to_fit(world: World) -> None:
    with pytest.raises(ValueError, match="pairs"):
        Directions.fit_pairs(world.weights, world.vectors, world.pairs[:5])
    without = world.weights.copy()
    without[:, 3] = 0
    with pytest.raises(ValueError, match="afraid"):
        Directions.fit_pairs(without, world.vectors, world.pairs)


def test_monotonicity_rises_with_the_right_components_and_falls_with_noise(world: World) -> None:
    differences = world.vectors[world.pairs[:, 1]] - world.vectors[world.pairs[:, 0]]
    weights, seen = world.weights[world.pairs[:, 1]], differences @ world.frame.T
    scores = monotonicity(readings(seen[:100], weights[:100], seen[100:]), weights[100:])
    assert scores[7] > 0.8 > scores[0] + 0.2 and np.all(np.diff(scores[:8]) > -0.05)
    assert scores[-1] <= scores[7] + 0.01, "what is no emotion does not help"


# ---- calibration ------------------------------------------------------------------------------------------

GRID = np.linspace(0, 1, 6)


def test_after_calibration_equal_steps_are_equal_steps() -> None:
    strength = np.stack([GRID**2, np.sqrt(GRID), *[GRID] * 6])
    maps = calibration_of(GRID, strength)
    assert maps.shape == (8, POINTS) and np.all(np.diff(maps, axis=1) > 0)
    assert np.allclose(maps[:, 0], 0) and np.allclose(maps[:, -1], 1)
    asked = np.linspace(0, 1, POINTS)
    for row, values in zip(maps[:2], strength[:2], strict=True):
        assert np.interp(row, GRID, values) == pytest.approx(asked, abs=0.03)


def test_what_does_not_rise_is_left_alone_and_dips_are_ironed_out() -> None:
    flat = calibration_of(GRID, np.stack([np.zeros(6), -GRID, np.full(6, np.nan), *[GRID] * 5]))
    assert np.allclose(flat, np.linspace(0, 1, POINTS), atol=1e-6)
    dip = np.array([0, 0.4, 0.3, 0.6, 0.8, 1.0])
    assert np.all(np.diff(calibration_of(GRID, np.tile(dip, (8, 1)))[0]) > 0)


def test_a_mixture_gets_its_share_of_each_map(found: Directions) -> None:
    maps = np.tile(np.linspace(0, 1, POINTS, dtype=np.float32), (8, 1))
    maps[2] = maps[2] ** 2
    space = Directions(found.neutral, found.directions, found.basis, maps, found.longest)
    assert space.calibrated([0, 0, 0.5, 0, 0, 0, 0, 0])[2] == pytest.approx(0.25)
    mixed = space.calibrated([0.25, 0, 0.25, 0, 0, 0, 0, 0])
    assert mixed[[0, 2]] == pytest.approx([0.25, 0.125])
    assert np.array_equal(space.calibrated([0] * 8), np.zeros(8))
    assert len(EMOTIONS) == len(maps)
