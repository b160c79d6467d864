"""Two-dimensional U-Net over mel images, of the shapes of Grad-TTS and DiffVC (arXiv 2105.06337, 2109.13821).

Shapes: B batch, I image channels, M mel bands, T frames; M and T divisible by 2 to the number of levels less one.
"""
from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_GROUPS = 8
_HEADS, _HEAD_DIM = 4, 32


class TimeFeatures(nn.Module):
    """Sinusoids of 1000 t: (B,) -> (B, dim)."""

    frequencies: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        half = dim // 2
        table = torch.exp(-math.log(10_000) * torch.arange(half) / max(half - 1, 1))
        self.register_buffer("frequencies", table, persistent=False)

    def forward(self, t: Tensor) -> Tensor:
        """(B,) in 0..1 -> (B, dim)."""
        angle = 1000 * t[:, None] * self.frequencies
        return torch.cat([angle.sin(), angle.cos()], -1)


def _convolved(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, padding=1), nn.GroupNorm(_GROUPS, n_out), nn.Mish())


class Residual(nn.Module):
    """Two convolutions with the time between them."""

    def __init__(self, n_in: int, n_out: int, time_dim: int) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Mish(), nn.Linear(time_dim, n_out))
        self.first, self.second = _convolved(n_in, n_out), _convolved(n_out, n_out)
        self.across = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, I, M, T), (B, time_dim) -> (B, I', M, T)."""
        return self.across(x) + self.second(self.first(x) + self.time(time)[..., None, None])


class LinearAttention(nn.Module):
    """Attention of linear cost (Katharopoulos 2020) over the whole image, scaled in from nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(channels, 3 * _HEADS * _HEAD_DIM, 1, bias=False)
        self.out = nn.Conv2d(_HEADS * _HEAD_DIM, channels, 1)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, M, T) -> (B, I, M, T)."""
        q, k, v = self.qkv(x).flatten(2).unflatten(1, (3, _HEADS, _HEAD_DIM)).unbind(1)
        context = k.softmax(-1) @ v.transpose(-1, -2)  # (B, heads, D, D)
        found = (context.transpose(-1, -2) @ q).flatten(1, 2)
        return x + self.scale * self.out(found.unflatten(-1, x.shape[-2:]))


class _Level(nn.Module):
    def __init__(self, n_in: int, n_out: int, time_dim: int) -> None:
        super().__init__()
        self.first, self.second = Residual(n_in, n_out, time_dim), Residual(n_out, n_out, time_dim)
        self.attention = LinearAttention(n_out)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.attention(self.second(self.first(x, time), time))


class UNet(nn.Module):
    """Image channels and a time in, one image out. DiffVC's is dim 256, mults (1, 2, 4)."""

    def __init__(self, channels: int, dim: int, mults: tuple[int, ...] = (1, 2, 4)) -> None:
        super().__init__()
        self.fold = 2 ** (len(mults) - 1)
        sizes = [channels, *(dim * mult for mult in mults)]
        self.time = nn.Sequential(TimeFeatures(dim), nn.Linear(dim, 4 * dim), nn.Mish(), nn.Linear(4 * dim, dim))
        self.down = nn.ModuleList(_Level(a, b, dim) for a, b in pairwise(sizes))
        self.shrink = nn.ModuleList(nn.Conv2d(size, size, 3, 2, 1) for size in sizes[1:-1])
        self.middle = _Level(sizes[-1], sizes[-1], dim)
        back = sizes[:0:-1]  # from the deepest to the first level
        self.up = nn.ModuleList(_Level(2 * a, b, dim) for a, b in pairwise(back))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(size, size, 4, 2, 1) for size in back[1:])
        self.leave = nn.Sequential(_convolved(dim * mults[0], dim), nn.Conv2d(dim, 1, 1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """(B, I, M, T), (B,) -> (B, M, T)."""
        bands, frames = x.shape[-2:]
        x = F.pad(x, (0, -frames % self.fold, 0, -bands % self.fold))
        time = self.time(t)
        kept: list[Tensor] = []
        for i, level in enumerate(self.down):
            x = level(x, time)
            kept.append(x)
            if i < len(self.shrink):
                x = self.shrink[i](x)
        x = self.middle(x, time)
        for level, grow in zip(self.up, self.grow, strict=True):
            x = grow(level(torch.cat([x, kept.pop()], 1), time))
        return self.leave(x)[:, 0, :bands, :frames]
