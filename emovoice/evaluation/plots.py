"""A picture of one sentence: spectrogram and pitch, emotions down, intensities across."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emovoice.errors import ModelError
from emovoice.evaluation.bench import Bench, Item
from emovoice.evaluation.judges import PitchJudge, at_16k
from emovoice.evaluation.measures import frame_levels_db
from emovoice.writing import whole_file

_WINDOW, _HOP = 512, 128
_DEPTH_DB = 70
_HIGHEST_HZ = 8000
_QUIETEST_DB = -70.0
_MARKS_HZ = (100, 200, 400)


def picture(
    bench: Bench, text: str, voice: str, emotions: Sequence[str], intensities: Sequence[float], out: Path
) -> None:
    """Speak `text` in every emotion and intensity and draw it to `out` (.png, .svg or .pdf).

    Raises:
        ModelError: matplotlib or the pitch judge is not installed.
        OutputError: the picture cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ModelError("pictures need matplotlib", remedy="pip install 'emovoice[judges]'.") from error
    figure = Figure(figsize=(3.2 * len(intensities), 1.9 * len(emotions)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(emotions), len(intensities), sharex=True, sharey=True, squeeze=False)
    cells = [(row, column) for row in range(len(emotions)) for column in range(len(intensities))]
    for row, column in bench.each(cells, "plot"):
        item = Item(text, voice, emotions[row], intensities[column])
        take = bench.take(item)
        axis = axes[row, column]
        axis.set_title(f"{emotions[row]} {intensities[column]:g}", fontsize=8)
        if take.path is not None:
            _draw(axis, bench, *take.read())
    figure.suptitle(text, fontsize=9)
    with whole_file(out) as file:
        figure.savefig(file, format=out.suffix[1:].lower(), dpi=110)


GRID = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def grid(engine: Any, source: Path, emotion: str, out: Path, intensities: Sequence[float] = GRID) -> None:
    """Convert a recording to an emotion at each intensity and draw spectrogram, pitch and level to `out`.

    Args:
        engine: an `emovoice.Engine` whose model converts.

    Raises:
        ModelError: matplotlib or the pitch judge is not installed, or the model does not convert.
        OutputError: the picture cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ModelError("pictures need matplotlib", remedy="pip install 'emovoice[judges]'.") from error
    figure = Figure(figsize=(2.6 * len(intensities), 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, len(intensities), sharex=True, sharey="row", squeeze=False, height_ratios=(2, 1, 1))
    judge = PitchJudge()
    for column, intensity in enumerate(intensities):
        made = engine.convert(source, emotion, intensity, tempo=True)
        mono = made.samples if made.samples.ndim == 1 else made.samples.mean(1)
        heard = at_16k(mono, made.rate)
        spectrum, melody, level = axes[:, column]
        spectrum.set_title(f"{emotion} {intensity:g}", fontsize=9)
        extent = (0.0, len(heard) / 16_000, 0.0, _HIGHEST_HZ / 1000)
        spectrum.imshow(spectrogram_db(heard), origin="lower", aspect="auto", extent=extent, cmap="Greys")
        times, pitch = judge.track(mono, made.rate)
        melody.plot(times, pitch, color="tab:red", linewidth=1.2)
        levels = frame_levels_db(heard, 16_000)
        level.plot(0.01 * np.arange(len(levels)), np.maximum(levels, _QUIETEST_DB), color="tab:blue", linewidth=1.0)
    axes[1, 0].set_yscale("log")
    axes[1, 0].set_ylim(50, 500)
    axes[1, 0].set_yticks(_MARKS_HZ, [str(hz) for hz in _MARKS_HZ])
    for row, name in enumerate(("kHz", "pitch, Hz", "level, dB")):
        axes[row, 0].set_ylabel(name, fontsize=8)
    for axis in axes.flat:
        axis.tick_params(labelsize=6)
    with whole_file(out) as file:
        figure.savefig(file, format=out.suffix[1:].lower(), dpi=110)


def spectrogram_db(samples: np.ndarray) -> np.ndarray:
    """`(257, F)`: power in dB below the loudest bin, at most 70; 32 ms windows every 8 ms at 16 kHz."""
    padded = np.pad(samples, _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames, axis=1)).T ** 2
    peak = float(power.max(initial=0.0)) or 1.0
    return np.asarray(10 * np.log10(np.maximum(power / peak, 10 ** (-_DEPTH_DB / 10))))


def _draw(axis: Any, bench: Bench, samples: np.ndarray, rate: int) -> None:
    heard = at_16k(samples, rate)
    extent = (0.0, len(heard) / 16_000, 0.0, _HIGHEST_HZ / 1000)
    axis.imshow(spectrogram_db(heard), origin="lower", aspect="auto", extent=extent, cmap="Greys")
    times, pitch = bench.pitch.track(samples, rate)
    over = axis.twinx()
    over.plot(times, pitch, color="tab:red", linewidth=1.2)
    over.set_ylim(50, 500)
    over.set_yscale("log")
    over.set_yticks(_MARKS_HZ, [str(hz) for hz in _MARKS_HZ])
    over.set_yticks([], minor=True)
    over.tick_params(labelsize=6, labelcolor="tab:red")
    axis.tick_params(labelsize=6)
    median = float(np.nanmedian(pitch)) if np.isfinite(pitch).any() else math.nan
    axis.set_xlabel(f"{len(heard) / 16_000:.2f} s, median {median:.0f} Hz", fontsize=7)
