"""Schedule and solvers against closed forms: of Gaussian data the best estimate and the path of the ODE are known."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diffusion import solvers
from diffusion.schedule import Schedule

SCHEDULE = Schedule()
MEAN, STD, ANCHOR = -0.4, 0.35, 0.8  # of x_0; Xbar lies elsewhere
times = st.floats(1e-4, 1.0)


def best_estimate(x: Tensor, t: float) -> Tensor:
    """E[x_0 - Xbar | x_t] for x_0 ~ N(MEAN, STD^2)."""
    alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
    centre = MEAN - ANCHOR
    gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
    return centre + gain * (x - ANCHOR - alpha * centre)


def on_the_path(x: Tensor, t: float, s: float) -> Tensor:
    """Where the ODE takes x from t to s: Gaussian marginals are scaled and shifted into each other."""

    def marginal(u: float) -> tuple[float, float]:
        alpha, sigma = SCHEDULE.alpha(u), SCHEDULE.sigma(u)
        return ANCHOR + alpha * (MEAN - ANCHOR), math.sqrt(alpha**2 * STD**2 + sigma**2)

    (mean_t, std_t), (mean_s, std_s) = marginal(t), marginal(s)
    return mean_s + std_s / std_t * (x - mean_t)


def start(count: int = 4000) -> Tensor:
    noise = torch.randn(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return ANCHOR + SCHEDULE.alpha(1.0) * (MEAN - ANCHOR) + noise


def solved(name: str, steps: int, x: Tensor) -> Tensor:
    grid, plan = solvers.planned(name, SCHEDULE, steps)
    return solvers.solve(x, best_estimate, grid, plan, torch.full_like(x, ANCHOR), torch.Generator().manual_seed(1))


# ---- schedule ---------------------------------------------------------------------------------------------


@given(times)
def test_variance_is_preserved(t: float) -> None:
    assert SCHEDULE.alpha(t) ** 2 + SCHEDULE.sigma(t) ** 2 == pytest.approx(1, abs=1e-12)


@given(times)
def test_log_snr_and_its_inverse(t: float) -> None:
    assert SCHEDULE.time_of(SCHEDULE.log_snr(t)) == pytest.approx(t, rel=1e-9)


@given(times, times, times)
def test_deviations_shrink_step_by_step_as_at_once(a: float, b: float, c: float) -> None:
    r, s, t = sorted((a, b, c))
    assert SCHEDULE.gamma(r, s) * SCHEDULE.gamma(s, t) == pytest.approx(SCHEDULE.gamma(r, t), rel=1e-9)


def test_the_published_end() -> None:
    assert SCHEDULE.alpha(1.0) == pytest.approx(0.006654, abs=1e-6)


def test_tensors_and_numbers_agree() -> None:
    t = torch.tensor([0.01, 0.5, 1.0], dtype=torch.float64)
    alpha, sigma = SCHEDULE.marginal(t)
    assert alpha.flatten().tolist() == pytest.approx([SCHEDULE.alpha(v) for v in t.tolist()])
    assert sigma.flatten().tolist() == pytest.approx([SCHEDULE.sigma(v) for v in t.tolist()])


# ---- steps ------------------------------------------------------------------------------------------------


def test_the_sde_step_is_the_published_one_in_terms_of_the_score() -> None:
    """x_s = Xbar + (x_t - Xbar) / gamma + (1 - gamma^2) / gamma score + sigma xi, for any estimate (DiffVC's 'ml')."""
    published = [(4.60953, 4.39258, 0.97575), (3.49398, 3.20777, 0.95310), (2.64841, 2.27082, 0.89304),
                 (2.00747, 1.50933, 0.74314), (1.52164, 0.86446, 0.45702), (1.15339, 0.28639, 0.0)]
    grid, plan = solvers.planned("ml", SCHEDULE, 6)
    for t, step, (by_x, by_score, noise) in zip(grid[:-1], plan, published, strict=True):
        alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
        assert step.keep + step.move / alpha == pytest.approx(by_x, rel=1e-5)
        assert step.move * sigma**2 / alpha == pytest.approx(by_score, rel=2e-5)
        assert step.noise == pytest.approx(noise, rel=2e-5)


@pytest.mark.parametrize("name", solvers.SOLVERS)
def test_the_first_order_of_each_is_exact_where_the_estimate_does_not_move(name: str) -> None:
    x = start(50)
    grid, plan = solvers.planned(name, SCHEDULE, 7)
    truth = torch.full_like(x, 0.3)
    found = solvers.solve(x, lambda *_: truth - ANCHOR, grid, plan, torch.full_like(x, ANCHOR))
    assert torch.allclose(found, truth)


def test_a_step_in_single_precision_is_the_double_one() -> None:
    noise = torch.Generator().manual_seed(3)
    parts = [torch.randn(2, 5, 7, generator=noise, dtype=torch.float64) for _ in range(5)]
    step = solvers.Step(4.6, 0.3, -0.2, 0.9)
    double = solvers.take(step, *parts)
    single = solvers.take(step, *(part.float() for part in parts))
    x, d, anchor, previous, xi = parts
    assert torch.allclose(double, anchor + 4.6 * (x - anchor) + 0.3 * d - 0.2 * previous + 0.9 * xi)
    assert (single - double).abs().max() < 1e-5


# ---- Gaussian data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "steps"), [("dpm", 30), ("ddim", 200), ("ml", 400)])
def test_mean_and_deviation_come_out(name: str, steps: int) -> None:
    found = solved(name, steps, start(20_000))
    assert float(found.mean()) == pytest.approx(MEAN, abs=0.01)
    assert float(found.std()) == pytest.approx(STD, rel=0.03)


def test_few_steps_of_the_sde_keep_the_mean_and_lose_deviation() -> None:
    """As worked out in closed form elsewhere: 0.164, 0.213, 0.279, 0.321 of 0.35 at 6, 10, 30, 100 steps."""
    spread = [float(solved("ml", steps, start(20_000)).std()) for steps in (6, 10, 30, 100)]
    assert spread == pytest.approx([0.164, 0.213, 0.279, 0.321], abs=0.01)


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpm", 2)])
def test_order_of_convergence(name: str, order: int) -> None:
    x = start(200)
    truth = on_the_path(x, 1.0, 1e-12)
    errors = [float((solved(name, steps, x) - truth).pow(2).mean().sqrt()) for steps in (20, 40, 80)]
    for coarse, fine in itertools.pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.35)


