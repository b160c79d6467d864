"""A step of any of the solvers in plain torch: what cpu.py and gpu.py compute in one pass over memory, to the bit.

    out = mask * (a_0 x + a_1 Xbar + a_2 d' + a_3 xi + sum_i a_(4+i) n_i)
    d   =         b_0 x + b_1 Xbar                   + sum_i b_(4+i) n_i

n_i are the outputs of the network under different conditions, d is what it estimates after guidance, d' the d of the
step before, xi unit noise. The sums are taken in this order in single precision, every product and sum rounded by
itself; terms with a coefficient of 0 are left out. The coefficients come in double precision: see solvers.py.

Shapes: x, Xbar, d, xi of one shape, such as (B, M, T); n (N, B, M, T).
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

OTHERS = 4
"""Coefficients before those of the network's outputs."""


def advance(x: Tensor, anchor: Tensor | None, previous: Tensor | None, xi: Tensor | None, outputs: Tensor,
            to_out: Sequence[float], to_d: Sequence[float] | None, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """One step -> out, and d where `to_d` asks for it. mask (B, 1, T), or (1, 1, T), bool."""
    inputs = (x, anchor, previous, xi, *outputs)
    out = _sum(inputs, to_out)
    return (out if mask is None else torch.where(mask, out, 0.0)), None if to_d is None else _sum(inputs, to_d)


def _sum(inputs: Sequence[Tensor | None], coefficients: Sequence[float]) -> Tensor:
    terms = [c * part for part, c in zip(inputs, coefficients, strict=True) if part is not None and c != 0]
    if not terms:
        assert inputs[0] is not None
        return torch.zeros_like(inputs[0])
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
