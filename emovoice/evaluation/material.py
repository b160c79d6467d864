"""What the suites need from data files: held-out texts, prompts, directions, bars."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from emovoice.errors import ModelError

PROSODY = ("F0 level", "F0 range", "rate", "level")
"""The four measures whose direction the data file gives."""

_WEAK_ST, _WEAK_LOG, _WEAK_DB = 0.25, math.log(1.02), 0.5


@dataclass(frozen=True)
class Bar:
    """A bar and an aim.

    Attributes:
        better: "lower" or "higher".
        unit: how the value is printed: "%" for a share, "s", "GB", or nothing.
    """

    what: str
    bar: float
    aim: float
    better: str
    unit: str = ""

    def met(self, value: float) -> bool:
        """Whether `value` is on the good side of the bar, or on it; never for NaN."""
        return value <= self.bar if self.better == "lower" else value >= self.bar


@dataclass(frozen=True)
class Prompt:
    """A neutral recording of a voice, which the voice is cloned from.

    Attributes:
        accent: "us" or "gb": how texts are read for this voice.
        text: what is said in it; "" where that is not known.
    """

    voice: str
    path: Path
    held_out: bool
    accent: Literal["us", "gb"] = "us"
    text: str = ""


def bars() -> Mapping[str, Bar]:
    """Bars by name, from data/bars.json."""
    return {name: Bar(**row) for name, row in _data("emovoice.evaluation", "bars.json")["bars"].items()}


def held_out_texts(count: int) -> list[str]:
    """The first `count` texts that no model was trained on.

    Raises:
        ModelError: there are not that many.
    """
    texts: list[str] = _data("emovoice.corpus", "held_out.json")["texts"]
    if not 1 <= count <= len(texts):
        raise ModelError(
            "that many held-out texts are not there",
            field="texts",
            value=count,
            remedy=f"Ask for 1 to {len(texts)}.",
        )
    return texts[:count]


def prompts(folder: Path | None = None) -> list[Prompt]:
    """Prompts listed in prompts.json of a folder (the packaged one by default); none if there is no list.

    The list reads `{"prompts": [{"voice": "bf_emma", "file": "b.flac", "held_out": false, "accent": "gb"}]}`.
    Left out, `file` is `<voice>.flac`, held_out.json says what is `held_out`, `accent` is "us" and `text` is not known.
    """
    folder = folder or Path(str(files("emovoice.evaluation").joinpath("data/prompts")))
    listing = folder / "prompts.json"
    if not listing.is_file():
        return []
    kept_out = set(_data("emovoice.corpus", "held_out.json")["voices"])
    rows: Sequence[Mapping[str, Any]] = json.loads(listing.read_text(encoding="utf-8"))["prompts"]
    return [_prompt(folder, row, kept_out) for row in rows]


def _prompt(folder: Path, row: Mapping[str, Any], kept_out: Collection[str]) -> Prompt:
    voice = row["voice"]
    path = folder / row.get("file", f"{voice}.flac")
    if not path.is_file():
        raise ModelError("a prompt is missing", field="file", value=str(path))
    return Prompt(voice, path, row.get("held_out", voice in kept_out), row.get("accent", "us"), row.get("text", ""))


def directions(table: Mapping[str, Mapping[str, float]] | None = None) -> dict[str, dict[str, int]]:
    """Which way each of the four measures goes in each emotion, by the corpus' data file of correlates.

    +1 up, -1 down; a measure that the file (nearly) leaves alone is left out: under 0.25 st, 2 %, 0.5 dB.

    Args:
        table: emotion -> correlates at intensity 1; None means the data file.
    """
    if table is None:
        table = _data("emovoice.corpus", "correlates.json")["emotions"]
    result = {}
    for emotion, row in table.items():
        expected = (
            (row["f0_shift_st"], _WEAK_ST),
            (math.log(row["f0_range"]), _WEAK_LOG),
            (-math.log(row["duration"]), _WEAK_LOG),
            (row["gain_db"], _WEAK_DB),
        )
        signs = {
            name: int(math.copysign(1, size))
            for name, (size, weak) in zip(PROSODY, expected, strict=True)
            if abs(size) >= weak
        }
        result[emotion] = signs
    return result


@lru_cache
def _data(package: str, name: str) -> Any:
    file = files(package).joinpath("data").joinpath(name)
    if not file.is_file():
        raise ModelError("a data file is missing from this installation", field="file", value=name)
    return json.loads(file.read_text(encoding="utf-8"))
