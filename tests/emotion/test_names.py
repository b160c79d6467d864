"""Any way to say an emotion gives eight weights, or an error that says which word or number is wrong."""

import math

import numpy as np
import pytest

from emovoice.emotion.names import ALIASES, EMOTIONS, NEUTRAL, named, parse
from emovoice.errors import InputError


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_a_name_has_the_intensity_as_its_weight(emotion: str) -> None:
    weights = parse(emotion, 0.4)
    assert weights[EMOTIONS.index(emotion)] == 0.4 and sum(weights) == 0.4


@pytest.mark.parametrize(("alias", "emotion"), ALIASES.items())
def test_aliases_in_any_case(alias: str, emotion: str) -> None:
    assert parse(f"  {alias.upper()} ") == parse(emotion)


def test_aliases_point_at_emotions() -> None:
    assert set(ALIASES.values()) == {*EMOTIONS, "neutral"}
    assert not set(ALIASES) & set(EMOTIONS)


@pytest.mark.parametrize("emotion", [None, "neutral", "Neutral", [0] * 8, {}, ("0," * 8).rstrip(",")])
@pytest.mark.parametrize("intensity", [None, 0, 1.0])
def test_neutral_is_eight_zeros(emotion: object, intensity: float | None) -> None:
    assert parse(emotion, intensity) == NEUTRAL


@pytest.mark.parametrize("emotion", [*EMOTIONS, [0.1] * 8, {"joy": 1}])
def test_no_intensity_is_neutral(emotion: object) -> None:
    assert parse(emotion, 0) == NEUTRAL


def test_default_intensities() -> None:
    assert sum(parse("sad")) == 0.7
    assert parse([0, 0, 0.5, 0, 0, 0, 0, 0.25])[2] == 0.5
    assert parse([0, 0, 0.5, 0, 0, 0, 0, 0.25], 0.5) == (0, 0, 0.25, 0, 0, 0, 0, 0.125)


EIGHT = (0.1, 0.0, 0.0, 0.4, 0.0, 0.0, 0.25, 0.0)


@pytest.mark.parametrize(
    "given",
    [
        list(EIGHT),
        EIGHT,
        np.array(EIGHT),
        [np.float64(weight) for weight in EIGHT],
        "0.1,0,0,0.4,0,0,0.25,0",
        " [0.1, 0, 0, .4, 0, 0, 0.25, 0] ",
        "0.1 0 0 0.4 0 0 0.25 0",
        {"happy": 0.1, "fear": 0.4, "Surprise": 0.25},
    ],
)
def test_eight_weights_in_any_form(given: object) -> None:
    assert parse(given) == EIGHT


def test_float32_weights_that_add_up_to_one() -> None:
    assert math.isclose(sum(parse(np.full(8, 0.125, dtype=np.float32))), 1)
    tenths = np.array([0.1, 0.2, 0.3, 0.1, 0.1, 0.1, 0.05, 0.05], dtype=np.float32)
    assert math.isclose(sum(parse(tenths)), 1, rel_tol=1e-6)


@pytest.mark.parametrize(
    "emotion",
    [
        "", "happpy", "0,7", "0.1,x,0,0,0,0,0,0", "1 2 3", [0.1] * 7, [0.1] * 9, [],
        np.zeros((8, 1)), np.float64(1),
        [0.2] * 8, [-0.1, *[0] * 7], [1.1, *[0] * 7], [math.nan, *[0] * 7], ["a"] * 8, [True, *[0] * 7],
        "nan,0,0,0,0,0,0,0", "inf 0 0 0 0 0 0 0,", 0.5, True, b"happy", {"happy"}, object(),
        {"happy": 2}, {"hapy": 1}, {1: 1}, {"joy": 0.1, "happy": 0.1}, {"joy": None},
        {"joy": 0.6, "sad": 0.6},
    ],
)  # fmt: skip
def test_what_is_no_emotion(emotion: object) -> None:
    with pytest.raises(InputError) as caught:
        parse(emotion)
    assert (caught.value.field or "").startswith("emotion")
    assert caught.value.remedy


@pytest.mark.parametrize("intensity", [-0.1, 1.0001, math.nan, math.inf, -math.inf, True, "0.7", "0,7", [0.5]])
@pytest.mark.parametrize("emotion", [None, "happy", [0] * 8])
def test_intensity_must_be_a_number_in_0_to_1(emotion: object, intensity: object) -> None:
    with pytest.raises(InputError) as caught:
        parse(emotion, intensity)  # type: ignore[arg-type]
    assert caught.value.field == "intensity" and caught.value.value is intensity
    assert "0" in str(caught.value) and "1" in str(caught.value)


@pytest.mark.parametrize(("slip", "meant"), [("angery", "angry"), ("hapy", "happy"), ("Melancholly", "melancholy")])
def test_did_you_mean(slip: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"Did you mean '{meant}'"):
        parse(slip)


def test_named_leaves_out_zeros() -> None:
    assert named(parse({"sad": 0.5, "calm": 0.2})) == {"sad": 0.5, "calm": 0.2}
    assert named(NEUTRAL) == {}
