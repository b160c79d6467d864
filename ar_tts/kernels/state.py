"""What a sampler knows of each row and what it told last, all in tensors: nothing of it returns to Python by itself.

Shapes: R rows, V tokens.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ar_tts.kernels.arithmetic import LARGEST_VOCABULARY, WHOLE

SEED, STREAM, STEP, TOP_K, TOP_P, STOP, EARLIEST, TARGET, LAST, DONE, TOKEN, FLAW = range(12)
"""Columns of `State.whole`."""
TEMPERATURE, PENALTY, PULL, LOG_PROB = range(4)
"""Columns of `State.real`."""
FINE, NOT_A_NUMBER, NOTHING_ALLOWED = range(3)
"""What `State.flaw` says: NaN or +inf among the allowed scores; every score -inf."""

_LANES, _MANY = 64, 4096  # of tokens
PerRow = int | float | Sequence[int] | Sequence[float]


@dataclass
class State:
    """Settings and memory of R rows.

    whole: (R, 12) int64. SEED, STREAM and STEP are the counters of the draw, and STEP is how many tokens were drawn;
        requests draw the same in any batch as long as these follow them. TOP_K 0 and TOP_P 2^32 filter nothing. STOP is
        the token that ends a row (-1: none). Length control: STOP is forbidden before step EARLIEST, its score moves by
        PULL (STEP - TARGET), and the row ends with its LAST token (0: no limit). Results: TOKEN, DONE, FLAW.
    real: (R, 4) float32. TEMPERATURE 0 takes the likeliest. PENALTY is the repetition penalty, 1 for none. Result:
        LOG_PROB of the token among those it was drawn from.
    counts: (R, V) int32, how often each token was written.
    allowed: (R, V) bool.
    """

    whole: Tensor
    real: Tensor
    counts: Tensor
    allowed: Tensor
    _arrays: tuple[np.ndarray, ...] | None = field(default=None, repr=False)

    @classmethod
    def new(cls, vocabulary: int, seeds: Sequence[int], *, stream: PerRow = 0, temperature: PerRow = 1.0,
            top_k: PerRow = 0, top_p: PerRow = 1.0, penalty: PerRow = 1.0, stop: PerRow = -1, earliest: PerRow = 0,
            target: PerRow = 0, last: PerRow = 0, pull: PerRow = 0.0, allowed: Tensor | None = None,
            device: torch.device | str = "cpu") -> State:
        """One row a seed; every setting is one number for all rows or one a row. allowed (R, V) or (V,) bool.

        Raises ValueError for more than 65536 tokens.
        """
        if not 1 <= vocabulary <= LARGEST_VOCABULARY:
            raise ValueError(f"vocabulary={vocabulary}: allowed is 1 to {LARGEST_VOCABULARY}")
        rows = len(seeds)

        def each(value: PerRow) -> list[Any]:
            return list(value) if isinstance(value, Sequence) else [value] * rows

        shares = [min(WHOLE, max(1, round(p * WHOLE))) for p in each(top_p)]
        signed = [(seed + (1 << 63)) % (1 << 64) - (1 << 63) for seed in seeds]
        known = [signed, each(stream), [0] * rows, each(top_k), shares, each(stop), each(earliest), each(target),
                 each(last), [0] * rows, [0] * rows, [0] * rows]
        whole = torch.tensor(known, dtype=torch.int64).t().contiguous()
        real = torch.tensor([each(temperature), each(penalty), each(pull), [0.0] * rows]).t().contiguous()
        mask = torch.ones(rows, vocabulary, dtype=torch.bool) if allowed is None else allowed.expand(rows, vocabulary)
        return cls(whole.to(device), real.to(device), torch.zeros(rows, vocabulary, dtype=torch.int32, device=device),
                   mask.to(device).contiguous())

    @property
    def token(self) -> Tensor:
        """(R,) int64, what was drawn last."""
        return self.whole[:, TOKEN]

    @property
    def done(self) -> Tensor:
        """(R,) bool, which rows have ended; those are left as they are."""
        return self.whole[:, DONE] != 0

    @property
    def flaw(self) -> Tensor:
        """(R,) int64: FINE, or why a row could not be drawn from. Such a row is done, and its token is STOP."""
        return self.whole[:, FLAW]

    @property
    def log_prob(self) -> Tensor:
        """(R,) float32."""
        return self.real[:, LOG_PROB]

    def told(self) -> list[tuple[int, int]]:
        """Token and flaw of each row, on the host: the one thing that waits for a device."""
        return [(token, flaw) for token, flaw in self.whole[:, TOKEN:].tolist()]

    def select(self, rows: Sequence[int]) -> None:
        """Only these rows, in this order, from now on."""
        chosen = torch.tensor(rows, dtype=torch.int64, device=self.whole.device)
        self.whole, self.real, self.counts, self.allowed = (
            part[chosen] for part in (self.whole, self.real, self.counts, self.allowed))
        self._arrays = None

    def first(self, rows: int) -> State:
        """The first rows, in the same memory."""
        return State(self.whole[:rows], self.real[:rows], self.counts[:rows], self.allowed[:rows])

    def take(self, row: int, other: State) -> None:
        """Row `row` becomes the one row of another state."""
        for mine, theirs in ((self.whole, other.whole), (self.real, other.real), (self.counts, other.counts),
                             (self.allowed, other.allowed)):
            mine[row] = theirs[0]

    def arrays(self) -> tuple[np.ndarray, ...]:
        """The four parts as numpy arrays on the same memory, for a state on the CPU, and room to work in: scores, their
        bits, keys, the largest keys of lanes, numbers of lanes, and ids, keys and odds of a short list.

        Tokens lie in lanes side by side; the last of a lane may be missing, and its key is the lowest.
        """
        if self._arrays is None:
            size = self.counts.shape[1]
            width = min(size, _LANES if size < _MANY else 4 * _LANES)
            padded = -(-size // width) * width
            scores = np.empty(size, np.float32)
            integers = [np.full(n, np.iinfo(np.int32).min, np.int32) for n in (padded, width, width + 1)]
            short = [np.empty(padded + 1, kind) for kind in (np.int32, np.int32, np.int64)]
            self._arrays = (*(p.numpy() for p in (self.whole, self.real, self.counts, self.allowed)), scores,
                            scores.view(np.int32), *integers, *short)
        return self._arrays
