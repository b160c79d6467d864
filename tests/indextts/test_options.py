"""Options as values and as lines, and how intensity becomes weights of prototypes."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from emovoice.errors import InputError
from emovoice.indextts.emotion import calibrated
from emovoice.indextts.options import Options, Place, Placement, options_of
from emovoice.indextts.prototypes import balanced


def test_lines() -> None:
    assert options_of([]) == Options() and hash(options_of(["beams=3"])) == hash(Options(beams=3))
    lines = ["beams=3", "sample=no", "top_p = 0.9", "slot_order=B", "place=t2s=cuda:0/fp16, vocoder=bf16, cuda"]
    found = options_of(lines, "cpu")
    assert (found.beams, found.sample, found.top_p, found.slot_order) == (3, False, 0.9, "B")
    places = (("t2s", Place("cuda:0", "fp16")), ("vocoder", Place("cuda", "bf16")))
    assert found.placement == Placement(Place("cuda"), places)


@pytest.mark.parametrize(
    "line",
    ["beams", "beams=", "beams=x", "beams=0", "bems=3", "sample=maybe", "temperature=0", "temperature=nan", "top_p=2",
     "positions=wrong", "slot_order=C", "place=nose=cuda", "place=vocoder=int8", "place=int8", "prompt_s=99",
     "length_tolerance=1", "placement=cpu", "place=t2s=cuda/int8"],
)  # fmt: skip
def test_wrong_lines(line: str) -> None:
    with pytest.raises(InputError):
        options_of([line])


def test_places() -> None:
    found = Placement.parse("cuda/bf16, t2s=cpu/int8, campplus=fp32")
    assert found.of("s2mel") == Place("cuda", "bf16") and found.of("t2s") == Place("cpu", "int8")
    assert found.of("campplus") == Place("cuda", "fp32")
    assert Placement.parse("") == Placement() and Placement().on("cuda").of("codec") == Place("cuda")


weights = st.lists(st.floats(0, 1), min_size=8, max_size=8)


@given(weights)
def test_full_intensity_is_the_demo_and_half_is_half(given_weights: list[float]) -> None:
    total = math.fsum(given_weights)
    assume(total > 0.01)
    full = [weight / total for weight in given_weights]
    assert calibrated(full) == pytest.approx(balanced(full), abs=1e-9)
    assert calibrated([weight / 2 for weight in full]) == pytest.approx([w / 2 for w in balanced(full)], abs=1e-9)
    assert math.fsum(calibrated(full)) <= 0.8 + 1e-9


def test_no_weight_is_none() -> None:
    assert calibrated([0] * 8) == (0.0,) * 8
