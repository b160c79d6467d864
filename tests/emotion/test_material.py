"""The examples: as many as promised, made of the shipped material, with nothing of the test in training."""

import math
from collections import Counter

import pytest

from emovoice.emotion import material
from emovoice.emotion.material import Kind
from emovoice.emotion.names import EMOTIONS

KINDS: tuple[Kind, ...] = ("instruction", "line")


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_examples_are_what_the_material_makes(kind: Kind) -> None:
    assert (material.DATA / f"{kind}s.tsv").read_text("utf-8") == material.table(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_enough_with_soft_labels(kind: Kind) -> None:
    found = material.load(kind)
    assert len(found) >= 3000 and min(material.splits_of(found).values()) >= 200
    assert all(math.isclose(sum(example.shares), 1) and 0 < example.intensity <= 1 for example in found)
    assert sum(max(example.shares) < 1 for example in found) >= 300
    for split in material.SPLITS:
        seen = Counter(
            EMOTIONS[example.shares.index(max(example.shares))] for example in found if example.split == split
        )
        assert min(seen[name] for name in EMOTIONS) >= 15, (split, seen)


@pytest.mark.parametrize("kind", KINDS)
def test_no_family_phrase_or_frame_is_in_two_splits(kind: Kind) -> None:
    of: dict[tuple[str, str], set[str]] = {}
    for family in material.families(kind):
        words = [("family", family.name), *(("phrase", phrase.text.casefold()) for phrase in family.phrases)]
        frames = [("frame", frame.text) for frame in family.frames if frame.text != "{x}"]
        for key in words + frames:
            of.setdefault(key, set()).add("train" if family.split == "train" else family.split)
    assert [key for key, splits in of.items() if len(splits) > 1] == []


def test_no_hard_case_is_an_example() -> None:
    import json

    cases = {row["text"].casefold() for row in json.loads((material.DATA / "hard_cases.json").read_text("utf-8"))}
    assert len(cases) >= 55
    lines = {example.text.casefold() for example in material.load("line")}
    assert not cases & lines


def test_votes_are_shares_and_frames_weigh_them() -> None:
    text = "## a | train\n> 3:1 {x}, a bit {y}\n> *0.5 slightly {x}\na8: cross\ns4: sad\n"
    (family,) = material.parse(text)
    assert material.shares_of("aas")[:3] == pytest.approx((0, 2 / 3, 1 / 3))
    made = {example.text: example for example in material._instructions(family)}
    mixed = made["cross, a bit sad"]
    assert mixed.shares[1:3] == pytest.approx((0.75, 0.25)) and mixed.intensity == pytest.approx(0.7)
    assert made["slightly sad"].intensity == pytest.approx(0.2)


@pytest.mark.parametrize("wrong", ["a8: too early", "## x | somewhere", "## x | train\nwhat is this"])
def test_a_slip_in_the_material_is_told(wrong: str) -> None:
    with pytest.raises(ValueError, match="line"):
        material.parse(wrong)


def test_exchanges_are_in_splits() -> None:
    found = material.exchanges()
    assert {each.split for each in found} == {"validation", "test"} and all(each.before for each in found)
