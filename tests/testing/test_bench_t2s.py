"""The bench runs both ways at a tiny size and says what it ran on."""

from __future__ import annotations

import json

import pytest

from emovoice.testing.bench_t2s import main


def test_the_bench_prints_all_ways_and_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("--layers 1 --dim 64 --codes 12 --rounds 1".split()) == 0
    found = json.loads(capsys.readouterr().out)
    for beams in ("beams=1", "beams=3"):
        assert set(found["codes_per_s"][beams]["wall"]) == {"transformers", "float32", "int8"}
        assert found["times_transformers"][beams]["processor"]["transformers"] == 1
    assert found["threads"] >= 1 and len(found["load_average_before"]) == 3 and found["peak_gb"] > 0
    assert 0.5 < found["greedy_codes_kept_by_int8"] <= 1
