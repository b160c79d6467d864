"""The samplers: equal to the last token, right in law, undisturbed by other rows, and without a way back to Python."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from ar_tts.kernels import State, arithmetic, cpu, host, on_cpu, reference, sample
from ar_tts.kernels.patience import START_S, Patient
from ar_tts.kernels.state import FINE, NOT_A_NUMBER, NOTHING_ALLOWED, STEP, TOP_K, TOP_P
from tests.ar_tts.kernels import rows

ROOT = Path(__file__).resolve().parents[3]
Sampler = Callable[[Tensor, State], None]
ALL = pytest.mark.parametrize("sampler", [reference.sample, host.sample, cpu.sample], ids=["torch", "numpy", "numba"])


# ---- arithmetic ----


@pytest.mark.parametrize(
    ("seed", "step", "stream", "word"),
    [(0, 0, 0, 0x6627E8D5), (-1, 2**32 - 1, 2**32 - 1, None), (7, 1, 2, None)],
)
def test_the_generator_is_philox(seed: int, step: int, stream: int, word: int | None) -> None:
    """The published answer for zeros; torch and Numba agree with Python's integers elsewhere."""
    found = arithmetic.philox(seed, step, stream)
    assert word is None or found == word
    assert 0 <= found < 2**32 and found == cpu._philox(seed, step, stream)
    assert found == int(arithmetic.philox(*(torch.tensor([n]) for n in (seed, step, stream))))


def test_random_bits_are_even_and_follow_every_counter() -> None:
    numbers = torch.arange(40_000)
    none = 0 * numbers
    for counters in ((numbers, none, none), (none, numbers, none), (none, none, numbers)):
        bits = arithmetic.philox(*counters)
        assert chisquare(np.bincount(bits.numpy() >> 26, minlength=64)).pvalue > 1e-4
        assert len(bits.unique()) > 39_990


def test_odds_are_powers_of_two_and_never_rise() -> None:
    before = arithmetic.ONE
    for start in range(0, 1 << 24, 1 << 20):
        octaves = np.arange(start, start + (1 << 20))
        found = arithmetic.odds(octaves)
        assert np.abs(found - 2.0 ** (30 - octaves / (1 << 24))).max() < 5
        assert found[0] <= before and (np.diff(found) <= 0).all()
        before = found[-1]
    assert arithmetic.odds(0) == arithmetic.ONE and arithmetic.odds(1 << 24) <= before
    assert [arithmetic.odds(n << 24) for n in (1, 2, 30, 31)] == [1 << 29, 1 << 28, 1, 0]


@given(st.integers(0, 1 << 32), st.integers(0, 1 << 46))
def test_shares_are_exact(part: int, total: int) -> None:
    exact, rest = divmod(part * total, 1 << 32)
    assert int(arithmetic.share(torch.tensor(part), torch.tensor(total))) == cpu._share(part, total) == exact
    assert int(arithmetic.share_up(torch.tensor(part), torch.tensor(total))) == exact + (rest > 0)
    assert cpu._share_up(part, total) == exact + (rest > 0)


# ---- the same tokens everywhere ----


@pytest.mark.parametrize("sampler", [host.sample, cpu.sample], ids=["numpy", "numba"])
@pytest.mark.parametrize("kind", range(rows.KINDS))
def test_all_draw_what_torch_draws(kind: int, sampler: Sampler) -> None:
    for size in (1, 3, 40, 1000):
        scores = rows.logits(kind, 40, size, size)
        mine, theirs = rows.state(40, size, size), rows.state(40, size, size)
        for _ in range(7):
            reference.sample(scores, mine)
            sampler(scores, theirs)
            assert rows.equal(mine, theirs)


def _with_triton(*command: str, **more: str) -> str:
    pytest.importorskip("triton", reason="the gpu extra")
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, timeout=115,
                          cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)} | more)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_triton_interpreted_draws_what_torch_draws() -> None:
    assert int(_with_triton("-m", "tests.ar_tts.kernels.rows", TRITON_INTERPRET="1")) == 2 * rows.KINDS * 2 * 4


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from ar_tts.kernels.gpu import sample_rows
kinds = {"logits": "*bf16", "whole": "*i64", "real": "*fp32", "counts": "*i32", "allowed": "*i1", "size": "i32",
         "stride": "i32"}
made = triton.compile(ASTSource(sample_rows, kinds, {"BLOCK": 1024}), target=GPUTarget("cuda", 90, 32),
                      options={"enable_fp_fusion": False})
