"""Conditional flow matching to mel (Lipman 2023; as in IndexTTS2's S2M stage), from noise or from a first guess.

Equations: x0 = guess + n z, y_t = (1 - (1 - s) t) x0 + t x1, target u = x1 - (1 - s) x0, s = 1e-6. The published
model starts from noise: guess = 0, n = 1. With a prior's mel as guess only its error and the texture are left to the
flow, which a small model learns much sooner; the guess then also fills the prompt's place.

Shapes: B batch, M mel bands, T frames, C content width, S style size.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diffusion.dit import Estimator, EstimatorConfig
from diffusion.prior import PriorConfig
from diffusion.regulator import LengthRegulator, RegulatorConfig
from diffusion.solver import euler_times, velocities
from diffusion.solvers import euler

SIGMA_MIN = 1e-6


@dataclass(frozen=True)
class FlowConfig:
    """`mel_mean` and `mel_std` bring log-mel to about unit size (0 and 1 in the published model)."""

    estimator: EstimatorConfig = EstimatorConfig()
    regulator: RegulatorConfig = RegulatorConfig()
    mel_mean: float = -5.5
    mel_std: float = 2.6
    drop_style: float = 0.1
    prior: PriorConfig | None = PriorConfig()
    start_noise: float = 0.5


class FlowDecoder(nn.Module):
    """Codes, pitch, level, timbre and emotion -> log-mel."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.length_regulator = LengthRegulator(config.regulator)
        self.estimator = Estimator(config.estimator)

    def normalise(self, mel: Tensor) -> Tensor:
        """Log-mel to the scale of the flow."""
        return (mel - self.config.mel_mean) / self.config.mel_std

    def denormalise(self, x: Tensor) -> Tensor:
        """The scale of the flow to log-mel."""
        return x * self.config.mel_std + self.config.mel_mean

    def start(self, noise: Tensor, guess: Tensor | None) -> Tensor:
        """x0 of the equations: noise (B, M, T), around a guess in the flow's scale where there is one."""
        return noise if guess is None else guess + self.config.start_noise * noise

    def loss(self, mel: Tensor, content: Tensor, style: Tensor, mask: Tensor, prompt_frames: Tensor | None = None,
             guess: Tensor | None = None) -> Tensor:
        """Flow-matching loss of log-mel (B, M, T) under content (B, T, C) and style (B, S); mask (B, T).

        Frames before `prompt_frames` (B,) are given as prompt and not learned. Style and content are dropped together
        in a share of the batch, for guidance.
        """
        x1 = self.normalise(mel)
        batch, _, frames = x1.shape
        t = torch.rand(batch, device=mel.device)
        x0 = self.start(torch.randn_like(x1), guess)
        y = (1 - (1 - SIGMA_MIN) * t[:, None, None]) * x0 + t[:, None, None] * x1
        target = x1 - (1 - SIGMA_MIN) * x0
        learn = mask[:, None].expand_as(x1).float()
        prompt = torch.zeros_like(x1) if guess is None else guess
        if prompt_frames is not None:
            given = (torch.arange(frames, device=mel.device)[None] < prompt_frames[:, None])[:, None]
            prompt, y, learn = x1 * given, torch.where(given, 0.0, y), learn * ~given
        kept = (torch.rand(batch, device=mel.device) >= self.config.drop_style).to(style.dtype)
        style, content = style * kept[:, None], content * kept[:, None, None]
        v = self.estimator(y, prompt * kept[:, None, None], t, style, content, mask)
        return ((v - target) ** 2 * learn).sum() / learn.sum().clamp(min=1)

    @torch.inference_mode()
    def sample(self, content: Tensor, style: Tensor, noise: Tensor, steps: int | Sequence[float] = 8,
               guidance: float = 0.0, mask: Tensor | None = None, guess: Tensor | None = None) -> Tensor:
        """Solve from `noise` (B, M, T) to log-mel (B, M, T) with Euler steps, `steps` of them or at the given times.

        `guess` (B, M, T) is a prior's mel in the flow's scale. With 0 steps the start itself is returned.
        """
        x = self.start(noise, guess)
        prompt = torch.zeros_like(noise) if guess is None else guess
        times = euler_times(steps)
        for t, step in zip(times, euler(times)):
            x, _ = velocities(self.estimator, x, prompt, t, style, content, guidance, mask).step(step, x)
        return self.denormalise(x)
