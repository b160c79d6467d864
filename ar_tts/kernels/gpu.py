"""The sampler in Triton: one program a row, one launch a step. See reference.py for what it does, point by point.

The row stays in registers. The k-th largest score and the edge of top-p are found by halving the range of keys, as in
cpu.py. Products and sums must not be fused, or scores would be rounded otherwise than elsewhere.
"""
from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from ar_tts.kernels.state import State

_SEED, _STREAM, _STEP, _TOP_K, _TOP_P, _STOP = (tl.constexpr(n) for n in range(6))
_EARLIEST, _TARGET, _LAST, _DONE, _TOKEN, _FLAW = (tl.constexpr(n) for n in range(6, 12))
_TEMPERATURE, _PENALTY, _PULL, _LOG_PROB = (tl.constexpr(n) for n in range(4))
_PER_NAT, _FARTHEST = tl.constexpr(24204406.0), tl.constexpr(520093696.0)
_KEY_OF_NOTHING = tl.constexpr(-0x7F800001)
_WHOLE = tl.constexpr(1 << 32)
COLUMNS, REALS = tl.constexpr(12), tl.constexpr(4)


def sample(logits: Tensor, state: State) -> None:
    """`reference.sample` on CUDA."""
    rows, size = logits.shape
    block = triton.next_power_of_2(size)
    sample_rows[(rows,)](logits, state.whole, state.real, state.counts, state.allowed, size, logits.stride(0), block,
                         num_warps=4 if block <= 2048 else 16, enable_fp_fusion=False)


@triton.jit
def sample_rows(logits, whole, real, counts, allowed, size, stride, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """logits (R, V) with rows `stride` apart, and the parts of the state; BLOCK is V or more."""
    r = tl.program_id(0).to(tl.int64)
    row, settings = whole + r * COLUMNS, real + r * REALS
    if tl.load(row + _DONE) == 0:
        ids = tl.arange(0, BLOCK)
        inside = ids < size
        step, stop = tl.load(row + _STEP), tl.load(row + _STOP)
        temperature, penalty = tl.load(settings + _TEMPERATURE), tl.load(settings + _PENALTY)
        greedy = temperature == 0
        counted = tl.load(counts + r * size + ids, mask=inside, other=0)
        permitted = (tl.load(allowed + r * size + ids, mask=inside, other=0) != 0) & inside

        # 1 to 3
        x = tl.load(logits + r * stride + ids, mask=inside, other=float("-inf")).to(tl.float32)
        pull = tl.load(settings + _PULL) * (step - tl.load(row + _TARGET)).to(tl.float32)
        pull = tl.where(step < tl.load(row + _EARLIEST), float("-inf"), pull)
        x = tl.where(ids == stop, x + pull, x)
        penalties = tl.full([BLOCK], 1.0, tl.float32) * penalty
        x = tl.where(counted > 0, tl.where(x < 0, x * penalty, tl.div_rn(x, penalties)), x)
        x = tl.div_rn(x, tl.full([BLOCK], 1.0, tl.float32) * tl.where(greedy, 1.0, temperature)) + 0.0
        x = tl.where(permitted, x, float("-inf"))
        fine = x < float("inf")
        bad = tl.max(tl.where(fine, 0, 1), 0)
        x = tl.where(fine, x, float("-inf"))
        bits = x.to(tl.int32, bitcast=True)
        keys = bits ^ ((bits >> 31) & 0x7FFFFFFF)
        best = tl.max(keys, 0)

        tl.store(row + _STEP, step + 1)
        if (bad != 0) | (best == _KEY_OF_NOTHING):
            tl.store(row + _FLAW, tl.where(bad != 0, 1, 2))
            tl.store(row + _TOKEN, tl.maximum(stop, 0))
            tl.store(row + _DONE, 1)
            tl.store(settings + _LOG_PROB, float("-inf"))
        else:
            # 5
            k = tl.load(row + _TOP_K)
            low = tl.full([], _KEY_OF_NOTHING, tl.int64)
            high = best.to(tl.int64)
            if greedy:
                low = high
            if (k == 0) | (k >= size):
                high = low
            while low < high:
                middle = (low + high + 1) >> 1
                count = tl.sum((keys >= middle.to(tl.int32)).to(tl.int32), 0)
                low = tl.where(count >= k, middle, low)
                high = tl.where(count > k, high, tl.where(count == k, middle, middle - 1))
            # 4
            octaves = tl.minimum((tl.max(x, 0) - x) * _PER_NAT, _FARTHEST).to(tl.int64)
            part = octaves & 0xFFFFFF
            y = 10288366 - ((1371275 - ((117911 * part) >> 24)) * part >> 24)
            y = 257939262 - ((59584159 - ((y * part) >> 24)) * part >> 24)
            y = 1073741824 - ((744261015 - ((y * part) >> 24)) * part >> 24)
            odds = tl.where(keys >= low.to(tl.int32), y >> (octaves >> 24), 0)
            total = tl.sum(odds, 0)
            # 6
            top_p = tl.load(row + _TOP_P)
            if top_p < _WHOLE:
                limit = ((top_p >> 16) * total + (((top_p & 0xFFFF) * total + 0xFFFF) >> 16) + 0xFFFF) >> 16
                high = best.to(tl.int64)
                while low < high:
                    middle = (low + high) >> 1
                    above = tl.sum(tl.where(keys > middle.to(tl.int32), odds, 0), 0)
                    high = tl.where(above < limit, middle, high)
                    low = tl.where(above < limit, low, middle + 1)
                edge = low.to(tl.int32)
                above = tl.sum(tl.where(keys > edge, odds, 0), 0)
                tied = tl.where(keys == edge, odds, 0)
                before = above + tl.cumsum(tied, 0) - tied
                odds = tl.where(keys > edge, odds, tl.where(before < limit, tied, 0))
                total = tl.sum(odds, 0)
            # 7
            stream, zero = tl.load(row + _STREAM).to(tl.uint32), tl.zeros([], tl.uint32)
            random, _b, _c, _d = tl.philox(tl.load(row + _SEED), step.to(tl.uint32), stream, zero, zero)
            u = random.to(tl.int64) & 0xFFFFFFFF
            at = ((u >> 16) * total + (((u & 0xFFFF) * total) >> 16)) >> 16
            at = tl.where(greedy, 0, at)
            drawn = tl.min(tl.where(tl.cumsum(odds, 0) > at, ids, BLOCK), 0)
            chance = tl.max(tl.where(ids == drawn, odds, 0), 0).to(tl.float32) / total.to(tl.float32)
            # 8
            tl.store(row + _TOKEN, drawn.to(tl.int64))
            tl.store(row + _FLAW, 0)
            tl.store(settings + _LOG_PROB, tl.where(greedy, 0.0, tl.log(chance)))
            tl.store(row + _DONE, ((drawn == stop) | (step + 1 == tl.load(row + _LAST))).to(tl.int64))
            place = counts + r * size + drawn
            tl.store(place, tl.load(place) + 1)
