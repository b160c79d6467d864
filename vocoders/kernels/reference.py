"""The anti-aliased activation of BigVGAN in plain torch: what cpu.py and gpu.py compute in one pass.

    y = lowpass( snake( twice the rate( x ) ) ), every second sample;  snake(u) = u + sin(a u)^2 / (b + 1e-9)

with a = exp(alpha) and b = exp(beta) of each channel (Lee et al., arXiv 2206.04658, section 3.2). The edges are
repeated before either filter. In phases, which is how the kernels read it, with filter f of 12 taps,

    even[m] = snake( 2 sum_i f[2i+1] x[m + 2 - i] ),  odd[m] = snake( 2 sum_i f[2i] x[m + 3 - i] ),  i = 0..5
    y[t]    = sum_i f[2i+1] even[t + i - 2] + f[2i] odd[t + i - 3]

where x beyond its ends is its first or last value, and even or odd beyond theirs are even[0] or odd[T - 1].

Shapes: B batch, C channels, T samples.
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

TAPS = 12


def upsampled(x: Tensor, taps: Tensor) -> Tensor:
    """(B, C, T) -> (B, C, 2T); taps (1, 1, 12)."""
    x = F.pad(x, (5, 5), mode="replicate")
    x = 2 * F.conv_transpose1d(x, taps.expand(x.shape[1], -1, -1), stride=2, groups=x.shape[1])
    return x[..., 15:-15]


def lowpassed(x: Tensor, taps: Tensor) -> Tensor:
    """(B, C, 2T) -> (B, C, T); taps (1, 1, 12)."""
    x = F.pad(x, (5, 6), mode="replicate")
    return F.conv1d(x, taps.expand(x.shape[1], -1, -1), stride=2, groups=x.shape[1])


def snake(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """(B, C, T), logarithms of a and b (C,) -> (B, C, T)."""
    a, b = alpha.exp()[:, None], beta.exp()[:, None]
    return x + torch.sin(a * x).square() / (b + 1e-9)


def activation(x: Tensor, alpha: Tensor, beta: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """(B, C, T), logarithms of a and b (C,), the two filters (1, 1, 12) -> (B, C, T)."""
    return lowpassed(snake(upsampled(x, up), alpha, beta), down)
