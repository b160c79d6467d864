"""Semantic codec over w2v-BERT features: RepCodec of MaskGCT (arXiv 2409.00750) at 50 Hz, and its 25 Hz descendant.

Names and shapes follow the published state dicts: IndexTTS-2 takes `semantic_codec/model.safetensors` of MaskGCT,
IndexTTS-2.5 a codec that halves the rate before the encoder and doubles it again after the decoder.
Shapes: B batch, T feature frames at 50 Hz, K codes (T, or T / 2 rounded up), C feature width.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion.weight_norm import NormedConv1d


@dataclass(frozen=True)
class SemanticCodecConfig:
    """As published; `rate_divisor` is 1 at 50 Hz and 2 at 25 Hz."""

    codebook_size: int = 8192
    hidden_size: int = 1024
    codebook_dim: int = 8
    vocos_dim: int = 384
    vocos_intermediate_dim: int = 2048
    vocos_num_layers: int = 12
    rate_divisor: int = 1


class FactorisedQuantiser(nn.Module):
    """Nearest code by cosine in a space of few dimensions (Yu 2021, arXiv 2110.04627)."""

    def __init__(self, config: SemanticCodecConfig) -> None:
        super().__init__()
        self.in_project = NormedConv1d(nn.Conv1d(config.hidden_size, config.codebook_dim, 1))
        self.out_project = NormedConv1d(nn.Conv1d(config.codebook_dim, config.hidden_size, 1))
        self.codebook = nn.Embedding(config.codebook_size, config.codebook_dim)

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, K) -> codes (B, K)."""
        low = F.normalize(self.in_project(x).transpose(1, 2), dim=-1)
        return (low @ F.normalize(self.codebook.weight, dim=-1).T).argmax(-1)

    def embed(self, codes: Tensor) -> Tensor:
        """(B, K) -> (B, C, K). The rows of the code book are used as they are, not at unit length."""
        return self.out_project(self.codebook(codes).transpose(1, 2))


class SemanticCodec(nn.Module):
    """Features -> codes -> quantised features, and at 25 Hz back to features."""

    def __init__(self, config: SemanticCodecConfig) -> None:
        super().__init__()
        from vocos.models import VocosBackbone  # its state-dict names are the published ones

        self.config = config
        width = config.hidden_size

        def side() -> nn.Sequential:
            backbone = VocosBackbone(width, config.vocos_dim, config.vocos_intermediate_dim, config.vocos_num_layers)
            return nn.Sequential(backbone, nn.Linear(config.vocos_dim, width))

        if config.rate_divisor > 1:
            self.down = nn.Conv1d(width, width, 3, stride=config.rate_divisor, padding=1)
            self.up = nn.Conv1d(width, width, 3, padding=1)
        self.encoder, self.decoder = side(), side()
        self.quantizer = nn.ModuleDict({"quantizers": nn.ModuleList([FactorisedQuantiser(config)])})

    @property
    def _quantiser(self) -> FactorisedQuantiser:
        return cast(FactorisedQuantiser, self.quantizer.get_submodule("quantizers.0"))

    @torch.inference_mode()
    def quantise(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, T, C) -> codes (B, K), quantised features (B, K, C)."""
        x = features.transpose(1, 2)
        if self.config.rate_divisor > 1:
            x = F.gelu(self.down(x))
        codes = self._quantiser.encode(self.encoder(x).transpose(1, 2))
        return codes, self.embed(codes)

    @torch.inference_mode()
    def embed(self, codes: Tensor) -> Tensor:
        """Codes (B, K) -> quantised features (B, K, C), before the decoder."""
        return self._quantiser.embed(codes).transpose(1, 2)

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, K) -> features (B, K * rate_divisor, C). The published 50 Hz pipeline does not use its decoder."""
        x = self.decoder(self.embed(codes).transpose(1, 2))
        if self.config.rate_divisor > 1:
            x = F.interpolate(x.transpose(1, 2), scale_factor=float(self.config.rate_divisor), mode="nearest")
            x = self.up(x).transpose(1, 2)
        return x
