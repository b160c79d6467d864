"""The activation compiled by Numba: a block of samples goes through both filters while it is in the first cache, and
sin^2 is a polynomial that many samples take at once. See reference.py for what it does."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

_BLOCK = 1024
_LEFT, _RIGHT = 3, 3  # phases beyond a block that its outputs need
_EDGE = 3  # samples beyond a phase that it needs
# sin(r)^2 / r^2 on -pi/2..pi/2 as a polynomial of r^2, by least squares on Chebyshev's points; right to 1e-7
_C0, _C1, _C2, _C3, _C4, _C5, _C6 = (
    np.float32(c)
    for c in (0.999999998, -0.333333312, 0.0444443688, -3.17447767e-3, 1.40981732e-4, -4.22055549e-6, 7.97463996e-8))
_PER_HALF_TURN = np.float32(1 / math.pi)
_PI_HIGH = np.float32(3.140625)  # of few bits: its multiples are exact
_PI_MIDDLE = np.float32(math.pi - 3.140625)
_PI_LOW = np.float32(math.pi - 3.140625 - float(np.float32(math.pi - 3.140625)))
_HALF = np.float32(0.5)


def _compiled(function: Callable[..., Any]) -> Any:
    """With the result on disk where there is a place for it; an installation may be read-only."""
    try:
        return numba.njit(function, cache=True, nogil=True)
    except RuntimeError:
        return numba.njit(function, nogil=True)


def activation(x: Tensor, alpha: Tensor, beta: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """`reference.activation` of float32 on the CPU, equal to it within 1e-5 of the largest sample."""
    x = x.contiguous()
    y = torch.empty_like(x)
    a, over_b = alpha.detach().exp(), 1 / (beta.detach().exp() + 1e-9)
    _activation(x.detach().view(-1, x.shape[-1]).numpy(), a.numpy(), over_b.numpy(), (2 * up).flatten().numpy(),
                down.flatten().numpy(), y.view(-1, x.shape[-1]).numpy())
    return y


@_compiled
def _snake(values: np.ndarray, a: float, over_b: float) -> None:
    for i in range(len(values)):
        z = a * values[i]
        turns = np.floor(z * _PER_HALF_TURN + _HALF)
        r = ((z - turns * _PI_HIGH) - turns * _PI_MIDDLE) - turns * _PI_LOW
        s = r * r
        square = s * (_C0 + s * (_C1 + s * (_C2 + s * (_C3 + s * (_C4 + s * (_C5 + s * _C6))))))
        values[i] += square * over_b


@_compiled
def _activation(x: np.ndarray, a: np.ndarray, over_b: np.ndarray, up: np.ndarray, down: np.ndarray,
                y: np.ndarray) -> None:
    rows, frames = x.shape
    near = np.empty(_BLOCK + _LEFT + _RIGHT + 2 * _EDGE, np.float32)
    even, odd = np.empty(_BLOCK + _LEFT + _RIGHT, np.float32), np.empty(_BLOCK + _LEFT + _RIGHT, np.float32)
    for row in range(rows):
        channel = row % len(a)
        for start in range(0, frames, _BLOCK):
            count = min(_BLOCK, frames - start)
            phases = count + _LEFT + _RIGHT
            first = start - _LEFT - _EDGE  # of `near` in x
            for j in range(phases + 2 * _EDGE):
                near[j] = x[row, min(max(first + j, 0), frames - 1)]
            for j in range(phases):
                e, o = np.float32(0), np.float32(0)
                for i in range(6):
                    e += up[2 * i + 1] * near[j + _EDGE + 2 - i]
                    o += up[2 * i] * near[j + _EDGE + 3 - i]
                even[j], odd[j] = e, o
            _snake(even[:phases], a[channel], over_b[channel])
            _snake(odd[:phases], a[channel], over_b[channel])
            for j in range(_LEFT - start):  # before the first sample
                even[j] = odd[j] = even[_LEFT - start]
            for j in range(frames - start + _LEFT, phases):  # after the last
                even[j] = odd[j] = odd[frames - start + _LEFT - 1]
            for t in range(count):
                total = np.float32(0)
                for i in range(6):
                    total += down[2 * i + 1] * even[t + _LEFT + i - 2]
                    total += down[2 * i] * odd[t + _LEFT + i - 3]
                y[row, start + t] = total
