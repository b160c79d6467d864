"""Solvers, all of one step: out = Xbar + keep (x - Xbar) + move d + before d' + noise xi.

A plan is a list of steps whose numbers are worked out before the network runs; a solver is how these come about. What
d is, depends on the family: for the diffusions of schedule.py the estimate of x_0 - Xbar, for flow matching the
velocity (and Xbar = 0). d' is the d of the step before.

    ml        the reverse SDE of maximum likelihood of Popov et al. (arXiv 2109.13821), which is DDPM's ancestral
              sampling with x_0 replaced by its estimate: mu = gamma sigma_s^2 / sigma_t^2,
              nu = alpha_s (1 - gamma^2) / sigma_t^2, noise^2 = sigma_s^2 (1 - gamma^2) / sigma_t^2
    ddim      the ODE in first order (Song et al., arXiv 2010.02502)
    dpm       DPM-Solver++(2M) of Lu et al. (arXiv 2211.01095), second order; only good on steps even in log-SNR
    euler     flow matching

All of a step, with the guidance that d is made by, is one pass of kernels/: d is handed over as a `Mix`.

Shapes: x, Xbar, d are of one shape, such as (B, M, T).
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from diffusion.kernels import advance
from diffusion.schedule import Schedule

SOLVERS = ("dpm", "ddim", "ml")
FIRST_T, LAST_T = 1.0, 1e-3
"""Where the ODE is solved; at LAST_T the noise has a deviation of 0.008, and the last step takes the estimate."""


@dataclass(frozen=True)
class Mix:
    """d = of_x x + of_anchor Xbar + sum_i weights[i] outputs[i], not worked out yet; outputs (N, *x)."""

    outputs: Tensor
    weights: tuple[float, ...] = (1.0,)
    of_x: float = 0.0
    of_anchor: float = 0.0

    def value(self, x: Tensor, anchor: Tensor | None = None) -> Tensor:
        """d."""
        return advance(x, anchor, None, None, self.outputs, self._of_d)[0]

    @property
    def _of_d(self) -> list[float]:
        return [self.of_x, self.of_anchor, 0.0, 0.0, *self.weights]

    def step(self, step: Step, x: Tensor, anchor: Tensor | None = None, previous: Tensor | None = None,
             xi: Tensor | None = None, mask: Tensor | None = None,
             history: bool = False) -> tuple[Tensor, Tensor | None]:
        """One step from x, and d where `history` asks for it; what the mask (B, 1, T) leaves out comes back as 0."""
        to_out = [step.keep + step.move * self.of_x, 1 - step.keep + step.move * self.of_anchor, step.before,
                  step.noise, *(step.move * weight for weight in self.weights)]
        return advance(x, anchor, previous, xi, self.outputs, to_out, self._of_d if history else None, mask)


Field = Callable[[Tensor, float], "Tensor | Mix"]
"""(x, t) -> d."""


@dataclass(frozen=True)
class Step:
    """The numbers of one step."""

    keep: float
    move: float
    before: float = 0.0
    noise: float = 0.0


def take(step: Step, x: Tensor, d: Tensor, anchor: Tensor | None = None, previous: Tensor | None = None,
         xi: Tensor | None = None) -> Tensor:
    """One step from x; `anchor` is Xbar (None for 0), `previous` the d before, xi unit noise."""
    return Mix(d[None]).step(step, x, anchor, previous, xi)[0]


def solve(x: Tensor, field: Field, times: Sequence[float], steps: Sequence[Step], anchor: Tensor | None = None,
          generator: torch.Generator | None = None) -> Tensor:
    """Go from times[0] to times[-1] with N steps between N + 1 times. Noise is drawn on the CPU, by `generator`."""
    previous = None
    for i, (t, step) in enumerate(zip(times, steps, strict=False)):
        d = field(x, t)
        mix = d if isinstance(d, Mix) else Mix(d[None])
        xi = torch.randn(x.shape, generator=generator).to(x) if step.noise else None
        history = any(later.before for later in steps[i + 1 : i + 2])
        x, previous = mix.step(step, x, anchor, previous, xi, history=history)
    return x


def even_times(steps: int, start: float = FIRST_T, stop: float = 0.0) -> list[float]:
    """steps + 1 times evenly apart."""
    return [start + (stop - start) * i / steps for i in range(steps + 1)]


def log_snr_times(schedule: Schedule, steps: int, start: float = FIRST_T, stop: float = LAST_T) -> list[float]:
    """steps + 1 times whose log-SNR is evenly apart."""
    first, last = schedule.log_snr(start), schedule.log_snr(stop)
    inner = [schedule.time_of(first + (last - first) * i / steps) for i in range(1, steps)]
    return [start, *inner, stop]


def ml(schedule: Schedule, times: Sequence[float]) -> list[Step]:
    """Steps of the SDE. The last one, to t = 0, is the estimate itself."""
    return [_ancestral(schedule, t, s) for t, s in pairwise(times)]


def _ancestral(schedule: Schedule, t: float, s: float) -> Step:
    lost = -math.expm1(-schedule.integral(s, t))  # 1 - gamma^2
    share = schedule.sigma(t) ** 2
    variance = schedule.sigma(s) ** 2 if s > 0 else 0.0
    keep = schedule.gamma(s, t) * variance / share
    return Step(keep, schedule.alpha(s) * lost / share, noise=math.sqrt(variance * lost / share))


def ddim(schedule: Schedule, times: Sequence[float]) -> list[Step]:
    """Steps of the ODE in first order; the times may rise as well, which leads from data to noise.

    A step to t = 0 is the estimate itself.
    """
    return [_straight(schedule, t, s) if s > 0 else Step(0.0, 1.0) for t, s in pairwise(times)]


def _straight(schedule: Schedule, t: float, s: float) -> Step:
    ratio = schedule.log_snr(t) - schedule.log_snr(s)
    return Step(schedule.sigma(s) / schedule.sigma(t), -schedule.alpha(s) * math.expm1(ratio))


def dpm(schedule: Schedule, times: Sequence[float]) -> list[Step]:
    """Steps of DPM-Solver++(2M), the first in first order; the times may rise, and a step to t = 0 is as in `ddim`."""
    steps = ddim(schedule, times)
    logs = [schedule.log_snr(t) for t in times if t > 0]
    for i in range(1, len(logs) - 1):
        ratio = (logs[i] - logs[i - 1]) / (logs[i + 1] - logs[i])
        ahead = steps[i].move / (2 * ratio)
        steps[i] = Step(steps[i].keep, steps[i].move + ahead, -ahead)
    return steps


def euler(times: Sequence[float]) -> list[Step]:
    """Steps of flow matching: x + dt v."""
    return [Step(1.0, end - start) for start, end in pairwise(times)]


def planned(solver: str, schedule: Schedule, steps: int) -> tuple[list[float], list[Step]]:
    """Times and steps from noise to data of a solver by name: the SDE evenly in time, as its authors, the ODEs evenly
    in log-SNR."""
    if solver == "ml":
        times = even_times(steps)
        return times, ml(schedule, times)
    times = [*(log_snr_times(schedule, steps - 1) if steps > 1 else [FIRST_T]), 0.0]
    return times, (dpm if solver == "dpm" else ddim)(schedule, times)


def planned_back(schedule: Schedule, steps: int) -> tuple[list[float], list[Step]]:
    """Times and steps from data to the noise that the ODE makes it of."""
    times = log_snr_times(schedule, steps)[::-1]
    return times, dpm(schedule, times)
