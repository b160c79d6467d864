"""Other people's emotion words: EmoNet-Voice's 40, GoEmotions' 28, and valence-arousal-dominance.

All of it is read from data/taxonomy.json, which names its sources. Pure functions; the file is read once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from emovoice.errors import InputError

VAD_NAMES = ("valence", "arousal", "dominance")

_NEAREST = 0.35
"""Width of the bell around each emotion's place, in units of the VAD cube: neighbours are about twice that away."""
_STRONGEST = 0.9
"""Distance from neutral at which an emotion given by its place is at full intensity."""


class VAD(NamedTuple):
    """Valence (unpleasant to pleasant), arousal (calm to excited), dominance (weak to strong), each -1..1."""

    valence: float
    arousal: float
    dominance: float


class Entry(NamedTuple):
    """A word of some vocabulary: its shares over the eight (empty for neutral), its place, and other words for it."""

    name: str
    shares: Mapping[str, float]
    vad: VAD
    aliases: tuple[str, ...]


@lru_cache(maxsize=1)
def _data() -> dict[str, dict[str, dict[str, object]]]:
    text = (files("emovoice.emotion") / "data" / "taxonomy.json").read_text("utf-8")
    loaded: dict[str, dict[str, dict[str, object]]] = json.loads(text)
    return loaded


@lru_cache(maxsize=1)
def places() -> dict[str, VAD]:
    """Where each of the eight emotions lies."""
    return {name: _vad(row["vad"]) for name, row in _data()["emotions"].items()}


def emonet_voice() -> dict[str, Entry]:
    """The 40 categories of EmoNet-Voice by name."""
    return _vocabulary("emonet_voice")


def goemotions() -> dict[str, Entry]:
    """The 28 labels of GoEmotions by name, neutral included."""
    return _vocabulary("goemotions")


@lru_cache(maxsize=1)
def entries() -> dict[str, Entry]:
    """All words, lower-case, each part of "Pride/Joy" too; where two vocabularies share one, EmoNet-Voice's counts."""
    found: dict[str, Entry] = {}
    for entry in [*emonet_voice().values(), *goemotions().values()]:
        whole = entry.name.casefold()
        parts = whole.replace(" & ", "/").split("/")
        for key in (whole, *parts, *entry.aliases):
            found.setdefault(key, entry)
    return found


def shares_of(name: str) -> Mapping[str, float] | None:
    """Shares over the eight for any of the names, empty for neutral; None for an unknown word."""
    entry = entries().get(" ".join(name.split()).casefold())
    return None if entry is None else entry.shares


def nearest(shares: Mapping[str, float], vocabulary: Mapping[str, Entry], count: int = 3) -> list[tuple[str, float]]:
    """The `count` words of a vocabulary whose shares are most like these, with their cosine, best first."""
    scored = [(name, _cosine(shares, entry.shares)) for name, entry in vocabulary.items() if entry.shares]
    place = vad_of(shares)
    return sorted(scored, key=lambda row: (-round(row[1], 9), math.dist(place, vocabulary[row[0]].vad)))[:count]


def vad_of(weights: Mapping[str, float]) -> VAD:
    """The place of weighted emotions: the weighted sum of their places, neutral (0, 0, 0) for what is missing to 1."""
    known = places()
    return VAD(*(math.fsum(weight * known[name][axis] for name, weight in weights.items()) for axis in range(3)))


def from_vad(vad: Sequence[float]) -> tuple[dict[str, float], float]:
    """Shares over the eight, and an intensity 0..1, for a place.

    The share of an emotion at p_e falls with its distance from v as exp(-|v - p_e|^2 / 2 w^2); the intensity is |v| /
    0.9, at most 1. Neutral, (0, 0, 0), has intensity 0.

    Raises:
        InputError: not three finite numbers in -1..1.
    """
    place = checked(vad)
    known = places()
    squares = {name: math.dist(place, at) ** 2 for name, at in known.items()}
    least = min(squares.values())
    bells = {name: math.exp((least - square) / (2 * _NEAREST**2)) for name, square in squares.items()}
    total = math.fsum(bells.values())
    shares = {name: bell / total for name, bell in bells.items()}
    return shares, min(1.0, math.hypot(*place) / _STRONGEST)


def checked(vad: Sequence[float]) -> VAD:
    """Three numbers as a VAD. Raises InputError unless they are finite and in -1..1."""
    values = list(vad)
    fine = len(values) == 3 and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and -1 <= value <= 1
        for value in values
    )
    if not fine:
        raise InputError(
            "valence, arousal and dominance must be three numbers in -1..1",
            field="emotion",
            value=values,
            remedy="Give for example (-0.6, 0.7, 0.4).",
        )
    return VAD(*(float(value) for value in values))


@lru_cache(maxsize=2)
def _vocabulary(name: str) -> dict[str, Entry]:
    return {key: _entry(key, row) for key, row in _data()[name].items()}


def _entry(name: str, row: Mapping[str, object]) -> Entry:
    shares, aliases = row["shares"], row["aliases"]
    assert isinstance(shares, dict) and isinstance(aliases, list)
    return Entry(name, shares, _vad(row["vad"]), tuple(aliases))


def _vad(values: object) -> VAD:
    assert isinstance(values, list)
    return VAD(*values)


def _cosine(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    product = math.fsum(value * b.get(name, 0.0) for name, value in a.items())
    norms = math.hypot(*a.values()) * math.hypot(*b.values())
    return product / norms if norms else 0.0
