"""Steps of every kind, for comparing implementations. `python -m tests.diffusion.kernels.steps` compares the Triton
kernel, interpreted, and prints how many steps it compared."""

from __future__ import annotations

from typing import Any

import torch

from diffusion.kernels import reference

CASES = 24


def case(number: int, shape: tuple[int, int, int] = (3, 5, 700)) -> tuple[Any, ...]:
    """Arguments of `advance`, a different part of them missing or unused from case to case."""
    random = torch.Generator().manual_seed(number)

    def part(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    outputs = part(1 + number % 3, *shape)
    x, anchor, previous, xi = part(*shape), *(part(*shape) if number & bit else None for bit in (1, 2, 4))
    to_out = (2 * part(4 + len(outputs))).tolist()
    if number % 5 == 0:
        to_out[0] = to_out[4] = 0.0
        outputs[0] = float("inf")  # times 0 is nothing
    to_d = [*part(2).tolist(), 0.0, 0.0, *part(len(outputs)).tolist()] if number % 4 == 1 else None
    if number % 5 == 0 and to_d:
        to_d[4] = 0.0
    mask = torch.rand(shape[0] if number % 2 else 1, 1, shape[2], generator=random) < 0.7 if number & 8 else None
    return x, anchor, previous, xi, outputs, to_out, to_d, mask


def equal(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """To the last bit."""
    return torch.equal(one[0], other[0]) and (one[1] is None) == (other[1] is None) and (
        one[1] is None or torch.equal(one[1], other[1]))  # fmt: skip


def main() -> None:
    from diffusion.kernels import gpu

    for number in range(CASES):
        arguments = case(number)
        assert equal(reference.advance(*arguments), gpu.advance(*arguments)), number
    print(CASES)


if __name__ == "__main__":
    main()
