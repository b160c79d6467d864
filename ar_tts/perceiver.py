"""The perceiver resampler of the published model: a sequence of any length -> a fixed number of rows.

State-dict names and shapes are those of the published weights; there is no norm inside the layers.

Shapes: B batch, S frames, N latents, F context width, C width, H heads.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_HEAD_DIM = 64


class Perceiver(nn.Module):
    """Learned latents that attend to the context and to themselves, `depth` times."""

    def __init__(self, context: int, dim: int, latents: int, heads: int, mult: float, depth: int = 2) -> None:
        super().__init__()
        self.latents = nn.Parameter(0.02 * torch.randn(latents, dim))
        self.proj_context = nn.Linear(context, dim)
        self.layers = nn.ModuleList(PerceiverLayer(dim, heads, int(dim * mult * 2 / 3)) for _ in range(depth))
        self.norm = RootMeanSquareNorm(dim)

    def forward(self, context: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, S, F), and (B, S) False on padding -> (B, N, C)."""
        context = self.proj_context(context)
        latents = self.latents.expand(len(context), -1, -1)
        if keep is not None:
            keep = F.pad(keep, (latents.shape[1], 0), value=True)[:, None, None]
        for layer in self.layers:
            latents = layer(latents, context, keep)
        return self.norm(latents)


class PerceiverLayer(nn.ModuleList):
    """Attention and a gated feed-forward; a list, because the published names count its two parts."""

    def __init__(self, dim: int, heads: int, inner: int) -> None:
        feed = nn.Sequential(nn.Linear(dim, 2 * inner), GatedGelu(), nn.Linear(inner, dim))
        super().__init__([LatentAttention(dim, heads), feed])

    def forward(self, latents: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """(B, N, C), (B, S, C), (B, 1, 1, N + S) -> (B, N, C)."""
        latents = latents + self[0](latents, torch.cat([latents, context], 1), mask)
        return latents + self[1](latents)


class LatentAttention(nn.Module):
    """Multi-head attention of latents to context; no biases."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, heads * _HEAD_DIM, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * _HEAD_DIM, bias=False)
        self.to_out = nn.Linear(heads * _HEAD_DIM, dim, bias=False)

    def forward(self, latents: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """(B, N, C), (B, S', C), (B, 1, 1, S') -> (B, N, C)."""
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for part in (self.to_q(latents), *self.to_kv(context).chunk(2, -1)))
        return self.to_out(F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2))


class GatedGelu(nn.Module):
    """First half times the exact GELU of the second."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., 2 I) -> (..., I)."""
        value, gate = x.chunk(2, -1)
        return F.gelu(gate) * value


class RootMeanSquareNorm(nn.Module):
    """x / |x| * sqrt(C) * gamma."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return F.normalize(x, dim=-1) * x.shape[-1] ** 0.5 * self.gamma
