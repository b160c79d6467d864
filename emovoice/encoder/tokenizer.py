"""Supervised semantic tokenizer: log-mel at 100 Hz -> one code, pitch and level at 25 Hz.

A phone classifier with a bottleneck of finite scalar quantisation (Mentzer 2023) in the middle, as CosyVoice 2's S3
tokenizer. Codes hold phones and what of their neighbours helps to tell them; melody is read beside them, before the
bottleneck, since phonetic codes lose it. Shapes: B batch, K codes (25 Hz), T = 4 K mel frames (100 Hz).
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emovoice.encoder.blocks import ConvNeXt, stem

CODE_HZ = 25
MEL_HOP = 240  # of the encoders' own front end: 100 frames a second at 24 kHz


@dataclass(frozen=True)
class TokenizerConfig:
    """`levels` multiply to the number of codes; `phones` classes are told apart twice per code (50 Hz)."""

    n_mels: int = 80
    dim: int = 192
    layers: int = 4
    levels: tuple[int, ...] = (8, 5, 5, 5)
    phones: int = 64
    pitch_bins: int = 128
    dropout: float = 0.1

    @property
    def codes(self) -> int:
        """Size of the code book."""
        size = 1
        for level in self.levels:
            size *= level
        return size


@dataclass
class Tokens:
    """What the tokenizer reads: `codes` (B, K) and, before quantisation, `pitch_logits` (B, K, bins); for training also
    `phone_logits` (B, 2K, phones)."""

    codes: Tensor
    pitch_logits: Tensor
    phone_logits: Tensor


class FiniteScalarQuantiser(nn.Module):
    """Rounds each of d numbers to its own few levels; the straight-through gradient passes rounding."""

    levels: Tensor
    base: Tensor

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.register_buffer("base", torch.tensor([1, *levels[:-1]]).cumprod(0), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(..., d) -> values in -1..1 (..., d), codes (...)."""
        half = (self.levels - 1) / 2
        bounded = torch.sigmoid(x) * (self.levels - 1)
        index = bounded + (bounded.round() - bounded).detach()
        code = (index.detach().round().long() * self.base).sum(-1)
        return (index - half) / half, code


class SemanticTokenizer(nn.Module):
    """(B, M, 4K) log-mel at 100 Hz -> codes at 25 Hz, with pitch."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim

        def blocks(count: int) -> list[nn.Module]:
            return [ConvNeXt(dim, dropout=config.dropout) for _ in range(count)]

        self.encoder = nn.Sequential(stem(config.n_mels, dim, 2), nn.GELU(), *blocks(2), stem(dim, dim, 2),
                                     *blocks(config.layers))
        self.norm = nn.LayerNorm(dim)
        self.pitch_head = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, config.pitch_bins))
        self.to_levels = nn.Linear(dim, len(config.levels))
        self.quantiser = FiniteScalarQuantiser(config.levels)
        self.decoder = nn.Sequential(nn.Conv1d(len(config.levels), dim, 5, padding=2), *blocks(2))
        self.phone_head = nn.Linear(dim, 2 * config.phones)

    def forward(self, mel: Tensor) -> Tokens:
        """(B, M, 4K) -> Tokens."""
        hidden = self.norm(self.encoder(mel)[..., : mel.shape[-1] // 4].transpose(1, 2))
        values, codes = self.quantiser(self.to_levels(hidden))
        phones = self.phone_head(self.decoder(values.transpose(1, 2)).transpose(1, 2))
        return Tokens(codes, self.pitch_head(hidden), phones.unflatten(-1, (2, -1)).flatten(1, 2))
