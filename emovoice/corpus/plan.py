"""What to render: an endless, seeded plan of items, so that a corpus of any size is a prefix of a larger one."""
from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from emovoice.corpus.texts import Line

EMOTIONS = ("happy", "angry", "sad", "afraid", "disgusted", "melancholic", "surprised", "calm")
ENGLISH = (
    "af_alloy af_aoede af_bella af_heart af_jessica af_kore af_nova af_river af_sarah af_sky "
    "am_adam am_echo am_eric am_fenrir am_liam am_michael am_onyx am_puck am_santa "
    "bf_alice bf_emma bf_isabella bf_lily bm_daniel bm_fable bm_george bm_lewis"
).split()  # af_nicole only whispers: left out
FOREIGN = ("jm_kumo", "pm_alex", "em_alex", "ff_siwis")  # speak English as well as the English mean
FOREIGN_SHARE = 0.08
WARP_SHARE = 0.35
WARP_LIMIT = 1.16
PAIR_SHARE = 0.4
NEUTRAL_SHARE = 0.2
FULL_SHARE = 0.2  # of emotional items at intensity exactly 1


@dataclass(frozen=True)
class Item:
    """One utterance to render. Items of one `group` share text, voice and warp."""

    id: str
    group: int
    text: str
    kind: str
    voice: str
    emotion: str
    intensity: float
    warp: float


def held_out() -> dict[str, list]:
    """Texts, voices and the interval of intensities that no model is trained on."""
    return json.loads(files("emovoice.corpus").joinpath("data/held_out.json").read_text(encoding="utf-8"))


def training_voices() -> list[str]:
    """The English voices that may be trained on."""
    kept_out = set(held_out()["voices"])
    return [voice for voice in ENGLISH if voice not in kept_out]


def plan(lines: list[Line], seed: int) -> Iterator[Item]:
    """Items in rendering order. Every item depends on `seed` and its own group number only."""
    order = np.random.default_rng(seed).permutation(len(lines))
    voices, gap = training_voices(), held_out()["intensity"]
    group = 0
    while True:
        rng = np.random.default_rng((seed, group))
        line = lines[order[group % len(lines)]]
        foreign = rng.random() < FOREIGN_SHARE
        voice = str(rng.choice(FOREIGN if foreign else voices))
        warped = rng.random() < WARP_SHARE
        warp = round(float(WARP_LIMIT ** rng.uniform(-1, 1)), 3) if warped else 1.0
        for letter, (emotion, intensity) in zip("abc", _renderings(rng, gap), strict=False):
            yield Item(f"{group:06d}{letter}", group, line.text, line.kind, voice, emotion, intensity, warp)
        group += 1


def _renderings(rng: np.random.Generator, gap: list[float]) -> list[tuple[str, float]]:
    """Neutral alone, an emotion alone, or a pair of both."""
    emotional = (str(rng.choice(EMOTIONS)), _intensity(rng, gap))
    kind = rng.random()
    if kind < NEUTRAL_SHARE:
        return [("neutral", 0.0)]
    if kind < NEUTRAL_SHARE + PAIR_SHARE:
        return [("neutral", 0.0), emotional]
    return [emotional]


def _intensity(rng: np.random.Generator, gap: list[float]) -> float:
    if rng.random() < FULL_SHARE:
        return 1.0
    low, high = gap
    value = rng.uniform(0.05, 1.0 - (high - low))
    return round(float(value if value < low else value + (high - low)), 3)
