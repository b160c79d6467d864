"""Mel to wave by the Vocos library's backbone and inverse-STFT head (Siuzdak 2023, arXiv 2306.00814)."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class VocosConfig:
    """Sizes; the library's published 24 kHz model is dim 512, intermediate_dim 1536, layers 8."""

    n_mels: int = 100
    dim: int = 256
    intermediate_dim: int = 768
    layers: int = 6
    n_fft: int = 1024
    hop: int = 256


class Vocoder(nn.Module):
    """(B, M, T) log-mel -> (B, T * hop) wave. Import torchaudio's shim first where its native library is missing."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        from vocos.heads import ISTFTHead
        from vocos.models import VocosBackbone

        self.config = config
        self.backbone = VocosBackbone(config.n_mels, config.dim, config.intermediate_dim, config.layers)
        self.head = ISTFTHead(config.dim, config.n_fft, config.hop, padding="same")

    def forward(self, mel: Tensor) -> Tensor:
        """(B, M, T) -> (B, T * hop)."""
        return self.head(self.backbone(mel).float())
