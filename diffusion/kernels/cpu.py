"""The solver step compiled by Numba: everything is read once. See reference.py for what it does."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from diffusion.kernels.reference import OTHERS

MOST_OUTPUTS = 3
_BLOCK = 2048  # stays in the first cache


def _compiled(function: Callable[..., Any]) -> Any:
    """With the result on disk where there is a place for it; an installation may be read-only."""
    try:
        return numba.njit(function, cache=True, nogil=True)
    except RuntimeError:
        return numba.njit(function, nogil=True)


def advance(x: Tensor, anchor: Tensor | None, previous: Tensor | None, xi: Tensor | None, outputs: Tensor,
            to_out: Sequence[float], to_d: Sequence[float] | None, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """`reference.advance` of float32 on the CPU, for up to three outputs of the network."""
    shape = (len(x), x.shape[1], x.shape[2]) if mask is not None else (1, 1, x.numel())
    coefficients = np.zeros((2, OTHERS + MOST_OUTPUTS), np.float32)
    given = (x, anchor, previous, xi, *outputs)
    for row, numbers in zip(coefficients, (to_out, to_d or ())):
        row[: len(numbers)] = [c if part is not None else 0.0 for part, c in zip(given, numbers)]
    parts = [(x if part is None else part).contiguous().view(shape).numpy() for part in given]
    parts += parts[:1] * (OTHERS + MOST_OUTPUTS - len(parts))
    out, d = torch.empty_like(x, memory_format=torch.contiguous_format), None
    if to_d is not None:
        d = torch.empty_like(out)
    known = np.ones((1, 1), bool) if mask is None else mask.expand(len(x), 1, x.shape[2])[:, 0].contiguous().numpy()
    _advance(*parts, coefficients, known, mask is not None, out.view(shape).numpy(),
             (out if d is None else d).view(shape).numpy(), d is not None)
    return out, d


@_compiled
def _sum(to: np.ndarray, c: np.ndarray, x: np.ndarray, anchor: np.ndarray, previous: np.ndarray, xi: np.ndarray,
         one: np.ndarray, two: np.ndarray, three: np.ndarray) -> None:
    a, b, e, f, g, h, k = c[0], c[1], c[2], c[3], c[4], c[5], c[6]  # outside of the loop, or they are read in it
    for i in range(len(to)):
        to[i] = a * x[i] + b * anchor[i] + e * previous[i] + f * xi[i] + g * one[i] + h * two[i] + k * three[i]


@_compiled
def _advance(x: np.ndarray, anchor: np.ndarray, previous: np.ndarray, xi: np.ndarray, one: np.ndarray, two: np.ndarray,
             three: np.ndarray, coefficients: np.ndarray, known: np.ndarray, masked: bool, out: np.ndarray,
             d: np.ndarray, wanted: bool) -> None:
    items, bands, frames = x.shape
    nothing = np.zeros(_BLOCK, np.float32)  # for what has a coefficient of 0: 0 times infinity is not 0
    for item in range(items):
        for band in range(bands):
            for start in range(0, frames, _BLOCK):
                s = slice(start, min(start + _BLOCK, frames))
                for k in range(2 if wanted else 1):
                    to = (d if k else out)[item, band, s]
                    c = coefficients[k]
                    _sum(to, c, x[item, band, s] if c[0] else nothing, anchor[item, band, s] if c[1] else nothing,
                         previous[item, band, s] if c[2] else nothing, xi[item, band, s] if c[3] else nothing,
                         one[item, band, s] if c[4] else nothing, two[item, band, s] if c[5] else nothing,
                         three[item, band, s] if c[6] else nothing)
                    if masked and k == 0:
                        for i in range(len(to)):
                            to[i] = to[i] if known[item, start + i] else np.float32(0)
