"""The plan of a corpus: a prefix of every longer one, with nothing in it that is held out."""

import dataclasses
from collections import Counter
from importlib import resources
from itertools import islice
from pathlib import Path

import pytest

from emovoice.corpus import plan as planning
from emovoice.corpus.plan import EMOTIONS, FOREIGN, WARP_LIMIT, Item, held_out, plan, training_voices
from emovoice.corpus.texts import Line, load_texts
from emovoice.emotion import names


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return load_texts(Path(str(resources.files("emovoice.corpus").joinpath("data/texts.tsv"))))


@pytest.fixture(scope="module")
def items(lines: list[Line]) -> list[Item]:
    return list(islice(plan(lines, 2), 6000))


def test_a_plan_is_a_prefix_of_a_longer_one(lines: list[Line], items: list[Item]) -> None:
    assert list(islice(plan(lines, 2), 500)) == items[:500]
    assert list(islice(plan(lines, 3), 500)) != items[:500]


def test_an_item_depends_on_its_group_alone(
    lines: list[Line], items: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More renderings in one group move nothing in the next."""
    before = planning._renderings
    monkeypatch.setattr(planning, "_renderings", lambda rng, gap: [*before(rng, gap), ("neutral", 0.0)])
    longer = {item.id: item for item in islice(plan(lines, 2), 300)}
    assert all(longer[item.id] == item for item in items[:100])


def test_nothing_held_out_is_planned(items: list[Item]) -> None:
    kept = held_out()
    low, high = kept["intensity"]
    assert len(kept["texts"]) == 200 and len(kept["voices"]) == 4
    assert not {item.text for item in items} & set(kept["texts"])
    assert not {item.voice for item in items} & set(kept["voices"])
    assert not [item for item in items if low < item.intensity < high]


def test_groups_share_text_voice_and_warp(items: list[Item]) -> None:
    groups: dict[int, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    shared = ("text", "kind", "voice", "warp")
    for group in groups.values():
        assert len({tuple(getattr(item, name) for name in shared) for item in group}) == 1
    pairs = [group for group in list(groups.values())[:-1] if len(group) == 2]
    assert all([item.emotion == "neutral" for item in pair] == [True, False] for pair in pairs)
    assert len(pairs) / len(groups) == pytest.approx(planning.PAIR_SHARE, abs=0.05)
    assert len({item.id for item in items}) == len(items)


def test_emotions_and_intensities_are_spread(items: list[Item]) -> None:
    assert EMOTIONS == names.EMOTIONS
    counts = Counter(item.emotion for item in items)
    assert set(counts) == {*EMOTIONS, "neutral"}
    assert max(counts[e] for e in EMOTIONS) < 1.3 * min(counts[e] for e in EMOTIONS)
    emotional = [item.intensity for item in items if item.emotion != "neutral"]
    assert all(item.intensity == 0 for item in items if item.emotion == "neutral")
    assert min(emotional) >= 0.05 and max(emotional) == 1
    assert emotional.count(1.0) / len(emotional) == pytest.approx(planning.FULL_SHARE, abs=0.04)
    assert any(value < 0.45 for value in emotional) and any(0.55 < value < 1 for value in emotional)


def test_voices_and_warps(items: list[Item]) -> None:
    assert {item.voice for item in items} == {*training_voices(), *FOREIGN}
    assert len(training_voices()) == len(planning.ENGLISH) - 4
    foreign = sum(item.voice in FOREIGN for item in items) / len(items)
    assert foreign == pytest.approx(planning.FOREIGN_SHARE, abs=0.02)
    warps = [item.warp for item in items]
    assert all(1 / WARP_LIMIT - 1e-3 <= warp <= WARP_LIMIT + 1e-3 for warp in warps)
    assert sum(warp != 1 for warp in warps) / len(warps) == pytest.approx(planning.WARP_SHARE, abs=0.03)


def test_a_plan_never_ends_and_uses_every_text(lines: list[Line]) -> None:
    few = lines[:7]
    rendered = list(islice(plan(few, 0), 100))
    assert {item.text for item in rendered[:40]} == {line.text for line in few}
    assert dataclasses.asdict(rendered[0]).keys() == {
        "id", "group", "text", "kind", "voice", "emotion", "intensity", "warp"
    }  # fmt: skip
