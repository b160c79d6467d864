"""Acoustic correlates of emotion, read from `data/correlates.json` (values and sources are there, not here)."""
from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

FACTORS = frozenset({"f0_range", "duration", "pause", "accent"})


@dataclass(frozen=True)
class Correlates:
    """What an emotion does to a neutral rendering; units as in the data file. The defaults are neutral."""

    f0_shift_st: float = 0.0
    f0_range: float = 1.0
    duration: float = 1.0
    pause: float = 1.0
    gain_db: float = 0.0
    tilt_db_oct: float = 0.0
    breath: float = 0.0
    jitter_pct: float = 0.0
    shimmer_db: float = 0.0
    final_st: float = 0.0
    accent: float = 1.0
    tremor_st: float = 0.0


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """The data file as it is."""
    return json.loads(files("emovoice.corpus").joinpath("data/correlates.json").read_text(encoding="utf-8"))


def correlates(emotion: str, intensity: float, rng: np.random.Generator | None = None) -> Correlates:
    """Correlates of `emotion` at `intensity` in 0..1; with `rng`, each one is drawn within the file's spread.

    Shifts grow linearly with intensity, factors geometrically, so that equal steps are equal steps of log pitch
    range and log tempo. `emotion="neutral"` gives the neutral element, whatever the intensity.
    """
    if emotion == "neutral":
        return Correlates()
    row = table()["emotions"][emotion]
    spread = table()["spread"]
    values = {}
    for field in fields(Correlates):
        at = intensity * (1 + spread * rng.uniform(-1, 1) if rng is not None else 1.0)
        value = row[field.name]
        values[field.name] = value**at if field.name in FACTORS else value * at
    return Correlates(**values)
