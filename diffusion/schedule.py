"""Noise schedule of the variance-preserving diffusion that reverts to a mean (Popov et al., arXiv 2109.13821).

    dX = 1/2 beta_t (Xbar - X) dt + sqrt(beta_t) dW,  beta_t = b0 + (b1 - b0) t,  t in 0..1
    x_t = Xbar + alpha_t (x_0 - Xbar) + sigma_t eps,  alpha_t = exp(-1/2 int_0^t beta),  sigma_t^2 = 1 - alpha_t^2

With y = x - Xbar this is the plain variance-preserving process, so whatever holds for that one holds here. Numbers that
steer a solver are Python floats (double precision); tensors only where a batch has a time for each row.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Schedule:
    """beta from `start` at t = 0 to `end` at t = 1."""

    start: float = 0.05
    end: float = 20.0

    def integral(self, s: float, t: float) -> float:
        """int_s^t beta."""
        return (t - s) * (self.start + 0.5 * (self.end - self.start) * (t + s))

    def gamma(self, s: float, t: float) -> float:
        """exp(-1/2 int_s^t beta): what is left at t of a deviation at s."""
        return math.exp(-0.5 * self.integral(s, t))

    def alpha(self, t: float) -> float:
        """gamma(0, t)."""
        return self.gamma(0.0, t)

    def sigma(self, t: float) -> float:
        """Standard deviation of the noise at t."""
        return math.sqrt(-math.expm1(-self.integral(0.0, t)))

    def log_snr(self, t: float) -> float:
        """lambda = ln(alpha / sigma), which falls as t grows; t above 0."""
        return -0.5 * self.integral(0.0, t) - math.log(self.sigma(t))

    def time_of(self, log_snr: float) -> float:
        """The inverse of `log_snr`, in closed form: int_0^t beta = ln(1 + exp(-2 lambda)) is quadratic in t."""
        integral = math.log1p(math.exp(-2 * log_snr)) if log_snr > -300 else -2 * log_snr
        slope = self.end - self.start
        root = math.sqrt(self.start**2 + 2 * slope * integral)
        return 2 * integral / (self.start + root)  # the usual form (root - b0) / slope cancels for small t

    def marginal(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Times (B,) -> alpha (B, 1, 1), sigma (B, 1, 1)."""
        integral = (t * (self.start + 0.5 * (self.end - self.start) * t))[:, None, None]
        return torch.exp(-0.5 * integral), torch.sqrt(-torch.expm1(-integral))
