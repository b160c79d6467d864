"""Pictures of `emovoice bench`, of the records that `--json` prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from emovoice.errors import ModelError
from emovoice.writing import whole_file

ENDINGS = (".png", ".svg", ".pdf")
_WALL, _CPU = "tab:blue", "tab:orange"


def speech(found: dict[str, Any], out: Path) -> None:
    """Engines, stages, first sound and cost against length, of `bench_speech.measure`, to `out`.

    Raises:
        ModelError: matplotlib is not installed.
        OutputError: the picture cannot be written.
    """
    def draw(figure: Any) -> None:
        (engines, stages), (first, cost) = figure.subplots(2, 2)
        _engines(engines, found["engines"])
        parts = {name: found["stages"][name] for name in ("text", "codes", "mel", "wave")}
        stages.barh(list(parts), list(parts.values()), color=_CPU)
        stages.invert_yaxis()
        _name(stages, "stages", "s of the processor for a second of speech", "")
        rows = list(found["texts"].values())
        lengths_s = [row["speech_s"] for row in rows]
        first.plot(lengths_s, [1000 * row["first_s"] for row in rows], "o", color=_WALL, label="wall")
        first.plot(lengths_s, [1000 * row["first_cpu_s"] for row in rows], "x", color=_CPU, label="processor")
        _name(first, "first sound", "speech, s", "ms")
        cost.plot(lengths_s, [row["speech_s"] * row["factor"] for row in rows], "o", color=_WALL, label="wall")
        cost.plot(lengths_s, [row["speech_s"] * row["cpu_factor"] for row in rows], "x", color=_CPU, label="processor")
        _name(cost, "cost", "speech, s", "s")
        for axis in (first, cost):
            _from_zero(axis)
            axis.legend(fontsize=7, loc="lower right")

    _picture(out, (8.0, 5.6), draw)


def long(found: dict[str, Any], out: Path) -> None:
    """Cost and memory against length, of `bench_long.measure`, to `out`; raises like `speech`."""
    def draw(figure: Any) -> None:
        cost, memory = figure.subplots(1, 2)
        minutes = [row["speech_s"] / 60 for row in found["texts"]]
        cost.plot(minutes, [row["cpu_factor"] * row["speech_s"] for row in found["texts"]], "o-", color=_CPU)
        _name(cost, "cost", "speech, min", "s of the processor")
        memory.plot(minutes, [row["peak_gb"] for row in found["texts"]], "o-", color=_WALL)
        _name(memory, "peak memory", "speech, min", "GB")
        for axis in (cost, memory):
            _from_zero(axis)

    _picture(out, (8.0, 2.8), draw)


def _engines(axis: Any, rows: dict[str, Any]) -> None:
    """Real-time factors, on a logarithmic scale: flite is a hundred times as fast as Kokoro."""
    for mark, key, color, label in (("o", "factor", _WALL, "wall"), ("x", "cpu_factor", _CPU, "processor")):
        axis.plot([row[key] for row in rows.values()], list(rows), mark, color=color, label=label)
    axis.invert_yaxis()
    axis.margins(x=0.15, y=0.2)
    axis.grid(axis="x", linewidth=0.4)
    axis.set_xscale("log")
    axis.legend(fontsize=7, loc="lower right")
    _name(axis, "engines", "real-time factor", "")


def _from_zero(axis: Any) -> None:
    axis.set_xlim(0, 1.08 * axis.dataLim.x1)
    axis.set_ylim(0, 1.25 * axis.dataLim.y1)


def _name(axis: Any, title: str, across: str, up: str) -> None:
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(across, fontsize=8)
    axis.set_ylabel(up, fontsize=8)
    axis.tick_params(labelsize=7)


def _picture(out: Path, size: tuple[float, float], draw: Callable[[Any], None]) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ModelError("pictures need matplotlib", remedy="pip install 'emovoice[judges]'.") from error
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    with whole_file(out) as file:
        figure.savefig(file, format=out.suffix[1:].lower(), dpi=110)
