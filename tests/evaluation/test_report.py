"""Rows, JSON and markdown."""

import json
import math
from pathlib import Path

import pytest

from emovoice.errors import InputError
from emovoice.evaluation import material, report
from emovoice.evaluation.rows import Row, mean_row, ratio_row, value_row

BARS = material.bars()


def entry(*rows: Row, failures: tuple[str, ...] = ()) -> dict[str, object]:
    return report.entry(rows, 4, 1.5, failures)


def test_rows_pass_on_the_bar_and_never_without_a_value() -> None:
    assert value_row(0.10, 1, BARS["wer_neutral"]).passed is True
    assert value_row(0.11, 1, BARS["wer_neutral"]).passed is False
    assert value_row(2.99, 1, BARS["quality"]).passed is False
    assert value_row(math.nan, 1, BARS["quality"]).passed is False
    assert value_row(7.0, 1, what="told").passed is None


def test_values_that_are_missing_are_told() -> None:
    row = mean_row([1.0, math.nan, 3.0], what="x")
    assert (row.value, row.n, row.note) == (2.0, 2, "1 without a value")
    assert mean_row([], what="x").as_dict()["value"] is None


def test_word_error_rate_is_over_all_words() -> None:
    row = ratio_row([(1, 2), (0, 8)], BARS["wer_neutral"])
    assert (row.value, row.n, row.unit) == (0.1, 2, "%")


def test_suites_run_one_by_one_add_up(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    first = report.merge(path, "mini", "abc", {"quality": entry(value_row(3.3, 4, BARS["quality"]))})
    report.write(first, tmp_path)
    both = report.merge(path, "mini", "abc", {"wer_neutral": entry(value_row(0.2, 4, BARS["wer_neutral"]))})
    assert list(both["suites"]) == ["wer_neutral", "quality"]
    assert report.passed(both, ["quality"]) and not report.passed(both, ["quality", "wer_neutral"])
    other = report.merge(path, "mini", "def", {"wer_neutral": entry(value_row(0.2, 4, BARS["wer_neutral"]))})
    assert list(other["suites"]) == ["wer_neutral"]


def test_a_damaged_report_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{")
    merged = report.merge(tmp_path / "report.json", "mini", "abc", {"quality": entry(value_row(3.3, 4))})
    assert list(merged["suites"]) == ["quality"]


def test_the_written_report(tmp_path: Path) -> None:
    rows = [
        ratio_row([(1, 10), (1, 10)], BARS["wer_neutral"]),
        value_row(1.25, 1, BARS["peak_memory"]),
        value_row(math.nan, 0, BARS["timbre_held_out"], note="no prompts"),
        value_row(3.25, 8, what="DNSMOS, neutral"),
    ]
    done = report.merge(tmp_path / "report.json", "mini", "abc", {"quality": entry(*rows, failures=("why",))})
    report.write(done, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["suites"]["quality"]["rows"][2]["value"] is None
    text = (tmp_path / "report.md").read_text()
    assert (
        "| WER, neutral, trained voices | 10.0 % | 10.0 % .. 10.0 % | ≤ 10.0 % | 4.0 % | yes | 2 |  |" in text
    )
    assert "| 1.250 GB |  | ≤ 1.500 GB | 0.800 GB | yes |" in text
    assert "| – |  | ≥ 0.650 | 0.800 | **no** | 0 | no prompts |" in text
    assert "| DNSMOS, neutral | 3.250 |  | 8 |  |" in text
    assert "1 items were not spoken" in text and "load" in text and "numpy" in text
    assert not list(tmp_path.glob("*.partial"))


def test_figures_go_between_the_marks_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    begin, end = report.MARKS
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    for _ in range(2):
        report.put_into(page, "# title\n\n| a |\n")
    assert page.read_text() == f"before\n{begin}\n| a |\n{end}\nafter\n"
    page.write_text("no marks\n")
    with pytest.raises(InputError, match="marks"):
        report.put_into(page, "# title\n\nx")
    assert page.read_text() == "no marks\n"


def test_pages_get_the_rows_with_a_bar_and_the_footer(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    begin, end = report.MARKS
    page.write_text(f"{begin}\n{end}\n")
    report.put_into(page, "# title\n\n| bar |\n\nWithout a bar:\n\n| told |\n\nfoot\n")
    assert page.read_text() == f"{begin}\n| bar |\n\nfoot\n{end}\n"