print(len(made.asm["cubin"]), "div.rn.f32" in made.asm["ptx"])
"""


@pytest.mark.slow
def test_triton_compiles_for_hopper_without_one(tmp_path: Path) -> None:
    size, exact = _with_triton("-c", COMPILE, TRITON_CACHE_DIR=str(tmp_path)).split()
    assert int(size) > 1000 and exact == "True"


# ---- in law ----


@ALL
def test_draws_follow_the_odds(sampler: Sampler) -> None:
    draws = 8000
    scores = torch.tensor([0.3, -1.0, 2.0, 0.3, 1.0, -4.0, 0.0, -9.0]).repeat(draws, 1)
    state = State.new(8, range(draws), temperature=0.8, top_k=6, top_p=0.95)  # type: ignore[arg-type]
    sampler(scores, state)
    odds = (scores[0] / 0.8).exp()
    odds[[5, 7]] = 0  # not among the six
    odds[[1]] = 0  # past 95 %
    expected = odds.double() / odds.double().sum() * draws
    found = torch.bincount(state.token, minlength=8)
    assert set(found.nonzero()[:, 0].tolist()) == set(expected.nonzero()[:, 0].tolist())
    assert chisquare(found[expected > 0], expected[expected > 0]).pvalue > 1e-4
    assert torch.allclose(state.log_prob, (odds / odds.sum()).log()[state.token], atol=1e-5)


@ALL
def test_draws_follow_the_odds_from_step_to_step(sampler: Sampler) -> None:
    state, found = State.new(3, [5]), np.zeros(3)
    for _ in range(3000):
        sampler(torch.tensor([[0.5, 0.3, 0.2]]).log(), state)
        found[int(state.token)] += 1
    assert chisquare(found, [1500, 900, 600]).pvalue > 1e-4
    assert state.counts[0].tolist() == found.tolist() and int(state.whole[0, STEP]) == 3000


def test_drawing_without_putting_back_is_in_law() -> None:
    """The second of two draws: sum over the first of p_i p_j / (1 - p_i)."""
    p = np.array([0.5, 0.3, 0.15, 0.05])
    scores = torch.tensor(p).log().float()
    pairs = [tuple(reference.drawn(scores, 1, step, 2).tolist()) for step in range(1500)]
    assert all(a != b for a, b in pairs)
    second = [sum(p[i] * p[j] / (1 - p[i]) for i in range(4) if i != j) * 1500 for j in range(4)]
    assert chisquare(np.bincount([b for _, b in pairs], minlength=4), second).pvalue > 1e-4
    everything = reference.drawn(torch.tensor([1.0, float("-inf"), 0.0, -80.0]), 3, 0, 4).tolist()
    assert sorted(everything) == [0, 1, 2, 3] and everything[3] == 1 and everything[2] == 3


def as_transformers(scores: Tensor, state: State, penalty: float, temperature: float) -> Tensor:
    from transformers.generation import logits_process as lp

    top_k, top_p = int(state.whole[0, TOP_K]), int(state.whole[0, TOP_P]) / 2**32
    scores = lp.RepetitionPenaltyLogitsProcessor(penalty)(state.counts.nonzero()[:, 1].view(len(scores), -1), scores)
    scores = lp.TemperatureLogitsWarper(temperature)(None, scores)
    scores = lp.TopKLogitsWarper(top_k)(None, scores) if top_k else scores
    return lp.TopPLogitsWarper(top_p)(None, scores) if top_p < 1 else scores


@pytest.mark.parametrize("size", [60, 1000])
@pytest.mark.parametrize(
    ("penalty", "temperature", "top_k", "top_p"),
    [(10.0, 0.8, 30, 0.8), (1.0, 1.0, 0, 0.9), (1.3, 0.3, 20, 1.0), (2.0, 2.0, 1, 0.5), (1.1, 1.0, 50, 0.01)],
)
def test_what_is_kept_is_what_transformers_keeps(
    size: int, penalty: float, temperature: float, top_k: int, top_p: float
) -> None:
    scores = 3 * torch.randn(50, size, generator=torch.Generator().manual_seed(size))
    state = State.new(size, [0] * 50, penalty=penalty, temperature=temperature, top_k=top_k, top_p=top_p)
    for row in range(50):
        state.counts[row, torch.randperm(size, generator=torch.Generator().manual_seed(row))[:17]] = 2
    expected = as_transformers(scores, state, penalty, temperature)
    ours = reference._scores(scores, state, torch.arange(size))
    odds = reference.odds_of(ours, ours.amax(1))
    kept = reference.kept(ours, odds, state.whole[:, TOP_K], state.whole[:, TOP_P])
    assert torch.equal(kept, expected.isfinite())
    assert torch.equal(ours[kept], expected[kept])  # to the last bit
    counts, drawn = state.counts.clone(), torch.zeros_like(kept)
    for _ in range(30):
        cpu.sample(scores, state)
        drawn[torch.arange(50), state.token] = True
        state.counts.copy_(counts)
    assert not (drawn & ~kept).any()


# ---- rows do not know each other ----


@ALL
def test_a_row_draws_the_same_in_any_company(sampler: Sampler) -> None:
    scores = rows.logits(0, 12, 50, 3)
    together = rows.state(12, 50, 3)
    for _ in range(4):
        sampler(scores, together)
    for chosen in ([7], [11, 0, 4]):
        apart = rows.state(12, 50, 3)
        apart.select(chosen)
        for _ in range(4):
            sampler(scores[chosen], apart)
        assert torch.equal(apart.whole, together.whole[chosen]) and torch.equal(apart.counts, together.counts[chosen])


@ALL
def test_broken_rows_are_flagged_and_harm_nobody(sampler: Sampler) -> None:
    scores = rows.logits(0, 5, 30, 1)
    scores[1, 3], scores[2], scores[3, 4], scores[4, 5] = float("nan"), float("-inf"), float("inf"), float("nan")
    allowed = torch.ones(5, 30, dtype=torch.bool)
    allowed[4, 5] = False  # what may not be drawn may be anything
    state = State.new(30, [1, 2, 3, 4, 5], stop=9, allowed=allowed)
    alone = State.new(30, [1], stop=9)
    sampler(scores, state)
    sampler(scores[:1], alone)
    assert state.flaw.tolist() == [FINE, NOT_A_NUMBER, NOTHING_ALLOWED, NOT_A_NUMBER, FINE]
    assert state.done[1:4].all() and (state.token[1:4] == 9).all() and state.counts[1:4].sum() == 0
    assert state.token[0] == alone.token[0] and state.told()[1] == (9, NOT_A_NUMBER)
    before = state.whole.clone()
    sampler(scores, state)
    assert torch.equal(before[1:4], state.whole[1:4])  # those that are done stay as they are


@ALL
def test_the_likeliest_is_the_first_of_the_largest(sampler: Sampler) -> None:
    scores = torch.tensor([[0.0, 2.0, 2.0, -1.0], [-0.0, 0.0, 0.0, -1.0], [float("-inf")] * 3 + [-3e38]])
    state = State.new(4, [0, 1, 2], temperature=0.0, top_p=0.3)
    sampler(scores, state)
    assert state.token.tolist() == [1, 0, 3] and state.log_prob.tolist() == [0, 0, 0]


@ALL
def test_a_length_is_kept(sampler: Sampler) -> None:
    size, seeds = 6, list(range(200))
    state = State.new(size, seeds, stop=2, earliest=3, target=5, last=7, pull=2.0)
    lengths = torch.zeros(200)
    for _ in range(9):
        running = ~state.done
        sampler(torch.zeros(200, size), state)
        lengths += running
        assert not (state.token == 2)[lengths <= 3].any()
    assert state.done.all() and int(lengths.min()) >= 4 and int(lengths.max()) == 7 and len(lengths.unique()) == 4


# ---- what the host knows ----


def test_a_step_can_be_captured() -> None:
    """Traced on tensors without data: a value that were asked for, or a shape that depended on one, would raise."""
    from torch.fx.experimental.proxy_tensor import make_fx

    def step(logits: Tensor, whole: Tensor, real: Tensor, counts: Tensor, allowed: Tensor) -> Tensor:
        state = State(whole, real, counts, allowed)
        reference.sample(logits, state)
        return state.token

    first = rows.state(6, 20, 0)
    graph = make_fx(step, tracing_mode="fake")(rows.logits(0, 6, 20, 0), first.whole, first.real, first.counts,
                                               first.allowed)  # fmt: skip
    replayed, plain = rows.state(6, 20, 9), rows.state(6, 20, 9)
    for seed in range(4):
        scores = rows.logits(0, 6, 20, seed)
        graph(scores, replayed.whole, replayed.real, replayed.counts, replayed.allowed)
        reference.sample(scores, plain)
        assert rows.equal(replayed, plain)


def test_the_sampler_of_the_product_is_one_of_them() -> None:
    scores = rows.logits(0, 6, 20, 0)
    expected, found = rows.state(6, 20, 0), rows.state(6, 20, 0)
    reference.sample(scores, expected)
    sample(scores, found)
    assert rows.equal(expected, found)
    on_cpu.start()
    again = rows.state(6, 20, 0)
    sample(scores, again)
    assert rows.equal(expected, again)


def test_the_twin_serves_until_the_kernel_is_worth_its_start() -> None:
    calls: list[str] = []
    patient = Patient(lambda: time.sleep(START_S / 2.5), lambda: lambda: calls.append("kernel"))
    for _ in range(2):
        patient()
        assert patient._kernel is None and not patient._starting
    patient()
    deadline = time.monotonic() + 20
    while patient._kernel is None and time.monotonic() < deadline:
        time.sleep(0.01)
    patient()
    assert calls == ["kernel"]


def test_without_numba_the_twin_stays() -> None:
    def missing() -> Any:
        raise ImportError("no numba")

    patient = Patient(lambda: "twin", missing)
    patient.start()
    assert patient() == "twin"


def test_a_place_for_the_cache_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    def njit(function: Any, cache: bool = False, **_: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return function

    monkeypatch.setattr(numba, "njit", njit)
    assert cpu._compiled(len) is len


@pytest.mark.parametrize("size", [0, 65537])
def test_vocabularies_that_do_not_fit(size: int) -> None:
    with pytest.raises(ValueError, match=f"vocabulary={size}"):
        State.new(size, [0])
