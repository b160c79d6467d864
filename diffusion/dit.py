"""Velocity estimator of the flow-matching decoder: a transformer with U-Net skips and a WaveNet head.

Names and shapes follow the published IndexTTS-2 state dict (`cfm.estimator`), sizes are configuration. Inputs per
frame: noisy mel x, prompt mel (0 outside the prompt), content condition, style. Shapes: B batch, M mel bands, T frames,
C width, S style size.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion.weight_norm import NormedConv1d, NormedLinear

ROPE_BASE = 10_000


@dataclass(frozen=True)
class EstimatorConfig:
    """The published model is (80, 512, 512, 192, depth 13, heads 8, ffn 1536, wavenet_layers 8, lone_middle).

    `lone_middle`: block depth // 2 has no skip, whether the depth is odd or even. Without it every block of the later
    half has one. At odd depths, such as the published 13, both mean the same.
    """

    mels: int = 100
    dim: int = 192
    content_dim: int = 192
    style_dim: int = 448
    depth: int = 4
    heads: int = 4
    ffn: int = 512
    wavenet_layers: int = 4
    wavenet_kernel: int = 5
    wavenet_dilation: int = 1
    skips: bool = True
    lone_middle: bool = False
    dropout: float = 0.0


class RMSNorm(nn.Module):
    """x / rms(x) * weight."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5).to(x.dtype) * self.weight


