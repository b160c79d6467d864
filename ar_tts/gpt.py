"""GPT-2 blocks on embeddings, with a static key/value cache. State-dict names and shapes are those of GPT-2.

Shapes: B batch, T positions, C width, H heads.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass
class Cache:
    """Keys and values of every layer, (layers, B, H, limit, C / H); `length` positions are filled.

    `keep` (B, limit) is False on padding that nothing may attend to; None where there is none.
    """

    keys: Tensor
    values: Tensor
    length: int = 0
    keep: Tensor | None = None

    @classmethod
    def empty(cls, layers: int, batch: int, heads: int, limit: int, head_dim: int, like: Tensor) -> Cache:
        """Room for `limit` positions, on the device and in the precision of `like`."""
        shape = (layers, batch, heads, limit, head_dim)
        return cls(like.new_empty(shape), like.new_empty(shape))  # memory that is never written is never committed

    def repeated(self, times: int) -> Cache:
        """Every row `times` times, one after another."""
        if times == 1:
            return self
        layers, batch, heads, limit, head_dim = self.keys.shape
        other = Cache.empty(layers, batch * times, heads, limit, head_dim, self.keys)
        for new, old in ((other.keys, self.keys), (other.values, self.values)):
            new[:, :, :, : self.length] = old[:, :, :, : self.length].repeat_interleave(times, 1)
        other.length = self.length
        other.keep = None if self.keep is None else self.keep.repeat_interleave(times, 0)
        return other

    def copy(self, moves: Sequence[tuple[int, int, int]]) -> None:
        """(to, from, start): row `to` becomes row `from` in the positions from `start` on. All moves happen at once."""
        for all_rows in (self.keys, self.values):
            taken = [all_rows[:, source, :, start : self.length].clone() for _, source, start in moves]
            for (target, _, start), rows in zip(moves, taken, strict=True):
                all_rows[:, target, :, start : self.length] = rows

    def select(self, rows: Sequence[int]) -> None:
        """Only these rows, in this order, from now on. `rows` ascend, so that few have to move."""
        self.copy([(target, source, 0) for target, source in enumerate(rows) if target != source])
        self.keys, self.values = self.keys[:, : len(rows)], self.values[:, : len(rows)]
        self.keep = None if self.keep is None else self.keep[list(rows)]


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.c_attn = Conv1D(dim, 3 * dim)
        self.c_proj = Conv1D(dim, dim)

    def forward(self, x: Tensor, cache: Cache | None, layer: int, mask: Tensor | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C). With a cache, x are the positions after those it holds; `mask` (B, 1, T, S) over all
        S positions replaces the causal mask."""
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.c_attn(x).chunk(3, -1))
        causal = True
        if cache is not None:
            start, end = cache.length, cache.length + x.shape[1]
            cache.keys[layer, :, :, start:end], cache.values[layer, :, :, start:end] = k, v
            k, v = cache.keys[layer, :, :, :end], cache.values[layer, :, :, :end]
            causal = start == 0
            if not causal and x.shape[1] != 1:
                raise ValueError("a filled cache is continued one position at a time")
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=causal and mask is None)
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

    def forward(self, x: Tensor, cache: Cache | None, layer: int, mask: Tensor | None = None) -> Tensor:
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

    def forward(self, x: Tensor, cache: Cache | None = None, keep: Tensor | None = None) -> Tensor:
        """(B, T, C) embeddings -> (B, T, C) hidden states; a given cache is filled further.

        `keep` (B, T) is False on padding that nothing may attend to, without a cache; a cache brings its own.
        """
        rows = x.shape[1]
        if cache is not None:
            keep = None if cache.keep is None else cache.keep[:, : cache.length + rows]
        mask = None if keep is None else _causal(keep, rows)
        for layer, block in enumerate(self.h):
            x = block(x, cache, layer, mask)
        if cache is not None:
            cache.length += rows
        return self.ln_f(x)

    def new_cache(self, batch: int, limit: int) -> Cache:
        """An empty cache for `limit` positions."""
        weight = self.ln_f.weight
        return Cache.empty(len(self.h), batch, self.heads, limit, weight.shape[0] // self.heads, weight)


def _causal(keep: Tensor, rows: int) -> Tensor:
    """(B, S) -> (B, 1, rows, S) for the last `rows` of S positions; each sees itself: no softmax may be empty."""
    at = torch.arange(keep.shape[1], device=keep.device)
    own = at[-rows:, None]
    return (((at <= own) & keep[:, None]) | (at == own))[:, None]
