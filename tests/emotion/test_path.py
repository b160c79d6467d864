"""Emotions over seconds: every way to give them, and the way between points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emovoice.emotion import names
from emovoice.emotion.curve import EmotionCurve, Keyframe
from emovoice.emotion.path import SMOOTH_S, Waypoint, along, waypoints
from emovoice.errors import InputError

SAD = tuple(1.0 if name == "sad" else 0.0 for name in names.EMOTIONS)


@pytest.mark.parametrize(
    ("emotion", "intensity", "expected"),
    [
        ("sad", 0.6, (SAD, 0.6)),
        ("sorrow", None, (SAD, 0.7)),
        ({"sad": 0.4}, None, (SAD, 0.4)),
        ({"sad": 0.4}, 0.5, (SAD, 0.2)),
        ("neutral", None, (names.NEUTRAL, 0.7)),
        ("neutral", 1.0, (names.NEUTRAL, 1.0)),
        ("sad", 0.0, (names.NEUTRAL, 0.0)),
    ],
)
def test_one_emotion(emotion: Any, intensity: float | None, expected: tuple[Any, float]) -> None:
    (point,) = waypoints(emotion, intensity)
    assert (point.shares, point.t_s) == (expected[0], 0.0)
    assert point.intensity == pytest.approx(expected[1])


def test_a_mixture_has_shares_and_the_sum_is_its_intensity() -> None:
    (point,) = waypoints({"sad": 0.3, "calm": 0.1}, 0.5)
    assert point.shares == pytest.approx((0, 0, 0.75, 0, 0, 0, 0, 0.25))
    assert point.intensity == pytest.approx(0.2)


def test_keyframes_in_seconds() -> None:
    points = waypoints([(0, "sad", 0.2), (2.5, {"happy": 0.5}, None), (2.5, "neutral", 1)], None)
    assert [(p.t_s, round(p.intensity, 6)) for p in points] == [(0.0, 0.2), (2.5, 0.5), (2.5, 1.0)]
    halved = waypoints([(0, "sad", 0.2), (1, "sad", 1.0)], 0.5)
    assert [p.intensity for p in halved] == pytest.approx([0.1, 0.5])


def test_a_curve_is_stretched_over_the_recording() -> None:
    curve = EmotionCurve((Keyframe(0.0, {"sad": 1.0}, 0.2), Keyframe(0.5, {"happy": 1.0}, 0.9)))
    points = waypoints(curve, None, length_s=8.0)
    assert points == (Waypoint(0.0, SAD, 0.2), Waypoint(4.0, points[1].shares, 0.9))
    with pytest.raises(InputError, match="known length"):
        waypoints(curve, None)


@pytest.mark.parametrize(
    ("emotion", "field"),
    [
        ([(0, "sad")], "emotion[0]"),
        ([(0, "sad", 0.5), (-1, "sad", 0.5)], "emotion[1]"),
        ([(True, "sad", 0.5)], "emotion[0]"),
        ([(float("nan"), "sad", 0.5)], "emotion[0]"),
        ([(3, "sad", 0.5), (2, "sad", 0.5)], "emotion"),
        ([(0, "sadd", 0.5)], "emotion"),
        ([(0, "sad", 1.5)], "intensity"),
        ([], "emotion"),
    ],
)
def test_what_is_not_usable_is_told(emotion: Any, field: str) -> None:
    with pytest.raises(InputError) as caught:
        waypoints(emotion, None)
    assert caught.value.field == field


# ---- between points ---------------------------------------------------------------------------------------

times = st.lists(st.floats(0, 20), min_size=1, max_size=6).map(sorted)


@given(times)
def test_the_way_never_leaves_the_points(knots: list[float]) -> None:
    vectors = np.arange(len(knots), dtype=np.float32)[:, None]
    found = along(np.array(knots), vectors, np.linspace(-1, 21, 200))
    assert found.min() >= -1e-5 and found.max() <= len(knots) - 1 + 1e-5
    assert found[0, 0] == pytest.approx(0) or knots[0] < SMOOTH_S
    assert np.all(np.diff(found[:, 0]) >= -1e-5)


def test_it_is_linear_in_between() -> None:
    found = along(np.array([0.0, 4.0]), np.array([[0.0, 8.0], [4.0, 0.0]]), np.array([1.0, 2.0, 3.0]))
    assert np.allclose(found, [[1, 6], [2, 4], [3, 2]], atol=1e-5)


def test_a_jump_takes_150_ms() -> None:
    at_s = np.arange(0, 4, 0.005)
    found = along(np.array([2.0, 2.0]), np.array([[0.0], [1.0]]), at_s)[:, 0]
    moving = at_s[(found > 0.001) & (found < 0.999)]
    assert found[0] == 0 and found[-1] == pytest.approx(1)
    assert SMOOTH_S - 0.03 < moving[-1] - moving[0] <= SMOOTH_S + 0.01


def test_one_point_is_everywhere() -> None:
    assert np.array_equal(along(np.array([3.0]), np.ones((1, 2)), np.array([0.0, 9.0])), np.ones((2, 2)))
