"""The solver step in Triton: one launch a step. See reference.py for what it does."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from diffusion.kernels.reference import OTHERS

_BLOCK = 1024


def advance(x: Tensor, anchor: Tensor | None, previous: Tensor | None, xi: Tensor | None, outputs: Tensor,
            to_out: Sequence[float], to_d: Sequence[float] | None, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """`reference.advance` of float32 on CUDA."""
    x, outputs = x.contiguous(), outputs.contiguous()
    given = [None if part is None else part.contiguous() for part in (anchor, previous, xi)]
    out = torch.empty_like(x)
    d = torch.empty_like(x) if to_d is not None else None
    numbers = [*to_out, *(to_d or [0.0] * len(to_out))]
    kept = [part is not None and bool(c or e) for part, c, e in
            zip((x, *given), to_out[:OTHERS], numbers[len(to_out) : len(to_out) + OTHERS])]  # fmt: skip
    coefficients = torch.tensor(numbers, dtype=torch.float32).to(x.device, non_blocking=True)
    frames = x.shape[-1]
    known = x if mask is None else mask.expand(len(x), 1, frames).contiguous()
    advance_block[(triton.cdiv(x.numel(), _BLOCK),)](
        x, *(x if part is None else part for part in given), outputs, coefficients, known, out, out if d is None else d,
        x.numel(), x.numel() // len(x), frames, len(outputs), *kept, mask is not None, d is not None, _BLOCK,
        enable_fp_fusion=False)
    return out, d


@triton.jit
def _term(total, part, at, inside, coefficient):  # type: ignore[no-untyped-def]
    """total + c part, and total itself where c is 0: 0 times infinity is not 0."""
    c = tl.load(coefficient)
    value = tl.load(part + at, mask=inside, other=0.0)
    return tl.where(c != 0, total + c * value, total)


@triton.jit
def advance_block(x, anchor, previous, xi, outputs, coefficients, known, out, d, size, per_item, frames,  # type: ignore[no-untyped-def]
                  N: tl.constexpr, X: tl.constexpr, ANCHOR: tl.constexpr, PREVIOUS: tl.constexpr, NOISE: tl.constexpr,
                  MASKED: tl.constexpr, WANTED: tl.constexpr, BLOCK: tl.constexpr):
    """All parts contiguous, outputs (N, size), coefficients (2, 4 + N), known (B, frames)."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    for k in tl.static_range(2 if WANTED else 1):
        c = coefficients + k * (4 + N)
        total = tl.full([BLOCK], -0.0, tl.float32)  # nothing is added to what is added to it
        if X:
            total = _term(total, x, at, inside, c)
        if ANCHOR:
            total = _term(total, anchor, at, inside, c + 1)
        if PREVIOUS:
            total = _term(total, previous, at, inside, c + 2)
        if NOISE:
            total = _term(total, xi, at, inside, c + 3)
        for i in tl.static_range(N):
            total = _term(total, outputs + i * size, at, inside, c + 4 + i)
        if k == 0:
            if MASKED:
                keep = tl.load(known + at // per_item * frames + at % frames, mask=inside, other=0) != 0
                total = tl.where(keep, total, 0.0)
            tl.store(out + at, total, mask=inside)
        else:
            tl.store(d + at, total, mask=inside)
