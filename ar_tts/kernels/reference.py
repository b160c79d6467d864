"""One step of the sampler in plain torch: what the kernels in cpu.py and gpu.py must repeat token by token.

For each row that is not done, in this order, floating point in single precision and rounded after every operation:

    1  score = logit; at STOP plus PULL * (STEP - TARGET), or minus infinity before EARLIEST
    2  what was written before: score * PENALTY below 0, score / PENALTY otherwise (Keskar et al., arXiv 1909.05858)
    3  score / TEMPERATURE; what is not allowed becomes -inf; -0 becomes 0
    4  odds = 2^30 exp(score - largest) in whole numbers, see arithmetic.py
    5  top-k keeps scores not below the k-th largest, ties and all, as `transformers`
    6  top-p keeps, in the order of scores and of ids where these are equal, tokens whose likelier ones have together
       less than TOP_P of the odds (Holtzman et al., arXiv 1904.09751)
    7  the token is the first, by id, whose odds with those before it exceed u * total / 2^32, u = philox(SEED, STEP,
       STREAM); at TEMPERATURE 0 it is the first of the largest scores
    8  its count and STEP grow by 1; DONE where it is STOP or the LAST one

A row with NaN or +inf among its allowed scores, or with nothing but -inf, is DONE with a FLAW and harms no other row.
Rounding enters only in 1 to 3 and in the product of 4 that turns a difference of scores into octaves; these are single
operations of IEEE 754, equal everywhere. A token with less than 2^-30 of the likeliest one's probability is never
drawn; other probabilities are right to 2^-27.

Nothing here waits for a device or makes a shape of data, so a step can be captured in a graph.

Shapes: R rows, V tokens.
"""
from __future__ import annotations

import torch
from torch import Tensor

from ar_tts.kernels.arithmetic import FARTHEST, PER_NAT, WHOLE, odds, philox, share, share_up
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

_LOWEST = float("-inf")


def sample(logits: Tensor, state: State) -> None:
    """Draw a token for each row of logits (R, V), any float type, and write it into the state."""
    whole, real = state.whole, state.real
    step, stop = whole[:, STEP], whole[:, STOP]
    ids = torch.arange(logits.shape[1], device=logits.device)
    score = _scores(logits, state, ids)
    bad = ~(score < float("inf"))  # NaN too
    score = score.masked_fill(bad, _LOWEST)
    best = score.amax(1)
    flaw = torch.where(best == _LOWEST, NOTHING_ALLOWED, FINE)
    flaw = torch.where(bad.any(1), NOT_A_NUMBER, flaw)

    token, log_prob = _drawn(score, best, state)
    fine, alive = flaw == FINE, whole[:, DONE] == 0
    token = torch.where(fine, token, stop.clamp(min=0))
    ends = ~fine | (token == stop) | (step + 1 == whole[:, LAST])
    new_whole, new_real = whole.clone(), real.clone()
    for column, value in ((TOKEN, token), (FLAW, flaw), (DONE, ends.long()), (STEP, step + 1)):
        new_whole[:, column] = value
    new_real[:, LOG_PROB] = torch.where(fine, log_prob, _LOWEST)
    whole.copy_(torch.where(alive[:, None], new_whole, whole))
    real.copy_(torch.where(alive[:, None], new_real, real))
    state.counts.scatter_add_(1, token[:, None], (alive & fine).int()[:, None])


def _drawn(score: Tensor, best: Tensor, state: State) -> tuple[Tensor, Tensor]:
    """Points 4 to 7 -> tokens and their log-probabilities (R,)."""
    whole, greedy = state.whole, state.real[:, TEMPERATURE] == 0
    weights = odds_of(score, best)
    weights = weights * kept(score, weights, whole[:, TOP_K], whole[:, TOP_P])
    total = weights.sum(1)
    at = share(philox(whole[:, SEED], whole[:, STEP], whole[:, STREAM]), total)
    token = (weights.cumsum(1) > at[:, None]).int().argmax(1)
    log_prob = (weights.gather(1, token[:, None])[:, 0].double() / total).log().float()
    likeliest = (score == best[:, None]).int().argmax(1)
    return torch.where(greedy, likeliest, token), torch.where(greedy, 0.0, log_prob)


def _scores(logits: Tensor, state: State, ids: Tensor) -> Tensor:
    """Points 1 to 3 -> (R, V) float32."""
    whole, real = state.whole, state.real
    pull = real[:, PULL] * (whole[:, STEP] - whole[:, TARGET]).float()
    pull = torch.where(whole[:, STEP] < whole[:, EARLIEST], _LOWEST, pull)
    score = logits.float()
    score = torch.where(ids == whole[:, STOP, None], score + pull[:, None], score)
    score = penalised(score, state.counts > 0, real[:, PENALTY, None])
    temperature = real[:, TEMPERATURE, None]
    score = torch.where(temperature > 0, score / torch.where(temperature > 0, temperature, 1.0), score)
    return torch.where(state.allowed, score + 0.0, _LOWEST)


def penalised(score: Tensor, seen: Tensor, penalty: Tensor | float) -> Tensor:
    """Point 2: scores (R, V), which tokens were written before (R, V) -> (R, V)."""
    return torch.where(seen, torch.where(score < 0, score * penalty, score / penalty), score)


def odds_of(score: Tensor, best: Tensor) -> Tensor:
    """Point 4: scores (R, V) without NaN, and the largest of each row (R,) -> (R, V) int64."""
    away = torch.where(best == _LOWEST, 0.0, best)[:, None] - score
    return odds((away * PER_NAT).clamp(max=FARTHEST).long())


def kept(score: Tensor, weights: Tensor, top_k: Tensor, top_p: Tensor, min_keep: int = 1) -> Tensor:
    """Points 5 and 6: scores and odds (R, V), numbers of tokens and shares (R,) -> (R, V) bool.

    min_keep: top-p keeps that many however unlikely they are.
    """
    ordered, order = torch.sort(score, dim=1, descending=True, stable=True)
    count = score.shape[1]
    last = torch.where(top_k == 0, count, top_k).clamp(max=count) - 1
    in_k = ordered >= ordered.gather(1, last[:, None])
    in_order = weights.gather(1, order) * in_k
    total = in_order.sum(1, keepdim=True)
    in_p = in_order.cumsum(1) - in_order < share_up(top_p[:, None], total)
    in_p = in_p | (top_p[:, None] >= WHOLE)  # odds of 0, too
    in_p[:, :min_keep] = True
    return torch.zeros_like(in_k).scatter_(1, order, in_k & in_p)


def drawn(score: Tensor, seed: int, step: int, count: int) -> Tensor:
    """`count` of the scores (N,) in the order of drawing, none twice -> indices (count,): what beam search asks for.

    Each is drawn as by points 4 and 7 among those that are left, with its place in the order as stream. Scores of -inf
    come last. It runs on the host.
    """
    score, left = score.clone(), torch.ones_like(score, dtype=torch.bool)
    found = []
    for stream in range(count):
        weights = odds_of(score[None], score.amax()[None])[0]
        total = weights.sum()
        weights = torch.where(total > 0, weights, left.long())
        found.append((weights.cumsum(0) > share(philox(seed, step, stream), total)).int().argmax())
        score[found[-1]] = _LOWEST
        left[found[-1]] = False
    return torch.stack(found)
