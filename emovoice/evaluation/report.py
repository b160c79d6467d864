"""The report: JSON that gathers suites over several runs of one model, and a markdown table of it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from emovoice.evaluation import SUITE_NAMES
from emovoice.evaluation.rows import Row
from emovoice.writing import put_between, whole_file

_PACKAGES = (
    "emovoice", "torch", "numpy", "scipy", "faster-whisper", "ctranslate2", "resemblyzer", "swift-f0",
    "speechmos", "onnxruntime",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """What figures depend on beside the model: processor count, threads asked for, load, versions."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "versions": versions,
    }


def entry(rows: Sequence[Row], texts: int, seconds: float, failures: Sequence[str]) -> dict[str, Any]:
    """One suite's part of the report."""
    return {
        "rows": [row.as_dict() for row in rows],
        "texts": texts,
        "seconds": round(seconds, 1),
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "not_spoken": list(failures),
    }


def merge(
    path: Path, model: str, fingerprint: str, suites: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The report with `suites` put in place of older ones of the same names.

    Suites of an earlier run are kept if they are about the same model: same name, same way of speaking.
    """
    earlier: Mapping[str, Any] = {}
    if path.is_file():
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            old = {}
        if old.get("model") == model and old.get("fingerprint") == fingerprint:
            earlier = old["suites"]
    merged = {**earlier, **suites}
    ordered = {name: merged[name] for name in SUITE_NAMES if name in merged}
    return {"model": model, "fingerprint": fingerprint, "machine": machine(), "suites": ordered}


def passed(report: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Whether every bar of these suites is met."""
    return all(row["passed"] is not False for name in names for row in report["suites"][name]["rows"])


def write(report: Mapping[str, Any], folder: Path) -> None:
    """Write report.json and report.md, each whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(folder / "report.json") as file:
        file.write((json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode())
    with whole_file(folder / "report.md") as file:
        file.write(markdown(report).encode())


MARKS = ("<!-- measured: begin -->", "<!-- measured: end -->")


def _with_bars_only(text: str) -> str:
    """A report without the tables that have no bar: what a page for newcomers has room for."""
    kept, _, rest = text.partition("\n\nWithout a bar:\n\n")
    footer = [line for line in rest.splitlines() if not line.startswith("|")]
    return "\n".join([kept, *footer]).strip()


def put_into(path: Path, text: str) -> None:
    """Replace what stands between the two marks of a text file, so that its figures are a command's and not a hand's.

    Raises:
        InputError: the file lacks the marks.
        OutputError: it cannot be written.
    """
    put_between(path, MARKS, _with_bars_only(text.partition("\n")[2].strip()))  # without the report's own title


def markdown(report: Mapping[str, Any]) -> str:
    """The report for people: figures with a bar first, then the rest."""
    flat = [(name, row) for name, suite in report["suites"].items() for row in suite["rows"]]
    lines = [f"# Evaluation of `{report['model']}` ({report['fingerprint']})", ""]
    lines += [
        "| what | figure | 95 % interval | bar | aim | met | n | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(row) for _, row in flat if row["bar"] is not None]
    told = [row for _, row in flat if row["bar"] is None]
    if told:
        lines += [
            "",
            "Without a bar:",
            "",
            "| what | figure | 95 % interval | n | |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {r['what']} | {_shown(r['value'], r['unit'])} | {_interval(r)} | {r['n']} | {r['note']} |"
            for r in told
        ]
    failures = list(
        dict.fromkeys(text for suite in report["suites"].values() for text in suite["not_spoken"])
    )
    if failures:
        lines += ["", f"{len(failures)} items were not spoken and count as wrong, for instance:", ""]
        lines += [f"- {text}" for text in failures[:5]]
    return "\n".join([*lines, "", *_footer(report), ""])


def _line(row: Mapping[str, Any]) -> str:
    sign = "≤" if row["better"] == "lower" else "≥"
    limits = f"{sign} {_shown(row['bar'], row['unit'])} | {_shown(row['aim'], row['unit'])}"
    met = "yes" if row["passed"] else "**no**"
    figure = _shown(row["value"], row["unit"])
    return f"| {row['what']} | {figure} | {_interval(row)} | {limits} | {met} | {row['n']} | {row['note']} |"


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit == "%":
        return f"{100 * value:.1f} %"
    return f"{value:.3g} {unit}".strip() if abs(value) >= 10 else f"{value:.3f} {unit}".strip()


def _interval(row: Mapping[str, Any]) -> str:
    if row["ci"] is None:
        return ""
    low, high = row["ci"]
    return f"{_shown(low, row['unit'])} .. {_shown(high, row['unit'])}"


def _footer(report: Mapping[str, Any]) -> list[str]:
    about = report["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    runs = []
    for name, suite in report["suites"].items():
        load = suite["load_average"][0]
        runs.append(
            f"{name}: {suite['texts']} texts, {suite['seconds']:.0f} s, load {load:g}, {suite['when'][:10]}"
        )
    threads = about["omp_num_threads"]
    return [
        f"{about['system']}, {about['cores']} cores, Python {about['python']}; {versions}"
        + (f"; OMP_NUM_THREADS={threads}." if threads else "."),
        "",
        f"Runs: {'; '.join(runs)}.",
        "",
        "Judges are small models and rules; nobody listened.",
    ]
