"""Vocabularies of emotion and valence-arousal-dominance: complete, consistent, accepted wherever an emotion is."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emovoice.emotion import names, taxonomy
from emovoice.errors import InputError

unit = st.floats(-1, 1)


def test_the_vocabularies_are_whole() -> None:
    assert set(taxonomy.places()) == set(names.EMOTIONS)
    assert len(taxonomy.emonet_voice()) == 40 and len(taxonomy.goemotions()) == 28
    assert taxonomy.goemotions()["neutral"].shares == {}


@pytest.mark.parametrize("entry", [*taxonomy.emonet_voice().values(), *taxonomy.goemotions().values()], ids=str)
def test_every_entry_is_shares_and_a_place(entry: taxonomy.Entry) -> None:
    assert set(entry.shares) <= set(names.EMOTIONS)
    assert entry.name == "neutral" or math.isclose(sum(entry.shares.values()), 1, abs_tol=1e-3)
    assert taxonomy.checked(entry.vad) == entry.vad


@pytest.mark.parametrize("name", sorted(taxonomy.entries()))
def test_every_name_is_accepted_as_an_emotion(name: str) -> None:
    weights = names.parse(name.title(), 1.0)
    assert names.is_known(name) and names.parse({name: 1.0}) == weights
    assert sum(weights) == pytest.approx(0 if name == "neutral" else 1)


@pytest.mark.parametrize("name", names.EMOTIONS)
def test_an_emotion_is_found_again_at_its_place(name: str) -> None:
    shares, intensity = taxonomy.from_vad(taxonomy.places()[name])
    assert max(shares, key=lambda each: shares[each]) == name and shares[name] > 0.5 and intensity > 0.6


@given(unit, unit, unit)
def test_a_place_is_an_emotion(v: float, a: float, d: float) -> None:
    weights = names.parse((v, a, d))
    assert all(weight >= 0 for weight in weights) and sum(weights) <= 1 + 1e-9
    assert sum(weights) == pytest.approx(min(1, math.hypot(v, a, d) / 0.9))
    assert names.parse({"valence": v, "arousal": a, "dominance": d}) == weights
    assert names.parse([v, a, d], 0.5) == pytest.approx([weight / 2 for weight in weights])


def test_neutral_is_the_middle() -> None:
    assert names.parse([0, 0, 0]) == names.NEUTRAL == names.parse({"valence": 0})


@pytest.mark.parametrize("wrong", [[0, 0, 1.1], [0, math.nan, 0], "0,0,2", [True, 0, 0], {"valence": "high"}])
def test_places_outside_are_refused(wrong: object) -> None:
    with pytest.raises(InputError):
        names.parse(wrong)


def test_nearest_names() -> None:
    best = [name for name, _ in taxonomy.nearest({"afraid": 1.0}, taxonomy.emonet_voice())]
    assert best[0] == "Fear"
    assert taxonomy.nearest({"surprised": 0.75, "happy": 0.25}, taxonomy.emonet_voice(), 1)[0][0] == "Awe"


def test_a_name_of_several_emotions_may_stand_beside_one_of_them() -> None:
    weights = dict(zip(names.EMOTIONS, names.parse({"Bitterness": 0.4, "anger": 0.2}), strict=True))
    assert weights["angry"] == pytest.approx(0.4) and weights["sad"] == pytest.approx(0.1)
