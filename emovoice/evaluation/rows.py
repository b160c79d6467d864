"""One row of the report: what was measured, how much it came to, and whether that is enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from emovoice.evaluation import measures
from emovoice.evaluation.material import Bar


@dataclass(frozen=True)
class Row:
    """A figure.

    Attributes:
        ci: 95 % bootstrap interval over items.
        n: items behind the figure.
        bar, aim, better: None for a figure that is only told.
        unit: "%" for shares of 0..1; else printed behind the value.
    """

    what: str
    value: float
    n: int
    ci: tuple[float, float] | None = None
    unit: str = ""
    bar: float | None = None
    aim: float | None = None
    better: str | None = None
    note: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether the bar is met; None without a bar, False for NaN."""
        if self.bar is None:
            return None
        if math.isnan(self.value):
            return False
        return self.value <= self.bar if self.better == "lower" else self.value >= self.bar

    def as_dict(self) -> dict[str, Any]:
        """For JSON: NaN becomes None."""
        row = {**asdict(self), "passed": self.passed}
        row["value"] = None if math.isnan(self.value) else self.value
        row["ci"] = list(self.ci) if self.ci and not any(map(math.isnan, self.ci)) else None
        return row


def mean_row(
    values: Sequence[float],
    bar: Bar | None = None,
    what: str = "",
    unit: str = "",
    note: str = "",
    n: int | None = None,
) -> Row:
    """The mean of one value per item, with its interval; NaNs are left out and told in the note."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < len(values):
        note = "; ".join(filter(None, [note, f"{len(values) - len(finite)} without a value"]))
    mean = math.fsum(finite) / len(finite) if finite else math.nan
    return _row(mean, n or len(finite), measures.mean_ci(finite), bar, what, unit, note)


def ratio_row(
    pairs: Sequence[tuple[float, float]], bar: Bar | None = None, what: str = "", note: str = ""
) -> Row:
    """Sum over sum of (errors, words) per item: a corpus-level share, with its interval."""
    top, below = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return _row(measures.ratio(top, below), len(pairs), measures.ratio_ci(top, below), bar, what, "%", note)


def value_row(
    value: float, n: int, bar: Bar | None = None, what: str = "", unit: str = "", note: str = ""
) -> Row:
    """A single figure."""
    return _row(value, n, None, bar, what, unit, note)


def _row(
    value: float, n: int, ci: tuple[float, float] | None, bar: Bar | None, what: str, unit: str, note: str
) -> Row:
    if bar is None:
        return Row(what, value, n, ci, unit, note=note)
    return Row(what or bar.what, value, n, ci, bar.unit, bar.bar, bar.aim, bar.better, note)
