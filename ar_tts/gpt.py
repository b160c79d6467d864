"""GPT-2 blocks on embeddings, with a static key/value cache. State-dict names and shapes are those of GPT-2.

Shapes: B batch, T positions, C width, H heads.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv1D(nn.Module):
    """GPT-2's linear layer: weight (in, out), the quick layout for one-row products on a CPU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return x @ self.weight + self.bias


class Memory(Protocol):
    """Keys and values of positions that were computed before."""

    def put(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Take in those of the new positions (B, H, T, C / H) -> those of all that can be seen (B, H, S, C / H)."""

    def mask(self, rows: int) -> Tensor | None:
        """What each of `rows` new positions may see, (B or 1, 1, rows, S); None: all that there is, up to itself."""

    def went_on(self, rows: int) -> None:
        """Every layer has taken in `rows` new positions."""


@dataclass
class Cache:
    """All rows at the same place: keys and values (layers, B, H, limit, C / H), of which `length` positions are
    filled."""

    keys: Tensor
    values: Tensor
    length: int = 0

    @classmethod
    def empty(cls, layers: int, batch: int, heads: int, limit: int, head_dim: int, like: Tensor) -> Cache:
        """Room for `limit` positions, on the device and in the precision of `like`."""
        shape = (layers, batch, heads, limit, head_dim)
        return cls(like.new_empty(shape), like.new_empty(shape))  # memory that is never written is never committed

    def put(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """See `Memory`."""
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end], self.values[layer, :, :, self.length : end] = keys, values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def mask(self, rows: int) -> Tensor | None:
        """See `Memory`."""
        if self.length == 0 or rows == 1:
            return None
        at = torch.arange(self.length + rows, device=self.keys.device)
        return (at <= at[-rows:, None])[None, None]

    def went_on(self, rows: int) -> None:
        """See `Memory`."""
        self.length += rows


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.c_attn = Conv1D(dim, 3 * dim)
        self.c_proj = Conv1D(dim, dim)

    def forward(self, x: Tensor, cache: Memory | None, layer: int, mask: Tensor | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C). With a cache, x are the positions after those it holds; `mask` (B, 1, T, S) over all
        S positions replaces the causal mask."""
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.c_attn(x).chunk(3, -1))
        if cache is not None:
            k, v = cache.put(layer, k, v)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=mask is None and x.shape[1] > 1)
        return self.c_proj(y.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Two layers with tanh GELU."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.c_fc = Conv1D(dim, 4 * dim)
        self.c_proj = Conv1D(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads, dropout)
        self.ln_2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: Memory | None, layer: int, mask: Tensor | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self.drop(self.attn(self.ln_1(x), cache, layer, mask))
        return x + self.drop(self.mlp(self.ln_2(x)))


class GPT(nn.Module):
    """Blocks and the last norm; positions and words are embedded by the caller."""

    def __init__(self, dim: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"{dim} channels cannot be shared among {heads} heads")
        self.heads = heads
        self.h = nn.ModuleList(Block(dim, heads, dropout) for _ in range(layers))
        self.ln_f = nn.LayerNorm(dim)

    def forward(self, x: Tensor, cache: Memory | None = None, keep: Tensor | None = None) -> Tensor:
        """(B, T, C) embeddings -> (B, T, C) hidden states; a given cache is filled further.

        `keep` (B, T), without a cache, is False on padding that nothing may attend to.
        """
        rows = x.shape[1]
        if cache is not None:
            mask = cache.mask(rows)
        else:
            mask = None if keep is None else _causal(keep)
        for layer, block in enumerate(self.h):
            x = block(x, cache, layer, mask)
        if cache is not None:
            cache.went_on(rows)
        return self.ln_f(x)

    def new_cache(self, batch: int, limit: int) -> Cache:
        """An empty cache for `limit` positions."""
        weight = self.ln_f.weight
        return Cache.empty(len(self.h), batch, self.heads, limit, weight.shape[0] // self.heads, weight)


def _causal(keep: Tensor) -> Tensor:
    """(B, T) -> (B, 1, T, T); each position sees itself: no softmax may be empty."""
    at = torch.arange(keep.shape[1], device=keep.device)
    return (((at <= at[:, None]) & keep[:, None]) | (at == at[:, None]))[:, None]
