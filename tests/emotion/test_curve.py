"""Curves of emotion over time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emovoice.emotion import EmotionCurve, Keyframe
from emovoice.emotion.names import EMOTIONS, NEUTRAL
from emovoice.errors import InputError

CALM, ANGRY = {"calm": 1.0}, {"angry": 1.0}
RISE = EmotionCurve((Keyframe(0.0, CALM, 0.2), Keyframe(1.0, ANGRY, 0.8)))


@st.composite
def curves(draw: st.DrawFn) -> EmotionCurve:
    times = sorted(draw(st.sets(st.floats(0, 1), min_size=1, max_size=5)))
    frames = [
        Keyframe(t, {draw(st.sampled_from(EMOTIONS)): draw(st.floats(0, 1))}, draw(st.floats(0, 1))) for t in times
    ]
    return EmotionCurve(tuple(frames))


@given(curves(), st.floats(0, 1), st.integers(1, 9))
def test_every_moment_is_an_emotion(curve: EmotionCurve, t: float, count: int) -> None:
    for weights in (curve.at(t), *curve.spread(count), curve.mean()):
        assert len(weights) == 8 and min(weights) >= 0 and sum(weights) <= 1 + 1e-9
    for frame in curve.keyframes:
        assert curve.at(frame.t) == pytest.approx(frame.weights())


def test_it_goes_in_a_line() -> None:
    assert RISE.at(0.5) == pytest.approx([0, 0.4, 0, 0, 0, 0, 0, 0.1])
    assert RISE.mean() == pytest.approx(RISE.at(0.5)) and not RISE.is_steady


@given(st.lists(st.floats(0.1, 50), min_size=2, max_size=7))
def test_sentences_get_both_ends(lengths: list[float]) -> None:
    spread = RISE.spread(lengths)
    assert spread[0] == pytest.approx(RISE.at(0)) and spread[-1] == pytest.approx(RISE.at(1))
    angry = [weights[EMOTIONS.index("angry")] for weights in spread]
    assert angry == sorted(angry)


def test_one_sentence_gets_the_mean_and_none_nothing() -> None:
    assert RISE.spread(1) == [RISE.mean()] and RISE.spread(0) == []


def test_a_steady_curve() -> None:
    steady = EmotionCurve.steady(ANGRY, 0.5)
    assert steady.is_steady and steady.spread(3) == [steady.at(0.3)] * 3
    assert EmotionCurve.steady({}, 0.0).at(1) == NEUTRAL


@pytest.mark.parametrize(
    "frames",
    [
        (),
        (Keyframe(0.5, CALM, 1), Keyframe(0.5, CALM, 1)),
        (Keyframe(0.5, CALM, 1), Keyframe(0.2, CALM, 1)),
        (Keyframe(1.1, CALM, 1),),
        (Keyframe(0, {"cold": 1.0}, 1),),
        (Keyframe(0, {"calm": 0.7, "sad": 0.7}, 1),),
        (Keyframe(0, CALM, 1.5),),
    ],
)
def test_what_is_no_curve(frames: tuple[Keyframe, ...]) -> None:
    with pytest.raises(InputError):
        EmotionCurve(frames)
