"""Length regulator: content at 25 Hz -> condition at any number of mel frames.

Names follow the published `length_regulator`. Ours are `melody` (pitch and level change within a code, so they are
interpolated linearly, where codes are repeated) and `phones` (a window of phones around each code: a small tokenizer's
codes alone leave too much open). Shapes: B batch, K codes, T frames, C width, W phone window.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PHONE_WINDOW = 3
PITCH_FEATURES = 2 + 2 * 6
_PITCH_CENTRE_HZ = 160.0


@dataclass(frozen=True)
class RegulatorConfig:
    """The published one has in_channels 1024, channels 512, codes 0 (it gets vectors), no melody and no phones."""
    codes: int = 1000
    in_channels: int = 128
    channels: int = 192
    melody: bool = True
    phones: int = 68
    phone_channels: int = 64
    blocks: int = 4


class LengthRegulator(nn.Module):
    """Repeats, then smooths with four convolutions."""

    def __init__(self, config: RegulatorConfig) -> None:
        super().__init__()
        self.config = config
        if config.codes:
            self.embedding = nn.Embedding(config.codes, config.in_channels)
        self.content_in_proj = nn.Linear(config.in_channels, config.channels)
        blocks: list[nn.Module] = []
        for _ in range(config.blocks):
            conv = nn.Conv1d(config.channels, config.channels, 3, padding=1)
            blocks += [conv, nn.GroupNorm(1, config.channels), nn.Mish()]
        self.model = nn.Sequential(*blocks, nn.Conv1d(config.channels, config.channels, 1))
        if config.phones:
            self.phone_embedding = nn.Embedding(config.phones, config.phone_channels)
            self.phones_in_proj = nn.Linear(PHONE_WINDOW * config.phone_channels, config.channels)
            nn.init.zeros_(self.phones_in_proj.weight)
            nn.init.zeros_(self.phones_in_proj.bias)
        if config.melody:
            self.melody = nn.Linear(PITCH_FEATURES + 1, config.channels)
            self.melody_out = nn.Linear(PITCH_FEATURES + 1, config.channels)

    def stretch(self, content: Tensor, frames: int) -> Tensor:
        """Vectors (B, K, in_channels) -> (B, T, C) with T = frames: all that the published one does."""
        x = self.content_in_proj(content).transpose(1, 2)
        return self.model(F.interpolate(x, size=frames, mode="nearest")).transpose(1, 2)

    def forward(self, codes: Tensor, pitch_hz: Tensor, level: Tensor, phones: Tensor, frames: int) -> Tensor:
        """codes, pitch_hz (0 unvoiced), level (B, K), phones (B, K, 3) -> (B, T, C) with T = frames.

        `level` is log10 amplitude scaled to about -1..1, see emovoice.encoder.melody.
        """
        x = self.content_in_proj(self.embedding(codes))
        if self.config.phones:
            x = x + self.phones_in_proj(self.phone_embedding(phones).flatten(2))
        x = F.interpolate(x.transpose(1, 2), size=frames, mode="nearest")
        features = torch.cat([pitch_features(pitch_hz), level[..., None]], -1)
        features = F.interpolate(features.transpose(1, 2), size=frames, mode="linear").transpose(1, 2)
        x = x + self.melody(features).transpose(1, 2)
        return self.model(x).transpose(1, 2) + self.melody_out(features)


def pitch_features(pitch_hz: Tensor) -> Tensor:
    """(B, K) in Hz, 0 unvoiced -> (B, K, 14): voicing, log F0 and sinusoids of it, down to a sixteenth of an octave."""
    voiced = (pitch_hz > 0).float()
    octave = torch.log2(pitch_hz.clamp(min=40.0) / _PITCH_CENTRE_HZ) * voiced
    angles = octave[..., None] * (2 * math.pi * 2.0 ** torch.arange(-1, 5, device=pitch_hz.device))
    waves = torch.cat([angles.sin(), angles.cos()], -1) * voiced[..., None]
    return torch.cat([voiced[..., None], octave[..., None], waves], -1)
