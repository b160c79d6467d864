"""Figures from samples and lists."""

import math

import numpy as np
import pytest

from emovoice.evaluation import measures

RATE = 24_000


def tone(seconds: float, level: float = 0.1, hz: float = 150.0) -> np.ndarray:
    return (level * np.sqrt(2) * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(
        np.float32
    )


def test_level_is_that_of_the_speech_alone() -> None:
    quiet = np.zeros(RATE, dtype=np.float32)
    assert measures.level_db(np.concatenate([quiet, tone(1.0), quiet]), RATE) == pytest.approx(-20, abs=0.1)


def test_level_follows_gain() -> None:
    assert measures.level_db(tone(1, 0.2), RATE) - measures.level_db(tone(1, 0.1), RATE) == pytest.approx(
        6.02, abs=0.01
    )


def test_speech_is_trimmed_at_both_ends_but_keeps_its_pauses() -> None:
    quiet = np.zeros(RATE // 2, dtype=np.float32)
    samples = np.concatenate([quiet, tone(0.5), quiet, tone(0.5), quiet])
    assert measures.speech_s(samples, RATE) == pytest.approx(1.5, abs=0.03)


@pytest.mark.parametrize("samples", [np.zeros(RATE, dtype=np.float32), np.zeros(0, dtype=np.float32)])
def test_silence_has_no_speech_level_or_rate(samples: np.ndarray) -> None:
    assert measures.speech_s(samples, RATE) == 0
    assert math.isnan(measures.level_db(samples, RATE))
    assert math.isnan(measures.letters_per_s("some text", samples, RATE))


def test_rate_doubles_with_half_the_time() -> None:
    slow, fast = (measures.letters_per_s("abc, def!", tone(s), RATE) for s in (2.0, 1.0))
    assert fast / slow == pytest.approx(2, rel=0.02)
    assert slow == pytest.approx(3, rel=0.02)


def test_pitch_level_and_range_in_semitones() -> None:
    voiced = 200 * 2 ** (np.linspace(-6, 6, 201) / 12)
    assert measures.f0_level_st(voiced) == pytest.approx(12 * math.log2(200))
    assert measures.f0_range_st(voiced) == pytest.approx(12 * 0.9, abs=0.05)


def test_pitch_of_too_few_frames_is_unknown() -> None:
    assert math.isnan(measures.f0_level_st(np.full(7, 100.0)))
    assert math.isnan(measures.f0_range_st(np.full(7, 100.0)))


def test_cosine() -> None:
    assert measures.cosine([1, 0], [1, 0]) == pytest.approx(1)
    assert measures.cosine([1, 0], [0, 2]) == pytest.approx(0)
    assert measures.cosine([1, 1], [0, 0]) == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 4, 8], 1.0),
        ([4, 3, 2, 1], -1.0),
        ([1, 1, 1, 1], 0.0),
        ([1, math.nan, 3, 4], 0.0),
        ([1, 3, 2, 4], 0.8),
    ],
)
def test_spearman_is_zero_where_it_is_undefined(values: list[float], expected: float) -> None:
    assert measures.spearman([0, 1, 2, 3], values) == pytest.approx(expected)


def test_direction_of_the_mean_change() -> None:
    assert measures.moves_as_expected([2.0, -0.5, math.nan], 1)
    assert not measures.moves_as_expected([2.0, -0.5], -1)
    assert not measures.moves_as_expected([0.0, 0.0], 1)
    assert not measures.moves_as_expected([math.nan], 1)


def test_ratio_weighs_items_by_their_words() -> None:
    assert measures.ratio([1, 0], [2, 8]) == pytest.approx(0.1)
    assert math.isnan(measures.ratio([], []))


def test_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for number in range(200):
        low, high = measures.mean_ci(rng.normal(3.0, 1.0, 60), draws=300, seed=number) or (0, 0)
        covered += low <= 3.0 <= high
    assert 178 <= covered <= 199


def test_interval_is_the_same_every_time_and_needs_two_items() -> None:
    assert measures.mean_ci([1, 2, 3, 4]) == measures.mean_ci([1, 2, 3, 4])
    assert measures.mean_ci([1.0]) is None
