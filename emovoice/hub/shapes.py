"""Which tensors of which shape a part has to have: compact lists, expanded and compared. Pure functions.

The lists are `checkpoints/shapes.json`: "norm_{ff,mha}.{weight,bias}": [512] stands for four tensors,
"h.{0-23}.ln_1.weight" for 24.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

Shape = tuple[int, ...]

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)-(\d+)\Z")


@dataclass(frozen=True)
class Report:
    """How the tensors that are there differ from those that have to be."""

    expected: int
    """Tensors that have to be there, those that can be recomputed included."""
    found: int
    """Of these, tensors that are there."""
    missing: tuple[str, ...]
    wrong: tuple[tuple[str, Shape, Shape], ...]
    """(name, its shape, the shape it has to have)"""
    extra: int
    """Tensors that nobody asks for. They are ignored."""
    recomputed: int
    """Missing buffers that the modules compute themselves, such as filters and position tables."""

    @property
    def ok(self) -> bool:
        """Whether nothing that is needed is missing or of another shape."""
        return not self.missing and not self.wrong


def names() -> tuple[str, ...]:
    """The lists there are."""
    return tuple(_data()["lists"])


@cache
def expected(name: str) -> Mapping[str, Shape]:
    """The list of that name: tensor -> shape. Raises KeyError for another name."""
    return {
        tensor: tuple(shape) for pattern, shape in _data()["lists"][name].items() for tensor in expand(pattern)
    }


def can_be_recomputed(tensor: str) -> bool:
    """Whether a module computes this buffer when it is built, so that a file need not hold it."""
    return f".{tensor}".endswith(tuple(_data()["recomputed"]))


def expand(pattern: str) -> list[str]:
    """All names that a pattern stands for: {0-2} counts, {a,b} chooses."""
    braces = _BRACES.search(pattern)
    if braces is None:
        return [pattern]
    numbers = _RANGE.match(braces[1])
    before, after = pattern[: braces.start()], pattern[braces.end() :]
    choices: Iterable[str] = braces[1].split(",")
    if numbers:
        choices = map(str, range(int(numbers[1]), int(numbers[2]) + 1))
    return [name for choice in choices for name in expand(before + choice + after)]


def compare(found: Mapping[str, Shape], wanted: Mapping[str, Shape], ignored: int = 0) -> Report:
    """What is missing or of another shape; `ignored` tensors were left out before and count as extra."""
    absent = [name for name in wanted if name not in found]
    missing = tuple(name for name in absent if not can_be_recomputed(name))
    wrong = tuple(
        (name, found[name], shape) for name, shape in wanted.items() if name in found and found[name] != shape
    )
    extra = sum(name not in wanted for name in found) + ignored
    return Report(len(wanted), len(wanted) - len(absent), missing, wrong, extra, len(absent) - len(missing))


def shortened(tensors: Iterable[str], most: int = 5) -> str:
    """A few names, and how many more: 'a, b and 12 more'."""
    listed = list(tensors)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


@cache
def _data() -> dict:  # type: ignore[type-arg]
    return json.loads(files("checkpoints").joinpath("shapes.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]
