"""The sampler in numpy, row by row: slower than the compiled one, but there at once. It serves on the processor
until Numba is worth its start, where the many small steps of torch would be felt. See reference.py for what it does."""
from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from ar_tts.kernels.arithmetic import FARTHEST, PER_NAT, WHOLE, odds, philox, share, share_up
from ar_tts.kernels.state import DONE, FINE, FLAW, LOG_PROB, NOT_A_NUMBER, NOTHING_ALLOWED, STEP, TOKEN, State

_PER_NAT, _FARTHEST, _ZERO, _LOWEST = (np.float32(n) for n in (PER_NAT, FARTHEST, 0.0, -np.inf))


def sample(logits: Tensor, state: State) -> None:
    """`reference.sample` on the CPU."""
    whole, real, counts, allowed = state.arrays()[:4]
    with np.errstate(all="ignore"):  # infinities are meant
        for x, row, settings, counted, permitted in zip(logits.detach().float().numpy(), whole, real, counts, allowed):
            if not row[DONE]:
                _sample(x, row, settings, counted, permitted)


def _sample(x: np.ndarray, row: np.ndarray, settings: np.ndarray, counted: np.ndarray, permitted: np.ndarray) -> None:
    seed, stream, step, top_k, top_p, stop, earliest, target, last, *_ = row.tolist()
    temperature, penalty, pull, _ = settings
    if 0 <= stop < len(x):
        x = x.copy()
        x[stop] += pull * np.float32(step - target) if step >= earliest else _LOWEST
    if penalty != 1:
        x = np.where(counted > 0, np.where(x < 0, x * penalty, x / penalty), x)
    if temperature > 0:
        x = x / temperature
    x = np.where(permitted, x + _ZERO, _LOWEST)
    best, row[STEP] = x.max(), step + 1  # NaN where there is one
    if not _LOWEST < best < np.inf:
        row[FLAW] = NOTHING_ALLOWED if best == _LOWEST else NOT_A_NUMBER
        row[TOKEN], row[DONE], settings[LOG_PROB] = max(stop, 0), 1, _LOWEST
        return
    token, log_prob = int(x.argmax()), 0.0
    if temperature > 0:
        token, log_prob = _drawn(x, best, top_k, top_p, philox(seed, step, stream))
    row[TOKEN], row[FLAW], settings[LOG_PROB] = token, FINE, log_prob
    row[DONE] = token == stop or step + 1 == last
    counted[token] += 1


def _drawn(x: np.ndarray, best: np.float32, top_k: int, top_p: int, random: int) -> tuple[int, float]:
    """Points 4 to 7 -> a token and its log-probability."""
    lowest = np.partition(x, len(x) - top_k)[len(x) - top_k] if 0 < top_k < len(x) else _LOWEST
    ids = np.flatnonzero(x >= lowest)
    short = x[ids]
    parts = odds(np.minimum((best - short) * _PER_NAT, _FARTHEST).astype(np.int64))
    if top_p < WHOLE:
        order = np.argsort(-short, kind="stable")
        before = parts[order].cumsum() - parts[order]
        parts[order[before >= share_up(top_p, int(parts.sum()))]] = 0
    sums = parts.cumsum()
    total = int(sums[-1])
    at = int(sums.searchsorted(share(random, total), "right"))
    return int(ids[at]), math.log(int(parts[at]) / total)
