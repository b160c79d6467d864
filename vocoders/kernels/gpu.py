"""The activation in Triton: one launch, nothing at the double rate is ever written. See reference.py for what it does.

A program makes a block of samples of one channel. Each of the 12 phases that a sample needs is made where it is used:
its inputs come from the cache next to it.
"""
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 512


def activation(x: Tensor, alpha: Tensor, beta: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """`reference.activation` on CUDA, in single precision whatever x is."""
    x = x.contiguous()
    y = torch.empty_like(x)
    rows, frames = x.numel() // x.shape[-1], x.shape[-1]
    activation_block[(triton.cdiv(frames, _BLOCK), rows)](
        x, alpha.float().exp(), 1 / (beta.float().exp() + 1e-9), 2 * up.float().flatten(), down.float().flatten(), y,
        x.shape[1], frames, _BLOCK)
    return y


@triton.jit
def _phase(x, at, frames, taps, ODD: tl.constexpr, a, over_b):  # type: ignore[no-untyped-def]
    """even[at] or odd[at], beyond their ends what stands there."""
    before, behind = at < 0, at >= frames
    total = tl.zeros_like(at).to(tl.float32)
    inside = tl.minimum(tl.maximum(at, 0), frames - 1)
    for i in tl.static_range(6):
        # before its ends odd is even[0], behind its ends even is odd[T - 1]
        even_tap, odd_tap = tl.load(taps + 2 * i + 1), tl.load(taps + 2 * i)
        if ODD:
            tap, ahead = tl.where(before, even_tap, odd_tap), tl.where(before, 2, 3)
        else:
            tap, ahead = tl.where(behind, odd_tap, even_tap), tl.where(behind, 3, 2)
        place = tl.minimum(tl.maximum(inside + ahead - i, 0), frames - 1)
        total += tap * tl.load(x + place).to(tl.float32)
    sine = tl.sin(a * total)
    return total + sine * sine * over_b


@triton.jit
def activation_block(x, a, over_b, up, down, y, channels, frames, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """x, y (B * C, T) contiguous; a, over_b (C,); up, down (12,)."""
    row = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel = row % channels
    own_a, own_over_b = tl.load(a + channel), tl.load(over_b + channel)
    total = tl.zeros([BLOCK], tl.float32)
    for i in tl.static_range(6):
        total += tl.load(down + 2 * i + 1) * _phase(x + row * frames, at + i - 2, frames, up, False, own_a, own_over_b)
        total += tl.load(down + 2 * i) * _phase(x + row * frames, at + i - 3, frames, up, True, own_a, own_over_b)
    tl.store(y + row * frames + at, total, mask=at < frames)
