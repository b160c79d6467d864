"""What the original says about each cue: its emotion, how strong, how fast, how loud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emovoice import waveform
from emovoice.audio import prepare
from emovoice.dubbing import PROGRAMME_RATE_HZ
from emovoice.dubbing.cues import Cue
from emovoice.dubbing.measure import weights_of
from emovoice.emotion import names
from emovoice.errors import AudioError

if TYPE_CHECKING:
    from emovoice.engine import Engine

WEAKEST = 0.1
"""Weights that add up to less are taken for neutral."""

MOST_GAIN_DB = 6.0


@dataclass(frozen=True)
class Heard:
    """What was measured in the original of one cue.

    Attributes:
        weights: eight weights; all zero for neutral.
        chars_per_s: how fast, in characters of the (translated) text; None without a text.
        level_db: RMS of its speech, dBFS.
        gain_db: louder or softer than the median cue, within 6 dB.
    """

    weights: tuple[float, ...]
    chars_per_s: float | None
    level_db: float
    gain_db: float = 0.0

    @property
    def intensity(self) -> float:
        """How much emotion in all, 0..1."""
        return min(1.0, sum(self.weights))

    def side(self) -> dict[str, Any]:
        """As fields of a side file, for people to edit."""
        if not any(self.weights):
            return {"emotion": "neutral"}
        strongest = max(self.weights)
        if strongest >= 0.8 * sum(self.weights):
            return {"emotion": names.EMOTIONS[self.weights.index(strongest)], "intensity": round(self.intensity, 2)}
        return {"emotion": ",".join(f"{weight:.2f}" for weight in self.weights)}


def hear(cues: Sequence[Cue], original: np.ndarray, engine: Engine) -> dict[str, Heard]:
    """What each cue's stretch of the original says, by the id of the cue; cues without usable speech are left out.

    Args:
        original: `(N,)` float32 mono at 48 kHz; may be a memory map.
    """
    space = engine.pipeline.bundle.space
    found: dict[str, Heard] = {}
    for cue in cues:
        low, high = (max(0, ms) * PROGRAMME_RATE_HZ // 1000 for ms in (cue.start_ms, cue.end_ms))
        try:
            piece = np.asarray(original[low:high], np.float32)
            reference = prepare(piece[:, None], PROGRAMME_RATE_HZ)
        except AudioError:
            continue
        _, emotion = engine.pipeline.embed(reference.samples)
        weights = weights_of(space.neutral, space.directions, emotion)
        spoken = waveform.speech_frames(reference.samples, waveform.SAMPLE_RATE_HZ)
        seconds = 0.02 * max(1, int(spoken.sum()))
        found[cue.id] = Heard(
            weights if sum(weights) >= WEAKEST else names.NEUTRAL,
            round(len(cue.text) / seconds, 2) if cue.text else None,
            round(_level_db(reference.samples, spoken), 2),
        )
    return _with_gains(found)


def _with_gains(found: Mapping[str, Heard]) -> dict[str, Heard]:
    """Gains relative to the median level."""
    if not found:
        return {}
    median = float(np.median([heard.level_db for heard in found.values()]))
    return {
        cue: Heard(heard.weights, heard.chars_per_s, heard.level_db,
                   round(min(MOST_GAIN_DB, max(-MOST_GAIN_DB, heard.level_db - median)), 2))
        for cue, heard in found.items()
    }  # fmt: skip


def _level_db(samples: np.ndarray, spoken: np.ndarray) -> float:
    step = round(0.02 * waveform.SAMPLE_RATE_HZ)
    mask = np.repeat(spoken, step)[: len(samples)]
    return 20 * float(np.log10(max(waveform.rms(samples[mask] if mask.any() else samples), 1e-6)))
