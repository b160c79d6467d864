"""A corpus folder in memory, as the trainers need it: waves, and labels on the 25 Hz grid of codes."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from emovoice.corpus.build import read_manifest
from emovoice.corpus.plan import EMOTIONS
from emovoice.corpus.teacher import FRAME_SAMPLES, RATE_HZ
from emovoice.encoder.melody import CODE_SAMPLES, level_of, pitch_per_code
from emovoice.encoder.phones import classes_of_text
from emovoice.text import symbols

TEACHER_PITCH_HZ = 80
_WARPED = 0.03  # |log warp| beyond which a warped voice counts as another speaker


@dataclass
class Utterance:
    """One item. K codes of 40 ms; `samples` is (K * 960,) int16, or None for a score without sound."""

    id: str
    group: int
    voice: str
    emotion: str
    intensity: float
    warp: float
    text: np.ndarray  # (L,) symbol numbers with start and stop
    pointer: np.ndarray  # (K,) text position under the middle of each code
    pitch_hz: np.ndarray  # (K,)
    samples: np.ndarray | None
    level_db: np.ndarray  # (K,) zeros for a score
    f0_hz: np.ndarray  # what `pitch_hz` is the average of, 80 * warp values per second, 0 unvoiced

    @property
    def codes(self) -> int:
        """K."""
        return len(self.pointer)

    def f0_at(self, times_s: np.ndarray) -> np.ndarray:
        """Pitch at points in time, 0 where unvoiced; between two voiced values their mean by distance."""
        place = np.clip(times_s * TEACHER_PITCH_HZ * self.warp, 0, len(self.f0_hz) - 1)
        before = place.astype(int)
        a, b = self.f0_hz[before], self.f0_hz[np.minimum(before + 1, len(self.f0_hz) - 1)]
        part = place - before
        return np.where((a > 0) & (b > 0), (1 - part) * a + part * b, np.where(part < 0.5, a, b))

    @property
    def weights(self) -> np.ndarray:
        """(8,) intensity at the emotion's place."""
        out = np.zeros(len(EMOTIONS), np.float32)
        if self.emotion in EMOTIONS:
            out[EMOTIONS.index(self.emotion)] = self.intensity
        return out

    @property
    def speaker(self) -> str:
        """Voice and direction of its warp: what the reference encoder calls a speaker."""
        bend = np.log(self.warp)
        return self.voice + ("+" if bend > _WARPED else "-" if bend < -_WARPED else "")


def utterance(row: dict[str, Any], samples: np.ndarray | None) -> Utterance:
    """An item from its manifest row and int16 samples."""
    ends_s = np.cumsum(row["durations"]) * FRAME_SAMPLES / RATE_HZ / row["warp"]
    codes = int(ends_s[-1] * RATE_HZ) // CODE_SAMPLES
    if samples is not None:
        codes = min(codes, len(samples) // CODE_SAMPLES)
        samples = samples[: codes * CODE_SAMPLES]
    text = np.array([symbols.START, *symbols.encode(row["phonemes"]), symbols.STOP])
    middles_s = (np.arange(codes) + 0.5) * CODE_SAMPLES / RATE_HZ
    pointer = np.minimum(np.searchsorted(ends_s, middles_s, side="right"), len(text) - 1)
    f0_hz = np.array(row["f0_hz"], np.float32)
    pitch = pitch_per_code(f0_hz, TEACHER_PITCH_HZ * row["warp"], codes)
    level = np.zeros(codes, np.float32) if samples is None else level_of(samples / 32768.0)
    labels = {key: row[key] for key in ("id", "group", "voice", "emotion", "intensity", "warp")}
    return Utterance(**labels, text=text, pointer=pointer, pitch_hz=pitch, samples=samples, level_db=level,
                     f0_hz=f0_hz)


def load(folder: Path, limit: int | None = None) -> list[Utterance]:
    """Every audible item of a corpus folder (the first `limit`)."""
    out = []
    for row in read_manifest(folder / "manifest.jsonl")[:limit]:
        samples, rate = soundfile.read(folder / row["file"], dtype="int16")
        if rate != RATE_HZ:
            raise ValueError(f"{row['file']} is at {rate} Hz; a corpus is at {RATE_HZ} Hz")
        out.append(utterance(row, samples))
    return out


def load_scores(folder: Path) -> list[Utterance]:
    """Every silent item: durations and pitch only."""
    return [utterance(row, None) for row in read_manifest(folder / "scores.jsonl")]


def split(items: list[Utterance], share: float = 0.02) -> tuple[list[Utterance], list[Utterance]]:
    """Training and validation items, by group, so that a pair stays together."""
    every = round(1 / share)
    return [u for u in items if u.group % every], [u for u in items if u.group % every == 0]


def phone_classes(u: Utterance) -> np.ndarray:
    """(2K,) phone class per 20 ms; see emovoice.encoder.phones."""
    return np.repeat(classes_of_text(u.text)[u.pointer], 2)


def pad(arrays: list[np.ndarray], value: float = 0) -> np.ndarray:
    """Stack arrays of different length in their first axis."""
    longest = max(len(a) for a in arrays)
    others = [(0, 0)] * (arrays[0].ndim - 1)
    return np.stack([np.pad(a, [(0, longest - len(a)), *others], constant_values=value) for a in arrays])


def bucketed(items: list[Any], size_of: Any, budget: int, rng: np.random.Generator) -> Iterator[list[Any]]:
    """Endless batches of similar length: the largest times the count stays within `budget`."""
    while True:
        noisy = sorted(items, key=lambda u: size_of(u) * rng.uniform(0.9, 1.1))
        batches: list[list[Any]] = []
        batch: list[Any] = []
        for u in noisy:
            if batch and size_of(u) * (len(batch) + 1) > budget:
                batches.append(batch)
                batch = []
            batch.append(u)
        batches.append(batch)
        for i in rng.permutation(len(batches)):
            yield batches[i]
