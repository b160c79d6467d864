"""What decoding loops have in common: the steps, the random choices of a request, and its place in the text."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ar_tts.kernels import State
from ar_tts.kernels.arithmetic import WHOLE, philox
from ar_tts.model import TextToCodes

_CODES, _PITCH, _LEVEL, _DURATIONS = range(4)  # streams of random numbers


@dataclass(frozen=True)
class Sampling:
    """How codes are drawn; temperature 0 takes the likeliest."""

    code_temperature: float = 0.0
    pitch_temperature: float = 0.3
    top_k: int = 20
    duration_spread: float = 0.12
    dwell_limit: int = 22


@dataclass(frozen=True)
class Step:
    """What one step wrote, and the text position it stood on."""

    code: int
    pitch: int
    level: int
    pointer: int


class Draws:
    """The random choices of one request: states of the sampler for codes and for tones, and durations."""

    def __init__(self, model: TextToCodes, seed: int, sampling: Sampling, device: torch.device) -> None:
        assert model.reader is not None
        self.seed, self.sampling = seed, sampling
        self.sizes = model.config.codes, model.reader.config.pitch_bins, model.reader.config.level_bins
        tones = max(self.sizes[1:])
        known = torch.arange(tones, device=device) < torch.tensor(self.sizes[1:], device=device)[:, None]
        self.codes = State.new(self.sizes[0], [seed], stream=_CODES, temperature=sampling.code_temperature,
                               top_k=sampling.top_k, device=device)
        self.tones = State.new(tones, [seed, seed], stream=[_PITCH, _LEVEL], temperature=sampling.pitch_temperature,
                               top_k=sampling.top_k, allowed=known, device=device)

    def thresholds(self, count: int) -> np.ndarray:
        """The first u of durations, see `Reading` -> (count,) float64."""
        bits = philox(self.seed, np.arange(1, count + 1), _DURATIONS)
        return 0.5 + self.sampling.duration_spread * (2 * bits / WHOLE - 1)


class Reading:
    """Where a request stands in a text of `symbols`.

    Durations are drawn by inverse transform: a symbol is left when the probability of still standing on it falls below
    u ~ U(1/2 - spread, 1/2 + spread), drawn once per symbol. spread = 0 is the median duration, 1/2 plain sampling.
    """

    def __init__(self, draws: Draws, symbols: int) -> None:
        self._symbols, self._dwell_limit = symbols, draws.sampling.dwell_limit
        self._thresholds = iter(draws.thresholds(symbols + 1).tolist())
        self.pointer = self.dwell = 0
        self._survival, self._threshold = 1.0, next(self._thresholds)

    def moved(self, moves: Sequence[float]) -> bool:
        """Take in the odds (4,) of moving on by 0, 1, 2 or 3 symbols -> whether there is still something to read."""
        self._survival *= moves[0]
        self.dwell += 1
        if self._survival < self._threshold or self.dwell > self._dwell_limit:
            self.pointer += 1 + max(range(len(moves) - 1), key=lambda move: moves[move + 1])
            self.dwell, self._survival, self._threshold = 0, 1.0, next(self._thresholds)
        return self.pointer < self._symbols


def broken() -> FloatingPointError:
    """What there is to say of NaN."""
    return FloatingPointError("the text-to-codes model computes NaN: broken weights, or a broken voice")
