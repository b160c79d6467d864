"""How published models write codes: penalties, filters, beams, and the pull towards a wanted length.

Single sequences are drawn by the sampler of kernels/; what beam search needs of it besides is here.

Shapes: R rows, V codes with start and stop.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ar_tts.kernels import reference
from ar_tts.kernels.arithmetic import WHOLE

POSITIONS = ("trained", "upstream")


@dataclass(frozen=True)
class CodeSampling:
    """How codes are drawn; the defaults are the published ones.

    beams: 1 draws one sequence; more is beam search, on drawn candidates where `sample` is True.
    repetition_penalty: what was written before is that many times less likely (logits, or log probabilities of beams).
    positions: of the codes. "trained" counts 0, 1, 2, 3, ...; "upstream" is what the published loop does with a cache:
        0, 2, 3, 4, ..., one off from training.
    penalise_prefix, allow_start: two more slips of the published loop. It counts code 1 and the start code as written
        before the first step, and it may draw the start code, which no decoder knows.
    """

    sample: bool = True
    temperature: float = 0.8
    top_k: int = 30
    top_p: float = 0.8
    repetition_penalty: float = 10.0
    beams: int = 3
    length_penalty: float = 0.0
    max_codes: int = 1500
    positions: str = "trained"
    penalise_prefix: bool = False
    allow_start: bool = False

    def __post_init__(self) -> None:
        for name, good, allowed in (
            ("temperature", self.temperature > 0, "above 0; sample=False takes the likeliest"),
            ("top_k", self.top_k >= 0, "0 for all, or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and up to 1"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0; 1 for none"),
            ("beams", self.beams >= 1, "1 or more"),
            ("max_codes", self.max_codes >= 1, "1 or more"),
            ("positions", self.positions in POSITIONS, f"one of {', '.join(POSITIONS)}"),
        ):
            if not good:
                raise ValueError(f"{name}={getattr(self, name)!r}: allowed is {allowed}")


PUBLISHED = CodeSampling()
"""The published settings, with the slips of the published loop put right."""


@dataclass(frozen=True)
class LengthTarget:
    """How many codes to write: `codes`, give or take `tolerance_codes`.

    Before that window the stop code is forbidden, at its end it is forced, and within it the logit of the stop code is
    moved by `pull` for each code of distance. Without tolerance exactly `codes` codes come out.
    """

    codes: int
    tolerance_codes: int = 0
    pull: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance_codes < self.codes:
            raise ValueError(f"codes={self.codes} with tolerance_codes={self.tolerance_codes}: give at least 1 code, "
                             "and a tolerance from 0 to below that")

    @property
    def last(self) -> int:
        """The largest number of codes."""
        return self.codes + self.tolerance_codes

    def bias(self, written: int) -> float:
        """What the logit of the stop code is moved by when `written` codes are there."""
        if written < self.codes - self.tolerance_codes:
            return float("-inf")
        return self.pull * (written - self.codes)


def processed(scores: Tensor, seen: Tensor, sampling: CodeSampling, min_keep: int = 1) -> Tensor:
    """Log probabilities (R, V), and which codes were written before (R, V) -> scores to draw from.

    Repetition penalty, temperature, top-k, top-p as in kernels/reference.py; what is filtered out is -inf. Of codes as
    likely as the k-th, some are kept.
    """
    scores = reference.penalised(scores, seen, sampling.repetition_penalty)
    if not sampling.sample:
        return scores
    scores = scores / sampling.temperature
    count = scores.shape[-1] if sampling.top_k == 0 else min(max(sampling.top_k, min_keep), scores.shape[-1])
    at = scores.topk(count).indices.sort(1).values  # a short list is quick to sort
    best = scores.gather(1, at)
    share = torch.full_like(at[:, 0], max(1, round(sampling.top_p * WHOLE)))
    keep = reference.kept(best, reference.odds_of(best, best.amax(1)), torch.zeros_like(share), share, min_keep)
    return torch.full_like(scores, float("-inf")).scatter_(1, at, best.masked_fill(~keep, float("-inf")))
