"""A first guess of the mel, by regression, around which the flow starts; see flow.py.

The idea of a start that depends on the data is Grad-TTS's (arXiv 2105.06337) and DiffSinger's (arXiv 2105.02446).

A small flow that starts from noise learns rhythm and melody long before words; a convolutional regressor is understood
soon. What it lacks, texture, is left to the flow.
Shapes: B batch, K codes, T frames, C width, S style size, M mel bands.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion.regulator import PHONE_WINDOW, PITCH_FEATURES, pitch_features


@dataclass(frozen=True)
class PriorConfig:
    """Blocks at 25 Hz and at the mel's rate."""

    codes: int = 1000
    phones: int = 68
    embedding: int = 64
    dim: int = 192
    code_blocks: int = 2
    frame_blocks: int = 5
    style_dim: int = 448
    mels: int = 100


class Block(nn.Module):
    """ConvNeXt block whose input is shifted by the style."""

    def __init__(self, dim: int, style_dim: int, kernel: int = 7) -> None:
        super().__init__()
        self.style = nn.Linear(style_dim, dim)
        self.depthwise = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.up, self.down = nn.Linear(dim, 3 * dim), nn.Linear(3 * dim, dim)
        self.gamma = nn.Parameter(0.3 * torch.ones(dim))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(B, T, C), (B, 1, S) -> (B, T, C)."""
        y = self.depthwise((x + self.style(style)).transpose(1, 2)).transpose(1, 2)
        return x + self.gamma * self.down(F.gelu(self.up(self.norm(y))))


class Prior(nn.Module):
    """Codes, phones, pitch, level and style -> mel, in the flow's scale."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        dim = config.dim
        self.code = nn.Embedding(config.codes, config.embedding)
        self.phone = nn.Embedding(config.phones, config.embedding)
        self.enter = nn.Linear((1 + PHONE_WINDOW) * config.embedding + PITCH_FEATURES + 1, dim)
        self.code_blocks = nn.ModuleList(Block(dim, config.style_dim, 5) for _ in range(config.code_blocks))
        self.melody = nn.Linear(PITCH_FEATURES + 1, dim)
        self.place = nn.Linear(2, dim)
        self.frame_blocks = nn.ModuleList(Block(dim, config.style_dim) for _ in range(config.frame_blocks))
        self.leave = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, config.mels))

    def forward(self, codes: Tensor, pitch_hz: Tensor, level: Tensor, phones: Tensor, style: Tensor,
                frames: int) -> Tensor:
        """codes, pitch_hz (0 unvoiced), level (B, K), phones (B, K, 3), style (B, S) -> (B, M, T) with T = frames."""
        style = style[:, None]
        melody = torch.cat([pitch_features(pitch_hz), level[..., None]], -1)
        x = self.enter(torch.cat([self.code(codes), self.phone(phones).flatten(2), melody], -1))
        for block in self.code_blocks:
            x = block(x, style)
        both = torch.cat([x, melody], -1).transpose(1, 2)
        both = F.interpolate(both, size=frames, mode="linear").transpose(1, 2)
        x, melody = both[..., : x.shape[-1]], both[..., x.shape[-1] :]
        x = x + self.melody(melody) + self.place(_phase(codes.shape[1], frames, x))
        for block in self.frame_blocks:
            x = block(x, style)
        return self.leave(x).transpose(1, 2)


def _phase(codes: int, frames: int, like: Tensor) -> Tensor:
    """(1, T, 2) where each frame lies within its code, as an angle."""
    place = (torch.arange(frames, device=like.device) + 0.5) * (codes / frames)
    angle = 2 * torch.pi * place
    return torch.stack([angle.sin(), angle.cos()], -1)[None].to(like.dtype)