class AdaptiveNorm(nn.Module):
    """w(t) * RMSNorm(x) + b(t)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project_layer = nn.Linear(dim, 2 * dim)
        self.norm = RMSNorm(dim)
        with torch.no_grad():
            self.project_layer.weight.mul_(0.1)
            self.project_layer.bias.copy_(torch.cat([torch.ones(dim), torch.zeros(dim)]))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """(B, T, C), (B, 1, C) -> (B, T, C)."""
        weight, bias = self.project_layer(t).chunk(2, -1)
        return weight * self.norm(x) + bias


class Attention(nn.Module):
    """Bidirectional attention with rotary positions."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.wqkv = nn.Linear(dim, 3 * dim, bias=False)
        self.wo = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, rotation: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, C) -> (B, T, C); mask (B, 1, 1, T) True on frames that count."""
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.wqkv(x).chunk(3, -1))
        y = F.scaled_dot_product_attention(rotate(q, rotation), rotate(k, rotation), v, mask)
        return self.wo(y.transpose(1, 2).flatten(2))


def rotation_table(frames: int, head_dim: int, device: torch.device) -> Tensor:
    """(T, head_dim / 2, 2) cosines and sines of the rotary angles."""
    frequency = ROPE_BASE ** (-torch.arange(0, head_dim, 2, device=device).float() / head_dim)
    angle = torch.arange(frames, device=device).float()[:, None] * frequency
    return torch.stack([angle.cos(), angle.sin()], -1)


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Rotate interleaved pairs of (B, H, T, D)."""
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = table.to(x.dtype).unbind(-1)
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(dim, inner, bias=False)
        self.w2 = nn.Linear(inner, dim, bias=False)
        self.w3 = nn.Linear(dim, inner, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Block(nn.Module):
    """Attention and feed-forward; the later half first merges the state of its earlier mirror block."""

    def __init__(self, config: EstimatorConfig) -> None:
        super().__init__()
        self.attention = Attention(config.dim, config.heads)
        self.feed_forward = FeedForward(config.dim, config.ffn)
        self.attention_norm = AdaptiveNorm(config.dim)
        self.ffn_norm = AdaptiveNorm(config.dim)
        self.skip_in_linear = nn.Linear(2 * config.dim, config.dim)

    def forward(self, x: Tensor, t: Tensor, rotation: Tensor, mask: Tensor | None, skip: Tensor | None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        if skip is not None:
            x = self.skip_in_linear(torch.cat([x, skip], -1))
        x = x + self.attention(self.attention_norm(x, t), rotation, mask)
        return x + self.feed_forward(self.ffn_norm(x, t))


class Transformer(nn.Module):
    """Blocks with U-Net skips (Bao 2023) and a last adaptive norm."""

    def __init__(self, config: EstimatorConfig) -> None:
        super().__init__()
        self.head_dim = config.dim // config.heads
        half = config.depth // 2
        self.givers = half if config.skips else 0
        self.first_taker = config.depth - half + int(config.lone_middle and config.depth % 2 == 0)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = AdaptiveNorm(config.dim)

    def forward(self, x: Tensor, t: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, C), (B, 1, C) -> (B, T, C)."""
        rotation = rotation_table(x.shape[1], self.head_dim, x.device)
        skips: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            x = layer(x, t, rotation, mask, skips.pop() if skips and i >= self.first_taker else None)
            if i < self.givers:
                skips.append(x)
        return self.norm(x, t)


class TimeEmbedding(nn.Module):
    """Sinusoids of 1000 t, then two layers."""

    def __init__(self, dim: int, features: int = 256) -> None:
        super().__init__()
        self.tones = features // 2
        self.mlp = nn.Sequential(nn.Linear(features, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, t: Tensor) -> Tensor:
        """(B,) in 0..1 -> (B, C)."""
        # In single precision also where the weights are not: 8 bits do not tell 1000 t from its neighbours.
        frequency = torch.exp(-math.log(10_000) * torch.arange(self.tones, device=t.device) / self.tones)
        angle = 1000 * t.float()[:, None] * frequency
        return self.mlp(torch.cat([angle.cos(), angle.sin()], -1).to(next(self.mlp.parameters()).dtype))


def reflect(x: Tensor, pad: int, lengths: Tensor | None) -> Tensor:
    """(B, C, T) -> (B, C, T + 2 pad), mirrored at both edges: at the end of each row where `lengths` (B,) tell it."""
    if lengths is None:
        return F.pad(x, (pad, pad), mode="reflect" if x.shape[-1] > pad else "replicate")
    last = (lengths - 1)[:, None]
    place = (torch.arange(x.shape[-1] + 2 * pad, device=x.device) - pad).abs()[None]
    place = torch.minimum(torch.where(place > last, 2 * last - place, place), last).clamp(min=0)
    return x.gather(2, place[:, None].expand(-1, x.shape[1], -1))


class NormedConv(nn.Module):
    """Weight-normed convolution with reflected edges; the two levels of `conv` are the published names."""

    def __init__(self, n_in: int, n_out: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.pad = kernel // 2 * dilation
        self.conv = nn.ModuleDict({"conv": NormedConv1d(nn.Conv1d(n_in, n_out, kernel, dilation=dilation))})

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, C, T), lengths (B,) -> (B, C', T)."""
        return self.conv["conv"](reflect(x, self.pad, lengths) if self.pad else x)


class WaveNet(nn.Module):
    """Gated convolutions with residual and skip paths, conditioned on time (van den Oord 2016)."""

    def __init__(self, dim: int, layers: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.dim = dim
        self.cond_layer = NormedConv(dim, 2 * dim * layers, 1)
        self.in_layers = nn.ModuleList(NormedConv(dim, 2 * dim, kernel, dilation**i) for i in range(layers))
        outs = [2 * dim] * (layers - 1) + [dim]
        self.res_skip_layers = nn.ModuleList(NormedConv(dim, out, 1) for out in outs)

    def forward(self, x: Tensor, t: Tensor, mask: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, C, T), (B, C, 1), (B, 1, T), (B,) -> (B, C, T)."""
        conditions = self.cond_layer(t).chunk(len(self.in_layers), 1)
        total = torch.zeros_like(x)
        for condition, enter, leave in zip(conditions, self.in_layers, self.res_skip_layers, strict=True):
            a, b = (enter(x, lengths) + condition).chunk(2, 1)
            out = leave(torch.tanh(a) * torch.sigmoid(b))
            if out.shape[1] > self.dim:
                residual, out = out.chunk(2, 1)
                x = (x + residual) * mask
            total = total + out
        return total * mask


class FinalLayer(nn.Module):
    """LayerNorm, shift and scale by time, weight-normed linear."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = NormedLinear(nn.Linear(dim, dim))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 2 * dim))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """(B, T, C), (B, C) -> (B, T, C)."""
        shift, scale = self.adaLN_modulation(t)[:, None].chunk(2, -1)
        return self.linear(F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift)


class Estimator(nn.Module):
    """v(x, t | prompt, content, style)."""

    def __init__(self, config: EstimatorConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.transformer = Transformer(config)
        self.cond_projection = nn.Linear(config.content_dim, dim)
        self.cond_x_merge_linear = nn.Linear(2 * config.mels + dim + config.style_dim, dim)
        self.skip_linear = nn.Linear(dim + config.mels, dim)
        self.t_embedder, self.t_embedder2 = TimeEmbedding(dim), TimeEmbedding(dim)
        self.conv1, self.res_projection = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.wavenet = WaveNet(dim, config.wavenet_layers, config.wavenet_kernel, config.wavenet_dilation)
        self.final_layer = FinalLayer(dim)
        self.conv2 = nn.Conv1d(dim, config.mels, 1)

    def forward(self, x: Tensor, prompt: Tensor, t: Tensor, style: Tensor, content: Tensor,
                mask: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """x, prompt (B, M, T), t (B,), style (B, S), content (B, T, C), mask (B, T) -> (B, M, T).

        The weights may have another precision than x. Under a mask the convolutions still reach over the edge; with
        `lengths` (B,) in its place a row is exactly what it would be alone.
        """
        given = x.dtype
        x, prompt, style, content = (part.to(self.conv1.weight.dtype) for part in (x, prompt, style, content))
        if lengths is not None:
            mask = torch.arange(x.shape[-1], device=x.device)[None] < lengths[:, None]
        keep = torch.ones_like(x[:, 0], dtype=torch.bool) if mask is None else mask
        frames, prompt = x.transpose(1, 2), prompt.transpose(1, 2)
        style = style[:, None].expand(-1, frames.shape[1], -1)
        t1, t2 = self.t_embedder(t), self.t_embedder2(t)
        merged = torch.cat([frames, prompt, self.cond_projection(content), style], -1)
        hidden = self.cond_x_merge_linear(merged)
        hidden = self.transformer(hidden, t1[:, None], None if mask is None else keep[:, None, None])
        hidden = self.skip_linear(torch.cat([hidden, frames], -1))
        y = self.conv1(hidden).transpose(1, 2)
        y = self.wavenet(y, t2[..., None], keep[:, None].to(x.dtype), lengths).transpose(1, 2)
        y = self.final_layer(y + self.res_projection(hidden), t1)
        return self.conv2(y.transpose(1, 2)).to(given)
