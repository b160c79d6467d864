"""The conformer of the published model: content features of a prompt -> a shorter, narrower sequence.

State-dict names and shapes are those of the published weights. One oddity is theirs too: the sinusoids are never added
to the features and never shifted, they only enter the attention scores as a second key.

Shapes: B batch, T frames of features, S = (T - 1) // 2 frames after subsampling, F feature size, C width, H heads.
"""
from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_POSITIONS = 5000
_KERNEL = 15
_FRAMES_AT_ONCE = 64  # the flattened convolution is 1 MB a frame at full size


class Conformer(nn.Module):
    """Subsampling, relative positions, `blocks` blocks, a last norm."""

    def __init__(self, features: int, dim: int, hidden: int, heads: int, blocks: int) -> None:
        super().__init__()
        self.embed = Subsampling(features, dim)
        self.encoders = nn.ModuleList(ConformerBlock(dim, hidden, heads) for _ in range(blocks))
        self.after_norm = nn.LayerNorm(dim)

    def forward(self, features: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(B, T, F), and (B, T) False on padding -> (B, S, C), and (B, S) False on padding."""
        x, positions = self.embed(features)
        keep = None if keep is None else keep[:, 2::2]
        for block in self.encoders:
            x = block(x, positions, keep)
        return self.after_norm(x), keep


class Subsampling(nn.Module):
    """A strided convolution over frames and features, flattened channel by channel and projected."""

    def __init__(self, features: int, dim: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, dim, 3, 2), nn.ReLU())
        self.out = nn.Sequential(nn.Linear(dim * ((features - 1) // 2), dim))
        self.pos_enc = Sinusoids(dim)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, F) -> (B, S, C), and the sinusoids (1, S, C). Raises ValueError where S would be 0 or too many."""
        size = (features.shape[1] - 1) // 2
        if not 1 <= size <= _POSITIONS:
            raise ValueError(f"a prompt of {features.shape[1]} frames; 3 to {2 * _POSITIONS + 2} can be read")
        parts = [self._project(features[:, 2 * start : 2 * min(start + _FRAMES_AT_ONCE, size) + 1])
                 for start in range(0, size, _FRAMES_AT_ONCE)]
        return torch.cat(parts, 1) * math.sqrt(parts[0].shape[-1]), self.pos_enc.pe[:, :size]

    def _project(self, features: Tensor) -> Tensor:
        return self.out(self.conv(features[:, None]).transpose(1, 2).flatten(2))


class Sinusoids(nn.Module):
    """pe (1, positions, C): sine in even, cosine in odd channels; a saved buffer in the published weights."""

    pe: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        rates = torch.exp(torch.arange(0, dim, 2, dtype=torch.float32) * -(math.log(10000.0) / dim))
        angles = torch.arange(_POSITIONS, dtype=torch.float32)[:, None] * rates
        self.register_buffer("pe", torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[None])


class ConformerBlock(nn.Module):
    """Pre-norm attention, convolution and feed-forward, then a norm."""

    def __init__(self, dim: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.self_attn = PositionKeyAttention(dim, heads)
        self.feed_forward = FeedForward(dim, hidden)
        self.conv_module = Convolution(dim)
        self.norm_ff = nn.LayerNorm(dim)
        self.norm_mha = nn.LayerNorm(dim)
        self.norm_conv = nn.LayerNorm(dim)
        self.norm_final = nn.LayerNorm(dim)

    def forward(self, x: Tensor, positions: Tensor, keep: Tensor | None) -> Tensor:
        """(B, S, C) -> (B, S, C)."""
        x = x + self.self_attn(self.norm_mha(x), positions, keep)
        x = x + self.conv_module(self.norm_conv(x), keep)
        return self.norm_final(x + self.feed_forward(self.norm_ff(x)))


class PositionKeyAttention(nn.Module):
    """softmax(((q + u) k' + (q + v) p') / sqrt(d)) v: Transformer-XL's terms without its shift."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"{dim} channels cannot be shared among {heads} heads")
        self.heads = heads
        self.pos_bias_u = nn.Parameter(torch.zeros(heads, dim // heads))
        self.pos_bias_v = nn.Parameter(torch.zeros(heads, dim // heads))
        self.linear_q = nn.Linear(dim, dim)
        self.linear_k = nn.Linear(dim, dim)
        self.linear_v = nn.Linear(dim, dim)
        self.linear_out = nn.Linear(dim, dim)
        self.linear_pos = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, positions: Tensor, keep: Tensor | None) -> Tensor:
        """(B, S, C), sinusoids (1, S, C), keep (B, S) -> (B, S, C)."""
        q, k, v = (self._split(part(x)) for part in (self.linear_q, self.linear_k, self.linear_v))
        p = self._split(self.linear_pos(positions)).expand_as(k)
        # both terms are one product of doubled heads
        query = torch.cat([q + self.pos_bias_u[:, None], q + self.pos_bias_v[:, None]], -1)
        mask = None if keep is None else keep[:, None, None]
        y = F.scaled_dot_product_attention(query, torch.cat([k, p], -1), v, mask, scale=q.shape[-1] ** -0.5)
        return self.linear_out(y.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """(B, S, C) -> (B, H, S, C / H)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Convolution(nn.Module):
    """Gated pointwise, depthwise over 15 frames, norm, SiLU, pointwise; padding stays zero."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.pointwise_conv1 = nn.Conv1d(dim, 2 * dim, 1)
        self.depthwise_conv = nn.Conv1d(dim, dim, _KERNEL, padding=_KERNEL // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.pointwise_conv2 = nn.Conv1d(dim, dim, 1)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """(B, S, C) -> (B, S, C)."""
        y = F.glu(self.pointwise_conv1(_silenced(x, keep).transpose(1, 2)), 1)
        # the gate's bias would leak from the padding into its neighbours
        y = _silenced(y.transpose(1, 2), keep).transpose(1, 2)
        y = F.silu(self.norm(self.depthwise_conv(y).transpose(1, 2)))
        return _silenced(self.pointwise_conv2(y.transpose(1, 2)).transpose(1, 2), keep)


class FeedForward(nn.Module):
    """Two layers with SiLU."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.w_1 = nn.Linear(dim, hidden)
        self.w_2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.w_2(F.silu(self.w_1(x)))


def _silenced(x: Tensor, keep: Tensor | None) -> Tensor:
    """(B, S, C) with zeros where keep (B, S) is False."""
    return x if keep is None else x.masked_fill(~keep[..., None], 0.0)
