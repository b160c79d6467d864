"""Eight numbers to an emotion vector, by prototypes: 73 recordings' speaker and emotion vectors, a bank an emotion.

Of each bank the row whose speaker is nearest to the prompt's is taken, so that as little as possible of a foreign
voice comes along. Published as `feat1.pt` (speakers) and `feat2.pt` (emotions).
Shapes: N rows (73), S speaker width (192), C emotion width (1280).
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from emovoice.emotion.names import EMOTIONS
from emovoice.errors import InputError, ModelError

BANK_SIZES = (3, 17, 2, 8, 4, 5, 10, 24)
"""Rows of each emotion, in the order of `EMOTIONS`."""

BIAS = (0.9375, 0.875, 1.0, 1.0, 0.9375, 0.9375, 0.6875, 0.5625)
LARGEST_SUM = 0.8
_DIGITS = 10_000


def scaled(weights: Sequence[float], alpha: float) -> tuple[float, ...]:
    """Weights times alpha, which is brought into 0..1; cut off (not rounded) after four decimals as published.

    An alpha of 1 or more leaves them as they are.
    """
    factor = min(max(float(alpha), 0.0), 1.0)
    given = _eight(weights)
    return given if factor == 1.0 else tuple(math.trunc(weight * factor * _DIGITS) / _DIGITS for weight in given)


def balanced(weights: Sequence[float]) -> tuple[float, ...]:
    """Weights as the published demo corrects those of its sliders: strong emotions damped, together at most 0.8."""
    damped = tuple(weight * bias for weight, bias in zip(_eight(weights), BIAS, strict=True))
    total = math.fsum(damped)
    return damped if total <= LARGEST_SUM else tuple(weight * LARGEST_SUM / total for weight in damped)


@dataclass(frozen=True, eq=False)
class PrototypeBanks:
    """Speakers (N, S) and emotions (N, C), row by row of the same recordings, bank after bank."""

    speakers: Tensor
    emotions: Tensor
    sizes: tuple[int, ...] = BANK_SIZES

    def __post_init__(self) -> None:
        rows = sum(self.sizes)
        if len(self.sizes) != len(EMOTIONS) or min(self.sizes) < 1:
            raise ModelError(f"{len(EMOTIONS)} banks of at least one row are needed", field="emo_num", value=self.sizes)
        for name, bank in (("speakers", self.speakers), ("emotions", self.emotions)):
            if bank.ndim != 2 or len(bank) != rows:
                raise ModelError(f"a bank of {rows} rows is needed", field=name, value=tuple(bank.shape),
                                 remedy="Take feat1.pt, feat2.pt and emo_num of the same release")

    def nearest(self, style: Tensor) -> tuple[int, ...]:
        """The row of each bank whose speaker is most like `style` (S,) or (1, S), by cosine."""
        alike = F.cosine_similarity(style.reshape(1, -1).to(self.speakers), self.speakers)
        banks = zip(self._starts, alike.split(self.sizes), strict=True)
        return tuple(start + int(bank.argmax()) for start, bank in banks)

    def drawn(self, seed: int) -> tuple[int, ...]:
        """A row of each bank by chance: more variety, less likeness."""
        generator = np.random.default_rng(seed)
        return tuple(start + int(generator.integers(size)) for start, size in zip(self._starts, self.sizes))

    def blend(self, weights: Sequence[float], rows: Sequence[int], own: Tensor) -> Tensor:
        """Weighted sum of the rows' emotions, the rest up to 1 from the prompt's `own` vector (B, C) -> (B, C).

        Weights that add up to more than 1 take away from the prompt's own, as published.
        """
        given = torch.tensor(_eight(weights)).to(own)
        chosen = self.emotions[list(rows)].to(own)
        return given @ chosen + (1 - given.sum()) * own

    @property
    def _starts(self) -> tuple[int, ...]:
        return tuple(accumulate(self.sizes[:-1], initial=0))


def emotion_vector(banks: PrototypeBanks, style: Tensor, weights: Sequence[float], own: Tensor,
                   seed: int | None = None) -> Tensor:
    """Eight weights -> emotion vector (B, C), for a speaker `style` (1, S) whose own emotion vector is `own` (B, C).

    Rows by likeness, or by chance where a seed is given. Raises InputError for other than eight finite numbers.
    """
    return banks.blend(weights, banks.nearest(style) if seed is None else banks.drawn(seed), own)


def _eight(weights: Sequence[float]) -> tuple[float, ...]:
    try:
        found = tuple(float(weight) for weight in weights)
    except (TypeError, ValueError):
        found = ()
    if len(found) != len(EMOTIONS) or not all(math.isfinite(weight) for weight in found):
        raise InputError(f"eight finite numbers are needed, in the order {', '.join(EMOTIONS)}", field="emotion",
                         value=weights, remedy="Give one number each, 0 for none")
    return found
