"""Rows of scores and settings of every kind, for comparing samplers. `python rows.py` compares the Triton kernel,
interpreted, and prints how many rows it compared."""

from __future__ import annotations

import torch
from torch import Tensor

from ar_tts.kernels import State, reference

KINDS = 7


def logits(kind: int, rows: int, size: int, seed: int) -> Tensor:
    """Ordinary; many ties; all equal; far apart; much of it forbidden; at the ends of single precision; in half."""
    random = torch.Generator().manual_seed(seed)
    plain = 3 * torch.randn(rows, size, generator=random)
    if kind == 1:
        return plain.round()
    if kind == 2:
        return torch.full_like(plain, -0.0 if seed % 2 else 1.7)
    if kind == 3:
        return plain * 1e3
    if kind == 4:
        return plain.masked_fill(torch.rand(rows, size, generator=random) < 0.7, float("-inf"))
    if kind == 5:
        return plain.sign() * 3e38 * torch.rand(rows, size, generator=random)
    if kind == 6:
        return plain.bfloat16()
    return plain


def state(rows: int, size: int, seed: int) -> State:
    """Settings of every kind, some of them at their ends, and a history."""
    random = torch.Generator().manual_seed(seed)

    def some(low: int, high: int, scale: float = 1) -> list[float]:
        return [scale * n for n in torch.randint(low, high, (rows,), generator=random).tolist()]

    made = State.new(
        size, some(-(2**62), 2**62), stream=some(0, 4), temperature=some(0, 6, 0.3), top_k=some(0, size + 2),
        top_p=some(1, 11, 0.1), penalty=some(2, 6, 0.5), stop=some(-1, size), earliest=some(0, 3), target=some(0, 9),
        last=some(0, 9), pull=some(0, 4, 0.3), allowed=torch.rand(rows, size, generator=random) < 0.8,
    )  # fmt: skip
    made.counts = torch.randint(0, 3, (rows, size), generator=random, dtype=torch.int32)
    made.whole[:, 2] = torch.randint(0, 5, (rows,), generator=random)
    return made


def equal(one: State, other: State) -> bool:
    """The same tokens, ends, flaws and history; log-probabilities to rounding."""
    return (torch.equal(one.whole, other.whole) and torch.equal(one.counts, other.counts)
            and torch.allclose(one.real, other.real, atol=1e-6))  # fmt: skip


def main() -> None:
    from ar_tts.kernels import gpu

    compared = 0
    for case in range(2 * KINDS):
        scores, mine, theirs = logits(case % KINDS, 4, (9, 70)[case // KINDS], case), *(
            state(4, (9, 70)[case // KINDS], case) for _ in range(2))  # fmt: skip
        for _ in range(2):
            reference.sample(scores, mine)
            gpu.sample(scores, theirs)
            assert equal(mine, theirs), (case, mine, theirs)
            compared += len(scores)
    print(compared)


if __name__ == "__main__":
    main()
