"""The sampler compiled by Numba: no sort, and few passes over a row. See reference.py for what it does, point by point.

Scores become whole numbers of the same order; the k-th largest is found by halving the range of these keys and
counting, which the compiler does for many tokens at once. What is left then is short.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from torch import Tensor

from ar_tts.kernels import arithmetic
from ar_tts.kernels.state import (
    DONE,
    EARLIEST,
    FINE,
    FLAW,
    LAST,
    LOG_PROB,
    NOT_A_NUMBER,
    NOTHING_ALLOWED,
    PENALTY,
    PULL,
    SEED,
    STEP,
    STOP,
    STREAM,
    TARGET,
    TEMPERATURE,
    TOKEN,
    TOP_K,
    TOP_P,
    State,
)

_ONE, _ZERO, _INFINITY = np.float32(1), np.float32(0), np.float32("inf")
_PER_NAT, _FARTHEST = np.float32(arithmetic.PER_NAT), np.float32(arithmetic.FARTHEST)
_KEY_OF_INFINITY = 0x7F800000
_KEY_OF_NOTHING = -0x7F800001  # of -inf
_WHOLE = arithmetic.WHOLE


def _compiled(function: Callable[..., Any]) -> Any:
    """With the result on disk where there is a place for it; an installation may be read-only."""
    try:
        return numba.njit(function, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:
        return numba.njit(function, nogil=True, error_model="numpy")


_share, _share_up = _compiled(arithmetic.share), _compiled(arithmetic.share_up)
_odds, _philox = _compiled(arithmetic.odds), _compiled(arithmetic.philox)


def sample(logits: Tensor, state: State) -> None:
    """`reference.sample` on the CPU."""
    _sample(logits.detach().float().contiguous().numpy(), *state.arrays())


@_compiled
def _score(x: float, counted: int, allowed: bool, penalty: float, temperature: float) -> float:  # points 2 and 3
    punished = x * penalty if x < _ZERO else x / penalty
    x = (punished if counted > 0 else x) / temperature + _ZERO
    return x if allowed else -_INFINITY


@_compiled
def _kth(keys: np.ndarray, k: int, low: int, high: int) -> int:
    """A key that the k largest are not below, and no others."""
    while low < high:
        middle = (low + high + 1) >> 1
        bound, count = np.int32(middle), 0
        for i in range(len(keys)):
            count += keys[i] >= bound
        if count == k:
            return middle
        if count > k:
            low = middle
        else:
            high = middle - 1
    return low


@_compiled
def _filter_by_odds(keys: np.ndarray, ids: np.ndarray, odds: np.ndarray, top_p: int, low: int, high: int) -> int:
    """Point 6 on the tokens `ids`, whose odds it sets to 0 where they are dropped -> sum of the others."""
    total = 0
    for j in range(len(ids)):
        total += odds[j]
    if top_p >= _WHOLE:
        return total
    limit = _share_up(top_p, total)
    while low < high:  # the smallest key above which there is less than the limit
        middle = (low + high) >> 1
        above = 0
        for j in range(len(ids)):
            above += odds[j] if keys[ids[j]] > middle else 0
        if above < limit:
            high = middle
        else:
            low = middle + 1
    above = 0
    for j in range(len(ids)):
        above += odds[j] if keys[ids[j]] > low else 0
    for j in range(len(ids)):
        key = keys[ids[j]]
        if key < low or (key == low and above >= limit):
            odds[j] = 0
        elif key == low:
            above += odds[j]
    return above


@_compiled
def _sample(logits: np.ndarray, whole: np.ndarray, real: np.ndarray, counts: np.ndarray, allowed: np.ndarray,
            scores: np.ndarray, bits: np.ndarray, keys: np.ndarray, ids: np.ndarray, odds: np.ndarray) -> None:
    size = logits.shape[1]
    for r in range(logits.shape[0]):
        row, settings = whole[r], real[r]
        if row[DONE] != 0:
            continue
        x, counted, permitted = logits[r], counts[r], allowed[r]
        step, stop, penalty = row[STEP], row[STOP], settings[PENALTY]
        greedy = settings[TEMPERATURE] == _ZERO
        temperature = _ONE if greedy else settings[TEMPERATURE]
        for i in range(size):
            scores[i] = _score(x[i], counted[i], permitted[i], penalty, temperature)
        if 0 <= stop < size:
            pull = settings[PULL] * np.float32(step - row[TARGET]) if step >= row[EARLIEST] else -_INFINITY
            scores[stop] = _score(x[stop] + pull, counted[stop], permitted[stop], penalty, temperature)
        for i in range(size):
            key = bits[i] ^ ((bits[i] >> 31) & 0x7FFFFFFF)
            keys[i] = key if scores[i] < _INFINITY else 0x7FFFFFFF  # NaN as well
        best = keys[0]
        for i in range(size):
            best = max(best, keys[i])
        row[STEP] = step + 1
        if best >= _KEY_OF_INFINITY or best == _KEY_OF_NOTHING:
            row[FLAW] = NOT_A_NUMBER if best >= _KEY_OF_INFINITY else NOTHING_ALLOWED
            row[TOKEN], row[DONE], settings[LOG_PROB] = max(stop, 0), 1, -_INFINITY
            continue
        first = 0
        while keys[first] != best:
            first += 1
        token, log_prob = first, _ZERO
        if not greedy:
            lowest = np.int64(_KEY_OF_NOTHING)
            if 0 < row[TOP_K] < size:
                lowest = _kth(keys, row[TOP_K], lowest, np.int64(best))
            bound, count = np.int32(lowest), 0
            for i in range(size):
                ids[count] = i
                count += keys[i] >= bound
            short = ids[:count]
            for j in range(count):
                octaves = min((scores[first] - scores[short[j]]) * _PER_NAT, _FARTHEST)
                odds[j] = _odds(np.int64(octaves))
            total = _filter_by_odds(keys, short, odds, row[TOP_P], lowest, np.int64(best))
            at = _share(_philox(row[SEED], step, row[STREAM]), total)
            j, below = 0, odds[0]
            while below <= at:
                j += 1
                below += odds[j]
            token, log_prob = np.int64(short[j]), np.float32(math.log(odds[j] / total))
        row[TOKEN], row[FLAW], settings[LOG_PROB] = token, FINE, log_prob
        row[DONE] = 1 if token == stop or step + 1 == row[LAST] else 0
        counted[token] += 1
