"""Building blocks of the encoders. Shapes: B batch, C channels, T frames."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNeXt(nn.Module):
    """ConvNeXt block on (B, C, T) (Liu 2022), as in the Vocos backbone."""

    def __init__(self, channels: int, kernel: int = 7, expansion: int = 3, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.depthwise = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.up = nn.Linear(channels, expansion * channels)
        self.down = nn.Linear(expansion * channels, channels)
        self.gamma = nn.Parameter(0.1 * torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        y = self.norm(self.depthwise(x).transpose(1, 2))
        y = F.dropout(F.gelu(self.up(y)), self.dropout, self.training)
        return x + (self.gamma * self.down(y)).transpose(1, 2)


def stem(n_in: int, channels: int, stride: int) -> nn.Conv1d:
    """Convolution that keeps every `stride`-th frame: T -> T // stride for T divisible by it."""
    return nn.Conv1d(n_in, channels, 2 * stride + 1, stride, padding=stride)


class AttentivePool(nn.Module):
    """Weighted mean and standard deviation over time (Okabe 2018): (B, C, T) -> (B, 2C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Conv1d(channels, 64, 1), nn.Tanh(), nn.Conv1d(64, channels, 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`mask` (B, T) is True on frames that count."""
        score = self.score(x).masked_fill(~mask[:, None], -1e4)
        weight = score.softmax(-1)
        mean = (weight * x).sum(-1)
        variance = (weight * (x - mean[..., None]) ** 2).sum(-1)
        return torch.cat([mean, torch.sqrt(variance + 1e-5)], -1)


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:  # type: ignore[override]
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return -ctx.strength * grad, None


def reverse_gradient(x: Tensor, strength: float = 1.0) -> Tensor:
    """Identity forward, gradient times -strength backward (Ganin & Lempitsky 2015)."""
    return _Reverse.apply(x, strength)
