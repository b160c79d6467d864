"""Euler solver of the flow, with guidance and with a prompt to continue.

Guidance with rate w (Ho & Salimans 2022): v = (1 + w) v(prompt, style, content) - w v(nothing).
Shapes: B batch, M mel bands, P prompt frames, T frames, C content width, S style size.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion.solvers import Mix, euler


def euler_times(steps: int | Sequence[float]) -> list[float]:
    """Times from 0 to 1 between which to step: `steps` even steps, or as given."""
    return torch.linspace(0, 1, steps + 1).tolist() if isinstance(steps, int) else list(steps)


@overload
def _twice(part: Tensor) -> Tensor: ...
@overload
def _twice(part: Tensor | None) -> Tensor | None: ...
def _twice(part: Tensor | None) -> Tensor | None:
    return None if part is None else torch.cat([part, part])


def _and_nothing(part: Tensor) -> Tensor:
    return torch.cat([part, torch.zeros_like(part)])


def velocity(estimator: nn.Module, x: Tensor, prompt: Tensor, t: float, style: Tensor, content: Tensor,
             guidance: float = 0.0, mask: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
    """Guided velocity at time t: x, prompt (B, M, T), style (B, S), content (B, T, C) -> (B, M, T).

    mask (B, T) or lengths (B,) as of `diffusion.dit.Estimator`. Both branches of the guidance go in one batch.
    """
    return velocities(estimator, x, prompt, t, style, content, guidance, mask, lengths).value(x)


def velocities(estimator: nn.Module, x: Tensor, prompt: Tensor, t: float, style: Tensor, content: Tensor,
               guidance: float = 0.0, mask: Tensor | None = None, lengths: Tensor | None = None) -> Mix:
    """`velocity` before its branches are added up."""
    time = torch.full((len(x),), t, device=x.device)
    if not guidance:
        return Mix(estimator(x, prompt, time, style, content, mask, lengths)[None])
    both = estimator(_twice(x), _and_nothing(prompt), _twice(time), _and_nothing(style), _and_nothing(content),
                     _twice(mask), _twice(lengths))
    return Mix(both.unflatten(0, (2, -1)), (1 + guidance, -guidance))


def continued(estimator: nn.Module, noise: Tensor, prompt: Tensor, content: Tensor, style: Tensor,
              steps: int | Sequence[float] = 25, guidance: float = 0.7, lengths: Tensor | None = None,
              prompt_frames: Tensor | None = None) -> Tensor:
    """Continue a prompt, as IndexTTS-2 does: noise (B, M, T), prompt (B, M, P) with P <= T -> mel (B, M, T).

    Content (B, T, C) covers prompt and target. The first P frames, or `prompt_frames` (B,) of them, are given and
    come back as 0; so do the frames from `lengths` (B,) on. With lengths a row is what it would be alone.
    """
    frames = torch.arange(noise.shape[-1], device=noise.device)
    given = frames < (prompt.shape[-1] if prompt_frames is None else prompt_frames[:, None, None])
    free = ~given if lengths is None else ~given & (frames < lengths[:, None, None])
    prompt = F.pad(prompt, (0, noise.shape[-1] - prompt.shape[-1])) * given
    x = noise * free
    times = euler_times(steps)
    for t, step in zip(times, euler(times)):
        x, _ = velocities(estimator, x, prompt, t, style, content, guidance, lengths=lengths).step(step, x, mask=free)
    return x
