"""Data files: texts, prompts, directions, bars."""

import json
import math
from pathlib import Path

import pytest

from emovoice.emotion.names import EMOTIONS
from emovoice.errors import ModelError
from emovoice.evaluation import material


def test_bars_lie_between_the_aim_and_the_worst() -> None:
    for bar in material.bars().values():
        assert bar.better in ("lower", "higher")
        assert bar.met(bar.aim) and bar.met(bar.bar)
        assert not bar.met(math.nan)
        assert not bar.met(bar.bar + (1e-6 if bar.better == "lower" else -1e-6))


def test_held_out_texts() -> None:
    texts = material.held_out_texts(100)
    assert len(texts) == len(set(texts)) == 100
    for count in (0, 100_000):
        with pytest.raises(ModelError):
            material.held_out_texts(count)


def test_directions_of_the_data_file() -> None:
    ways = material.directions()
    assert set(ways) == set(EMOTIONS)
    assert ways["sad"] == {"F0 level": -1, "F0 range": -1, "rate": -1, "level": -1}
    assert ways["angry"] == {"F0 level": 1, "F0 range": 1, "rate": 1, "level": 1}


def test_what_is_hardly_moved_has_no_direction() -> None:
    row = {"f0_shift_st": 0.1, "f0_range": 1.01, "duration": 0.99, "gain_db": 0.4}
    assert material.directions({"bored": row}) == {"bored": {}}
    assert material.directions({"slow": {**row, "duration": 1.2}}) == {"slow": {"rate": -1}}


def test_prompts_are_listed_with_defaults(tmp_path: Path) -> None:
    assert material.prompts(tmp_path) == []
    (tmp_path / "af_kore.flac").touch()
    (tmp_path / "b.flac").touch()
    listed = {"prompts": [{"voice": "af_kore"}, {"voice": "bf_emma", "file": "b.flac", "accent": "gb"}]}
    (tmp_path / "prompts.json").write_text(json.dumps(listed))
    kore, emma = material.prompts(tmp_path)
    assert (kore.held_out, kore.accent, kore.path) == (True, "us", tmp_path / "af_kore.flac")
    assert (emma.held_out, emma.accent, emma.path) == (False, "gb", tmp_path / "b.flac")


def test_a_listed_prompt_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text(json.dumps({"prompts": [{"voice": "af_heart"}]}))
    with pytest.raises(ModelError, match="af_heart"):
        material.prompts(tmp_path)
