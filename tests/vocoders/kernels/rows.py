"""Waves for comparing implementations. `python -m tests.vocoders.kernels.rows` compares the Triton kernel, interpreted,
and prints the largest difference."""

from __future__ import annotations

import torch

from vocoders.bigvgan import lowpass
from vocoders.kernels import reference

SHAPES = ((1, 1, 1), (2, 3, 5), (1, 4, 1023), (1, 2, 1027), (2, 2, 2048))


def case(shape: tuple[int, int, int], seed: int = 0, loud: float = 3.0) -> tuple[torch.Tensor, ...]:
    """Arguments of `activation`; the first filter is not symmetric, so that no tap can stand for another."""
    random = torch.Generator().manual_seed(seed)
    x = loud * torch.randn(shape, generator=random)
    alpha, beta = torch.randn(2, shape[1], generator=random)
    up = lowpass() * (1 + 0.1 * torch.randn(12, generator=random))
    return x, alpha, beta, up, lowpass() * (1 + 0.1 * torch.randn(12, generator=random))


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """As a share of the largest."""
    return float((one - other).abs().max() / other.abs().max())


def main() -> None:
    from vocoders.kernels import gpu

    cases = [case(shape, seed) for seed, shape in enumerate(SHAPES)]
    print(max(difference(gpu.activation(*c), reference.activation(*c)) for c in cases))


if __name__ == "__main__":
    main()
