"""An engine that hums: pitch, range, length and level follow emotion and intensity as the data file says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emovoice.corpus.correlates import correlates
from emovoice.errors import LengthError
from emovoice.evaluation.bench import Bench
from emovoice.evaluation.material import Prompt

RATE = 24_000
TEXTS = (
    "The lawyer cleared his throat.",
    "We cannot afford another mistake like that one.",
    "Raise the sails, we have caught the wind!",
    "Some of us have to work for a living.",
)


@dataclass
class Hum:
    samples: np.ndarray
    rate: int = RATE


def hum(seconds: float, f0_st: float, range_st: float, level_db: float) -> np.ndarray:
    """A harmonic tone whose pitch swings by `range_st` around `f0_st` re 1 Hz, between two silences."""
    t = np.arange(round(seconds * RATE)) / RATE
    hz = 2 ** ((f0_st + range_st / 2 * np.sin(2 * np.pi * 1.5 * t)) / 12)
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 6))
    tone *= 10 ** (level_db / 20) / np.sqrt(np.mean(tone**2))
    edge = round(0.05 * len(t))
    tone[:edge] = tone[len(t) - edge :] = 0
    return tone.astype(np.float32)


class FakeEngine:
    """Speaks like `emovoice.Engine`. `wrong` names emotions that it moves the other way."""

    def __init__(self, off_s: float = 0.0, wrong: tuple[str, ...] = (), refuses: str = "never") -> None:
        self.off_s, self.wrong, self.refuses = off_s, wrong, refuses
        self.asked: list[dict[str, Any]] = []

    def synthesize(
        self,
        text: str,
        timbre: Any = None,
        *,
        emotion: str,
        intensity: float,
        duration_s: float | None = None,
        seed: int = 0,
    ) -> Hum:
        self.asked.append({"text": text, "timbre": timbre, "emotion": emotion, "intensity": intensity})
        if self.refuses in text:
            raise LengthError("this cannot be spoken", field="text", value=text)
        way = -1 if emotion in self.wrong else 1
        how = correlates(emotion, way * intensity)
        seconds = len(text) * 0.02 * how.duration if duration_s is None else duration_s + self.off_s
        base = 86.0 if timbre is None else 80.0 + len(str(timbre)) % 7
        return Hum(hum(seconds, base + how.f0_shift_st, 4 * how.f0_range, -26 + how.gain_db))


class Deaf:
    """A recogniser that is told what was said, and counts how often it is asked."""

    version = "told"

    def __init__(self, heard: dict[int, str]) -> None:
        self.heard, self.calls = heard, 0

    def hear(self, samples: np.ndarray, rate: int) -> str:
        self.calls += 1
        return self.heard[min(self.heard, key=lambda length: abs(length - len(samples)))]


class Ears:
    """The other judges, by simple arithmetic."""

    version = "ears"

    def embed(self, samples: np.ndarray, rate: int) -> np.ndarray:
        return np.array([1.0, 0.1 * float(np.sqrt(np.mean(samples**2)))])

    def score(self, samples: np.ndarray, rate: int) -> float:
        return 3.2

    def voiced_hz(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """Instantaneous frequency of the fundamental, by its zero crossings."""
        steps = np.flatnonzero((samples[:-1] < 0) & (samples[1:] >= 0))
        periods = np.diff(steps).astype(float)
        return rate / periods[(periods > rate / 800) & (periods < rate / 50)]


def make_bench(engine: FakeEngine, work: Path, prompts: list[Prompt], **more: Any) -> Bench:
    """A bench with stand-ins for all judges; the recogniser hears each text by its length."""
    bench = Bench(engine, work, prompts, lambda prompt: prompt.voice, **more)
    heard = {round(RATE * 0.02 * len(text)): text for text in TEXTS}
    bench.recogniser = Deaf(heard)  # type: ignore[assignment]
    bench.speaker = bench.pitch = bench.quality = Ears()  # type: ignore[assignment]
    return bench
