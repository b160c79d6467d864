"""Building a corpus: resumable at any moment. The teacher is left out; items are rendered by a stand-in."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from emovoice.corpus import build as building
from emovoice.corpus.build import Studio, build, read_manifest
from emovoice.corpus.plan import Item, plan
from emovoice.corpus.texts import Line

LINES = [Line(f"Sentence number {number}.", "own") for number in range(5)]


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """Every item takes two seconds, and every fifth cannot be spoken."""

    def batches(studio: Studio, todo: Iterator[Item], workers: int) -> Iterator[Iterator[dict[str, Any]]]:
        while True:
            batch = list(islice(todo, 8 * workers))
            yield ({"id": item.id, "seconds": 2.0} for item in batch if item.group % 5)

    monkeypatch.setattr(building, "_batches", batches)
    return Studio(tmp_path, tmp_path, tmp_path, seed=1)


def rows(studio: Studio) -> list[str]:
    return [row["id"] for row in read_manifest(studio.out / "manifest.jsonl")]


def test_it_renders_what_was_asked_for_and_resumes(studio: Studio) -> None:
    first = build(studio, LINES, hours=0.05)
    assert first["hours"] >= 0.05 and first["items"] == len(rows(studio)) == round(first["hours"] * 1800)
    before = rows(studio)
    assert build(studio, LINES, hours=0.05) == first and rows(studio) == before
    build(studio, LINES, hours=0.1)
    assert rows(studio)[: len(before)] == before and len(rows(studio)) >= 180
    assert len(set(rows(studio))) == len(rows(studio))
    planned = (item.id for item in plan(LINES, 1) if item.group % 5)
    assert set(before) == set(islice(planned, len(before)))


def test_scores_are_counted_and_kept_apart(studio: Studio) -> None:
    silent = Studio(studio.out, studio.cache, studio.voices, 1, audible=False)
    assert build(silent, LINES, scores=30)["items"] >= 30
    assert len(read_manifest(studio.out / "scores.jsonl")) >= 30 and rows(studio) == []


def test_a_row_cut_short_by_a_crash_costs_that_row_only(studio: Studio) -> None:
    build(studio, LINES, hours=0.02)
    manifest, before = studio.out / "manifest.jsonl", rows(studio)
    manifest.write_bytes(manifest.read_bytes()[:-7])
    assert rows(studio) == before[:-1]
    build(studio, LINES, hours=0.03)
    assert before[-1] in rows(studio) and len(set(rows(studio))) == len(rows(studio))
    assert sum(1 for line in manifest.read_text().splitlines() if not line.endswith("}")) == 1


def test_rows_keep_their_letters(tmp_path: Path) -> None:
    for name in ("Zoë", "naïve"):
        building._append(tmp_path / "m.jsonl", {"text": name})
    assert [row["text"] for row in read_manifest(tmp_path / "m.jsonl")] == ["Zoë", "naïve"]
    assert json.loads((tmp_path / "m.jsonl").read_text(encoding="utf-8").splitlines()[0]) == {"text": "Zoë"}
