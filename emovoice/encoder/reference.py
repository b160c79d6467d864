"""Reference encoder: a recording -> timbre vector (who) and emotion vector (how), told apart by gradient reversal.

Shapes: B batch, M mel bands, T frames at 100 Hz.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emovoice.encoder.blocks import AttentivePool, ConvNeXt, reverse_gradient, stem


@dataclass(frozen=True)
class ReferenceConfig:
    """Sizes; `speakers` and `emotions` are the classes of the training heads."""

    n_mels: int = 80
    dim: int = 192
    timbre_dim: int = 192
    emotion_dim: int = 256
    speakers: int = 96
    emotions: int = 8


class Branch(nn.Module):
    """Own blocks and pooling of one of the two vectors."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(ConvNeXt(dim), ConvNeXt(dim))
        self.pool = AttentivePool(dim)
        self.out = nn.Linear(2 * dim, out)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, C, T), (B, T) -> (B, out)."""
        return self.out(self.pool(self.blocks(x), mask))


def adversary(n_in: int, classes: int) -> nn.Sequential:
    """Reads from a vector what it must not tell: (B, n_in) -> (B, classes)."""
    return nn.Sequential(nn.Linear(n_in, 128), nn.GELU(), nn.Linear(128, classes))


class ReferenceEncoder(nn.Module):
    """Two branches over one trunk. Timbre has unit length; emotion is free, so that its length can mean intensity."""

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.trunk = nn.Sequential(stem(config.n_mels, dim, 2), nn.GELU(), ConvNeXt(dim), stem(dim, dim, 2),
                                   ConvNeXt(dim), ConvNeXt(dim))
        self.timbre = Branch(dim, config.timbre_dim)
        self.emotion = Branch(dim, config.emotion_dim)
        self.speaker_head = nn.Linear(config.timbre_dim, config.speakers, bias=False)
        self.emotion_head = nn.Linear(config.emotion_dim, config.emotions)
        self.speaker_of_emotion = adversary(config.emotion_dim, config.speakers)
        self.emotion_of_timbre = adversary(config.timbre_dim, config.emotions)

    def forward(self, mel: Tensor, frames: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, M, T) and lengths (B,) in frames -> timbre (B, 192) of unit length, emotion (B, 256)."""
        hidden = self.trunk(mel)
        steps = torch.arange(hidden.shape[-1], device=mel.device)
        limit = torch.full((len(mel),), mel.shape[-1], device=mel.device) if frames is None else frames
        mask = steps[None] < (limit[:, None] // 4).clamp(min=1)
        return F.normalize(self.timbre(hidden, mask), dim=-1), self.emotion(hidden, mask)

    def losses(self, timbre: Tensor, emotion: Tensor, speaker: Tensor, weights: Tensor,
               strength: float) -> dict[str, Tensor]:
        """Training losses for speaker classes (B,) and emotion weights (B, 8).

        Speaker: softmax with additive margin 0.2 and scale 24 (Wang 2018). The two adversaries read what each vector
        must not tell; their gradient is reversed with `strength`.
        """
        cosine = F.normalize(timbre, dim=-1) @ F.normalize(self.speaker_head.weight, dim=-1).T
        margin = 0.2 * F.one_hot(speaker, cosine.shape[-1])
        # Without its length: otherwise the encoder wins by growing, and the emotion drowns.
        direction = F.layer_norm(emotion, emotion.shape[-1:])
        return {
            "speaker": F.cross_entropy(24 * (cosine - margin), speaker),
            "emotion": 10 * F.mse_loss(self.emotion_head(emotion), weights),
            "leak_speaker": F.cross_entropy(self.speaker_of_emotion(reverse_gradient(direction, strength)), speaker),
            "leak_emotion": 10 * F.mse_loss(self.emotion_of_timbre(reverse_gradient(timbre, strength)), weights),
        }
