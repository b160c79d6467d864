"""The benchmark of the published transformer, on two small layers: figures that fit each other, and its table."""

from __future__ import annotations

from pathlib import Path

import pytest

from emovoice.testing.bench_published import BATCHES, MARKS, main, measure, table


def test_the_figures_of_a_small_model_fit_each_other() -> None:
    found = measure("cpu", ["fp32", "int8"], layers=2, dim=64, codes=4, rounds=3)
    assert list(found["ways"]) == [f"{kind}, {n}" for kind in ("fp32", "int8") for n in BATCHES]
    reads = {way: row["bytes"] for way, row in found["ways"].items()}
    weights = 12 * 2 * 64**2 + 64 * 8194
    assert reads["fp32, 1"] == 4 * weights + 108 * 2 * 2 * 64 * 4
    assert reads["fp32, 8"] - reads["fp32, 1"] == 7 * 108 * 2 * 2 * 64 * 4
    assert reads["int8, 1"] == weights + 108 * 2 * 2 * 64 * 4
    assert all(row["kept"] > 0 and row["whole"] > 0 for row in found["prompts"].values())


def test_the_table_says_how_much_of_the_memory_is_used(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"ways": {"bf16, 1": {"step_s": 0.001, "bytes": 10**9}, "bf16, 8": {"step_s": 0.002, "bytes": 10**9}},
             "prompts": {"bf16": {"whole": 0.004, "kept": 0.003}}, "memory_speed": 2e12, "layers": 24, "dim": 1280,
             "device": "a GPU", "threads": 1, "cores": 2, "load": [0.0, 0.1], "torch": "2"}  # fmt: skip
    lines = table(found).splitlines()
    assert lines[2] == "| bf16 | 1 | 1000.0 | 1.00 | 1000.0 | 50% |"
    assert lines[3] == "| bf16 | 8 | 4000.0 | 4.00 | 500.0 | 25% |"
    monkeypatch.setattr("emovoice.testing.bench_published.measure", lambda *_: found)
    assert main(["--device", "cpu"]) == 0 and capsys.readouterr().out.startswith("| numbers")
    page = (Path(__file__).parents[2] / "docs/performance.md").read_text(encoding="utf-8")
    assert all(page.count(mark) == 1 for mark in MARKS)
