"""The prosody suite: does each emotion move the voice as the data file says, and further the stronger it is?

A cell is one measure in one emotion, such as the F0 level of `sad`; cells that the data file leaves alone are
left out. Its direction is judged by the mean change from intensity 0 to 1 over all texts, its growth by
Spearman's correlation of intensity and measure within each text, averaged over texts. A text without a value
counts as no correlation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from emovoice.evaluation.bench import Bench, Item
from emovoice.evaluation.material import PROSODY, Bar, directions
from emovoice.evaluation.measures import moves_as_expected, spearman
from emovoice.evaluation.rows import Row, mean_row

INTENSITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
_UNITS = dict(zip(PROSODY, ("st", "st", "letters/s", "dB"), strict=True))


@dataclass(frozen=True)
class Cell:
    """One measure in one emotion, over all texts."""

    emotion: str
    measure: str
    direction: int
    values: np.ndarray
    """`(texts, intensities)`, NaN where there was nothing to measure."""

    @property
    def right(self) -> bool:
        """Whether the mean change from none to full goes the expected way."""
        return moves_as_expected(list(self.values[:, -1] - self.values[:, 0]), self.direction)

    def growth(self) -> list[float]:
        """Spearman's correlation of each text, -1..1; positive is the expected way."""
        return [self.direction * spearman(INTENSITIES, list(row)) for row in self.values]

    def change(self) -> float:
        """Mean change from none to full, over texts that have both."""
        moved = self.values[:, -1] - self.values[:, 0]
        moved = moved[np.isfinite(moved)]
        return float(moved.mean()) if len(moved) else float("nan")


def measure(
    bench: Bench, neutral: Sequence[Item], emotions: Sequence[str], bars: Mapping[str, Bar]
) -> list[Row]:
    """Rows of the suite: both bars, then every emotion and every cell.

    Args:
        neutral: the texts and voices, without emotion.
    """
    expected = directions()
    cells = [
        cell for emotion in emotions for cell in _cells(bench, neutral, emotion, expected.get(emotion, {}))
    ]
    return rows(cells, bars)


def rows(cells: Sequence[Cell], bars: Mapping[str, Bar]) -> list[Row]:
    """The rows that come of cells which share their texts."""
    growth = {(cell.emotion, cell.measure): cell.growth() for cell in cells}
    per_text = [sum(values) / len(values) for values in zip(*growth.values(), strict=True)]
    result = [
        mean_row([float(cell.right) for cell in cells], bars["prosody_sign"], note="of cells"),
        mean_row(per_text, bars["prosody_spearman"], note=f"mean of {len(cells)} cells per text"),
    ]
    for emotion in dict.fromkeys(cell.emotion for cell in cells):
        own = [values for (name, _), values in growth.items() if name == emotion]
        result.append(
            mean_row([sum(v) / len(v) for v in zip(*own, strict=True)], what=f"Spearman, {emotion}")
        )
    for cell in cells:
        note = f"{cell.change():+.2f} {_UNITS[cell.measure]}, {'right' if cell.right else 'WRONG'}"
        result.append(
            mean_row(
                growth[cell.emotion, cell.measure],
                what=f"Spearman, {cell.emotion}, {cell.measure}",
                note=note,
            )
        )
    return result


def _cells(bench: Bench, neutral: Sequence[Item], emotion: str, signs: Mapping[str, int]) -> Iterator[Cell]:
    table = [
        [bench.prosody(bench.take(replace(item, emotion=emotion, intensity=i))) for i in INTENSITIES]
        for item in bench.each(neutral, f"prosody {emotion}")
    ]
    for name, direction in signs.items():
        yield Cell(emotion, name, direction, np.array([[step[name] for step in row] for row in table]))
