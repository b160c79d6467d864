"""Emotions for the published models: a vector that is added to what tells the speaker.

Neutral is the emotion of the voice's own recording. An intensity lies on the way from there to a recording's emotion
(the published `emo_alpha`), or is the weight of prototypes nearest to the speaker. Shapes: C width of the text-to-codes
model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from emovoice.emotion.names import EMOTIONS
from emovoice.indextts.prototypes import PrototypeBanks, balanced


@dataclass(frozen=True, eq=False)
class Manner:
    """How a text is spoken.

    Attributes:
        vector: (1, C); of the whole text.
        of_line: gives the vector of a line by itself, and warnings; None where all lines have `vector`.
    """

    vector: Tensor
    of_line: Callable[[str], tuple[Tensor, tuple[str, ...]]] | None = None

    def of(self, line: str) -> tuple[Tensor, tuple[str, ...]]:
        """The vector (1, C) of a line, and warnings."""
        return (self.vector, ()) if self.of_line is None else self.of_line(line)


def calibrated(weights: Sequence[float]) -> tuple[float, ...]:
    """Eight weights that add up to at most 1 -> weights of prototypes, in proportion to the sum of those given.

    A sum of 1 gives what the published demo makes of such sliders at their ends, at most 0.8 together. The demo itself
    is not even: whatever is above 0.8 sounds the same there.
    """
    total = math.fsum(weights)
    if total <= 0:
        return (0.0,) * len(EMOTIONS)
    return tuple(total * weight for weight in balanced([weight / total for weight in weights]))


def weighted(
    banks: PrototypeBanks, style: Tensor, weights: Sequence[float], own: Tensor, seed: int | None = None
) -> Tensor:
    """Prototypes by weight, the rest the voice's own (1, C) -> (1, C); rows by likeness, or by chance of a seed."""
    return banks.blend(weights, banks.nearest(style) if seed is None else banks.drawn(seed), own)


def towards(own: Tensor, heard: Tensor, share: float) -> Tensor:
    """(1, C), `share` of the way from the voice's own emotion to that of a recording."""
    return own + share * (heard - own)
