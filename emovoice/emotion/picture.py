"""What was understood, as a picture of characters. Pure: text in, lines out."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emovoice.emotion.instructions import Moment, Understanding
from emovoice.emotion.names import EMOTIONS

WIDTH = 30
_LEAST_SHOWN = 0.03
_MOST_TEXT = 60


@dataclass(frozen=True)
class Blocks:
    """The characters to draw with: eighths of a bar and of a column, and empty."""

    eighths: str
    columns: str
    empty: str


FINE = Blocks(" ▏▎▍▌▋▊▉█", " ▁▂▃▄▅▆▇█", "·")
PLAIN = Blocks(" ....:::#", " ..::++##", ".")


def bar(share: float, width: int = WIDTH, blocks: Blocks = FINE) -> str:
    """A share 0..1 as a bar of `width` characters."""
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    drawn = blocks.eighths[8] * full + (blocks.eighths[rest] if rest else "")
    return drawn + blocks.empty * (width - len(drawn))


def understanding(found: Understanding, blocks: Blocks = FINE) -> list[str]:
    """Bars for emotions and intensity, the curve of a sequence, pace and level, and the reasons."""
    lines = [f'"{_short(found.text)}"', ""]
    ranked = sorted(found.weights.items(), key=lambda row: -row[1])
    for name, share in ranked:
        if share >= _LEAST_SHOWN:
            lines.append(f"  {name:<12}{bar(share, blocks=blocks)} {share:4.0%}")
    lines.append(f"  {'intensity':<12}{bar(found.intensity, blocks=blocks)} {found.intensity:.2f}")
    if len(found.moments) > 1:
        lines += ["", *curve(found.moments, blocks)]
    lines += ["", f"  {delivery(found.rate, found.loudness_db, found.whisper)}; confidence {found.confidence:.2f}"]
    if found.relied_on:
        told = [f"{why.words} ({why.effect}{f' {why.amount:+.1f}' if why.effect in EMOTIONS else ''})"
                for why in found.relied_on]  # fmt: skip
        lines += textwrap.wrap("relied on: " + ", ".join(told), 100, initial_indent="  ", subsequent_indent="    ")
    if found.not_understood:
        lines.append(f"  not understood: {', '.join(found.not_understood)}")
    return lines


def curve(moments: Sequence[Moment], blocks: Blocks = FINE) -> list[str]:
    """A row for each emotion that plays a part: its weight over time, left to right."""
    found = [(name, max(m.weights[name] * m.intensity for m in moments)) for name in EMOTIONS]
    rows = []
    for name, most in found:
        if most >= _LEAST_SHOWN * 2:
            rows.append(
                f"  {name:<12}" + "".join(_column(_at(moments, name, i / (WIDTH - 1)), blocks) for i in range(WIDTH))
            )
    stages = " > ".join(_short(moment.text, 24) for moment in moments)
    return [*rows, f"  {'':<12}{stages}"]


def sentences(rows: Sequence[Mapping[str, object]], blocks: Blocks = FINE) -> list[str]:
    """A line for each sentence: its strongest emotions, intensity, pace, level and words."""
    lines = []
    for number, row in enumerate(rows, 1):
        weights = row["weights"]
        assert isinstance(weights, Mapping)
        total = sum(weights.values())
        ranked = sorted(weights.items(), key=lambda item: -item[1])
        names = ", ".join(f"{name} {share:.2f}" for name, share in ranked if share >= _LEAST_SHOWN * 2) or "neutral"
        lines.append(f"{number:3} {bar(total, 10, blocks)} {names}")
        extra = delivery(float(str(row["rate"])), float(str(row["loudness_db"])), False)
        lines.append(f"    {row['text']}" + (f"   [{extra}]" if extra != _USUAL else ""))
    return lines


_USUAL = "usual pace and level"


def delivery(rate: float, loudness_db: float, whisper: bool) -> str:
    """Pace and level in words."""
    told = ["whispered"] if whisper else []
    told += [f"pace x {rate:.2f}"] if abs(rate - 1) > 0.005 else []
    told += [f"level {loudness_db:+.0f} dB"] if abs(loudness_db) >= 0.5 else []
    return ", ".join(told) or _USUAL


def _at(moments: Sequence[Moment], name: str, t: float) -> float:
    place = t * (len(moments) - 1)
    left = min(int(place), len(moments) - 2)
    a, b = (m.weights[name] * m.intensity for m in moments[left : left + 2])
    return a + (place - left) * (b - a)


def _column(value: float, blocks: Blocks) -> str:
    return blocks.columns[min(8, round(max(0.0, value) * 8))]


def _short(text: str, most: int = _MOST_TEXT) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 3] + "..."
