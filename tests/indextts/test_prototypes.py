"""Eight numbers to an emotion vector: which rows, how much of each, and the published corrections."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emovoice.errors import InputError, ModelError
from emovoice.indextts.prototypes import BANK_SIZES, BIAS, PrototypeBanks, balanced, emotion_vector, scaled

EIGHT = st.lists(st.floats(0, 1.2), min_size=8, max_size=8)
STARTS = (0, 3, 20, 22, 30, 34, 39, 49)


def banks() -> PrototypeBanks:
    noise = torch.Generator().manual_seed(0)
    return PrototypeBanks(torch.randn(73, 192, generator=noise), torch.randn(73, 1280, generator=noise))


@pytest.mark.parametrize("inside", [0, 1])
def test_the_most_alike_row_of_each_bank_is_taken(inside: int) -> None:
    found = banks()
    for start in STARTS:
        style = 3.0 * found.speakers[start + inside] + 0.1 * torch.randn(192)
        rows = found.nearest(style[None])
        assert start + inside in rows, "scale does not matter, direction does"
        assert all(first <= row < first + size for row, first, size in zip(rows, STARTS, BANK_SIZES))


def test_a_full_weight_is_the_prototype_and_none_is_the_prompt() -> None:
    found, own, style = banks(), torch.randn(2, 1280), torch.randn(1, 192)
    rows = found.nearest(style)
    assert torch.equal(emotion_vector(found, style, [0.0] * 8, own), own)
    for k in range(8):
        weights = [float(i == k) for i in range(8)]
        expected = found.emotions[rows[k]].expand(2, -1)
        assert torch.allclose(emotion_vector(found, style, weights, own), expected, atol=1e-5)


@given(EIGHT)
def test_prompt_and_prototypes_share_one(weights: list[float]) -> None:
    found, own = banks(), torch.ones(1, 1280)
    everywhere = PrototypeBanks(found.speakers, torch.full((73, 1280), 1.0))
    blended = emotion_vector(everywhere, torch.ones(1, 192), weights, own)
    assert torch.allclose(blended, torch.ones(1, 1280), atol=1e-4)
    nothing = PrototypeBanks(found.speakers, torch.zeros(73, 1280))
    left = emotion_vector(nothing, torch.ones(1, 192), weights, own)
    assert torch.allclose(left, torch.full((1, 1280), 1 - sum(weights)), atol=1e-4)


def test_rows_by_chance_follow_the_seed() -> None:
    found = banks()
    draws = {found.drawn(seed) for seed in range(30)}
    assert found.drawn(3) == found.drawn(3) and len(draws) > 10
    for rows in draws:
        assert all(first <= row < first + size for row, first, size in zip(rows, STARTS, BANK_SIZES))
    own, style = torch.zeros(1, 1280), torch.randn(1, 192)
    angry = [0, 1.0, 0, 0, 0, 0, 0, 0]
    assert torch.allclose(emotion_vector(found, style, angry, own, seed=3)[0], found.emotions[found.drawn(3)[1]])


@given(EIGHT, st.floats(-1, 3))
def test_scaling_never_adds_and_cuts_after_four_decimals(weights: list[float], alpha: float) -> None:
    found = scaled(weights, alpha)
    if alpha >= 1:
        assert found == tuple(weights)
        return
    for before, after in zip(weights, found):
        exact = before * max(alpha, 0)
        assert exact - 1.001e-4 < after <= exact + 1e-9
        assert after * 10_000 == pytest.approx(round(after * 10_000), abs=1e-6)


def test_scaling_cuts_rather_than_rounds() -> None:
    assert scaled([0.33339, 0, 0, 0, 0, 0, 0, 0], 0.5)[0] == 0.1666
    assert scaled([1, 0, 0, 0, 0, 0, 0, 0], -2) == (0.0,) * 8


@given(EIGHT)
def test_balanced_weights_are_at_most_four_fifths_together(weights: list[float]) -> None:
    found = balanced(weights)
    assert sum(found) <= 0.8 + 1e-9
    damped = [weight * bias for weight, bias in zip(weights, BIAS)]
    if sum(damped) <= 0.8:
        assert found == pytest.approx(damped)
    else:
        assert sum(found) == pytest.approx(0.8)
        assert [a * sum(damped) for a in found] == pytest.approx([0.8 * b for b in damped])


@pytest.mark.parametrize("weights", [[0.1] * 7, [0.1] * 9, [float("nan")] * 8, ["a"] * 8, 3, "12345678x"])
def test_other_than_eight_numbers_are_refused(weights: object) -> None:
    for call in (balanced, lambda given: scaled(given, 0.5)):
        with pytest.raises(InputError, match="eight finite numbers"):
            call(weights)  # type: ignore[arg-type]


def test_banks_must_fit() -> None:
    found = banks()
    with pytest.raises(ModelError, match="emotions"):
        PrototypeBanks(found.speakers, found.emotions[:72])
    with pytest.raises(ModelError, match="speakers"):
        PrototypeBanks(found.speakers[0], found.emotions)
    with pytest.raises(ModelError, match="emo_num"):
        PrototypeBanks(found.speakers, found.emotions, (73,))