def test_eight_steps_of_the_second_order_beat_sixty_of_euler() -> None:
    x = start(2000)
    truth = on_the_path(x, 1.0, 1e-12)

    def error(found: Tensor) -> float:
        return float((found - truth).pow(2).mean().sqrt())

    def slope(x: Tensor, t: float) -> Tensor:
        """Of the probability flow: -1/2 beta (y + score)."""
        alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
        y = x - ANCHOR
        beta = SCHEDULE.start + (SCHEDULE.end - SCHEDULE.start) * t
        return -0.5 * beta * (y + (alpha * best_estimate(x, t) - y) / sigma**2)

    grid = solvers.even_times(60, 1.0, solvers.LAST_T)
    by_euler = solvers.solve(x, slope, grid, solvers.euler(grid))
    assert error(solved("dpm", 8, x)) < error(by_euler) < error(solved("ddim", 8, x))


def test_there_and_back_again() -> None:
    x = MEAN + STD * torch.randn(500, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    anchor = torch.full_like(x, ANCHOR)
    grid, plan = solvers.planned_back(SCHEDULE, 40)
    noise = solvers.solve(x, best_estimate, grid, plan, anchor)
    assert float((noise - anchor).std()) == pytest.approx(1, abs=0.1)
    again = solvers.solve(noise, best_estimate, *solvers.planned("dpm", SCHEDULE, 40), anchor)
    assert float((again - x).abs().max()) < 0.02


def test_euler_integrates_a_constant_velocity_exactly() -> None:
    grid = [0.0, 0.3, 1.0]
    found = solvers.solve(torch.zeros(3), lambda x, t: torch.full_like(x, 2.0), grid, solvers.euler(grid))
    assert torch.allclose(found, torch.full((3,), 2.0))


def test_euler_is_of_first_order() -> None:
    errors = []
    for steps in (20, 40, 80):
        grid = solvers.even_times(steps, 0.0, 1.0)
        found = solvers.solve(torch.ones(1, dtype=torch.float64), lambda x, t: -x, grid, solvers.euler(grid))
        errors.append(abs(float(found) - math.exp(-1)))
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1) and errors[1] / errors[2] == pytest.approx(2, rel=0.1)


def test_steps_are_even_in_log_snr() -> None:
    logs = [SCHEDULE.log_snr(t) for t in solvers.log_snr_times(SCHEDULE, 6)]
    gaps = [b - a for a, b in itertools.pairwise(logs)]
    assert gaps == pytest.approx([gaps[0]] * 6, rel=1e-9)
