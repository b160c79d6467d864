"""Whole-number arithmetic of the sampler: odds, shares and the generator, the same to the last bit everywhere.

Python's integers, torch tensors of int64 and Numba go through these very lines; the Triton kernel repeats them. Sums of
whole numbers do not depend on their order, and no exp or log of some library decides about a token.

An odd is a probability as a share of the likeliest one's, in units of 2^-30: 2^30 for the likeliest, 0 below 2^-30 of
it. Shares (top-p, the drawn number) are in units of 2^-32.
"""
from __future__ import annotations

from typing import Any

ONE = 1 << 30
"""The odds of the likeliest token."""
WHOLE = 1 << 32
"""The share that is everything."""
PER_NAT = 24204406.0
"""log2(e) in units of 2^-24, rounded to single precision: scores are differences in nats."""
FARTHEST = 520093696.0
"""31 octaves in units of 2^-24: odds of 0."""
LARGEST_VOCABULARY = 1 << 16
"""Up to here sums of odds, times 2^16, fit 64 bits."""

_MASK = 0xFFFFFFFF


def odds(octaves: Any) -> Any:
    """2^30 * 2^-x, rounded down, of x = 0..31 in units of 2^-24; within 5 units, never rising, exact at x = 0."""
    x = octaves & 0xFFFFFF
    y = 10288366 - ((1371275 - ((117911 * x) >> 24)) * x >> 24)  # least squares of degree 6 on 0..1
    y = 257939262 - ((59584159 - ((y * x) >> 24)) * x >> 24)
    y = 1073741824 - ((744261015 - ((y * x) >> 24)) * x >> 24)
    return y >> (octaves >> 24)


def share(part: Any, total: Any) -> Any:
    """floor(part * total / 2^32), of part 0..2^32 and total 0..2^46, without leaving 64 bits."""
    return ((part >> 16) * total + (((part & 0xFFFF) * total) >> 16)) >> 16


def share_up(part: Any, total: Any) -> Any:
    """ceil(part * total / 2^32), likewise."""
    return ((part >> 16) * total + (((part & 0xFFFF) * total + 0xFFFF) >> 16) + 0xFFFF) >> 16


def philox(seed: Any, step: Any, stream: Any) -> Any:
    """32 random bits 0..2^32 - 1, the same for the same three numbers: the first word of Philox4x32-10 (Salmon et al.,
    SC 2011) with key `seed` and counter (step, stream, 0, 0). `step` and `stream` below 2^32."""
    a, b, c, d = step & _MASK, stream & _MASK, (step & _MASK) * 0, (step & _MASK) * 0
    key_a, key_b = seed & _MASK, (seed >> 32) & _MASK
    for _ in range(10):  # products of 32 bits by halves, or they would not fit; no helpers, Numba compiles these lines
        a_high = (0xD251 * a + ((0x1F53 * a) >> 16)) >> 16
        a_low = ((((0xD251 * a) & 0xFFFF) << 16) + 0x1F53 * a) & _MASK
        c_high = (0xCD9E * c + ((0x8D57 * c) >> 16)) >> 16
        c_low = ((((0xCD9E * c) & 0xFFFF) << 16) + 0x8D57 * c) & _MASK
        a, b, c, d = c_high ^ b ^ key_a, c_low, a_high ^ d ^ key_b, a_low
        key_a, key_b = (key_a + 0x9E3779B9) & _MASK, (key_b + 0xBB67AE85) & _MASK
    return a
