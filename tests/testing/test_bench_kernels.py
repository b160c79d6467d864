"""The bench of the kernels runs all ways and fills a page between its markers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emovoice.testing.bench_kernels import BEGIN, END, main, table

ROOT = Path(__file__).resolve().parents[2]


def test_the_bench_prints_all_ways_and_fills_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert main(["--repeats", "3", "--into", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["kernels"]) == 6 and len(found["load_average_before"]) == 3
    for name, kernel in found["kernels"].items():
        assert next(iter(kernel["ratio"].values())) == 1 and "numba" in kernel["ratio"], name
    assert page.read_text() == f"before\n{BEGIN}\n{table(found)}\n{END}\nafter\n"


def test_the_page_has_the_markers() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert text.index(BEGIN) < text.index(END)
