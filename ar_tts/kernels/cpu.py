"""The sampler compiled by Numba: no sort, and few passes over a row. See reference.py for what it does, point by point.

Scores become keys, whole numbers of the same order. Tokens lie in lanes, every 64th or 256th in one, and each lane
knows its largest key: the k-th largest of these is a bound that the k largest tokens are not below, and few others
reach it, in few lanes. A k-th largest is found by halving the range of keys and counting. The long loops are such that
a compiler takes many tokens at once.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
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
    if logits.dtype != torch.float32 or logits.requires_grad or not logits.is_contiguous():
        logits = logits.detach().float().contiguous()
    sample_arrays(logits.numpy(), *state.arrays())


@_compiled
def _score(x: Any, counted: int, allowed: bool, penalty: Any, temperature: Any) -> Any:  # points 2 and 3
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
def _filter_by_odds(keys: np.ndarray, odds: np.ndarray, top_p: int, low: int, high: int) -> int:
    """Point 6 on a short list of tokens, whose odds it sets to 0 where they are dropped -> sum of the others."""
    total = 0
    for j in range(len(keys)):
        total += odds[j]
    if top_p >= _WHOLE:
        return total
    limit = _share_up(top_p, total)
    while low < high:  # the smallest key above which there is less than the limit
        middle = (low + high) >> 1
        above = 0
        for j in range(len(keys)):
            above += odds[j] if keys[j] > middle else 0
        if above < limit:
            high = middle
        else:
            low = middle + 1
    above = 0
    for j in range(len(keys)):
        above += odds[j] if keys[j] > low else 0
    for j in range(len(keys)):
        key = keys[j]
        if key < low or (key == low and above >= limit):
            odds[j] = 0
        elif key == low:
            above += odds[j]
    return above


@_compiled
def _gather(keys: np.ndarray, tops: np.ndarray, bound: int, lanes: np.ndarray, ids: np.ndarray,
            short: np.ndarray) -> int:
    """Tokens whose keys are not below the bound, in order -> how many."""
    width, used, count = len(tops), 0, 0
    for lane in range(width):
        lanes[used] = lane
        used += tops[lane] >= bound
    for start in range(0, len(keys), width):
        for j in range(used):
            ids[count] = start + lanes[j]
            short[count] = keys[start + lanes[j]]
            count += short[count] >= bound
    return count


@_compiled
def sample_arrays(logits: np.ndarray, whole: np.ndarray, real: np.ndarray, counts: np.ndarray, allowed: np.ndarray,
            scores: np.ndarray, bits: np.ndarray, keys: np.ndarray, tops: np.ndarray, lanes: np.ndarray,
            ids: np.ndarray, short: np.ndarray, odds: np.ndarray) -> None:
    """`sample` on plain arrays, for other compiled code: logits (R, N), then the arrays of `State.arrays`, in place."""
    size, width, padded = logits.shape[1], len(tops), len(keys)
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
        for lane in range(width):  # not by a slice: Numba would spend two seconds on the words of its error
            tops[lane] = keys[lane]
        for start in range(width, padded, width):
            for lane in range(width):
                tops[lane] = max(tops[lane], keys[start + lane])
        best = tops[0]
        for lane in range(width):
            best = max(best, tops[lane])
        row[STEP] = step + 1
        if best >= _KEY_OF_INFINITY or best <= _KEY_OF_NOTHING:
            row[FLAW] = NOT_A_NUMBER if best >= _KEY_OF_INFINITY else NOTHING_ALLOWED
            row[TOKEN], row[DONE], settings[LOG_PROB] = max(stop, 0), 1, -_INFINITY
            continue
        _gather(keys, tops, best, lanes, ids, short)
        token, log_prob = np.int64(ids[0]), _ZERO
        if not greedy:
            largest = scores[token]
            k, lowest, high = row[TOP_K], np.int64(_KEY_OF_NOTHING), np.int64(best)
            filtered = 0 < k < size
            if filtered and k <= width:
                lowest = _kth(tops, k, lowest, high)
            count = _gather(keys, tops, np.int32(lowest), lanes, ids, short)
            if filtered:
                lowest = _kth(short[:count], k, lowest, high)
                left, count, bound = count, 0, np.int32(lowest)
                for j in range(left):
                    ids[count] = ids[j]
                    short[count] = short[j]
                    count += short[count] >= bound
            for j in range(count):
                octaves = min((largest - scores[ids[j]]) * _PER_NAT, _FARTHEST)
                odds[j] = _odds(np.int64(octaves))
            total = _filter_by_odds(short[:count], odds, row[TOP_P], lowest, high)
            at = _share(_philox(row[SEED], step, row[STREAM]), total)
            j, below = 0, odds[0]
            while below <= at:
                j += 1
                below += odds[j]
            token, log_prob = np.int64(ids[j]), np.float32(math.log(odds[j] / total))
        row[TOKEN], row[FLAW], settings[LOG_PROB] = token, FINE, log_prob
        row[DONE] = 1 if token == stop or step + 1 == row[LAST] else 0
        counted[token] += 1
