"""Mel to wave by the Vocos library's backbone and inverse-STFT head (Siuzdak 2023, arXiv 2306.00814).

With a source (harmonic.py) the spectrum is the sum of three: pulses at the mel's pitch and white noise, each shaped by
the network, and what the network writes by itself, as Vocos does.

Shapes: B batch, M mel bands, T frames, C width, F = n_fft / 2 + 1 bins.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoders.harmonic import PitchHead, pitch_of, pulses

_LOUDEST = 100.0
_SOFT = -2.0  # where the log gains of pulses and noise begin
_QUIET = -5.0  # where the log gain of what the network writes by itself begins
_NOISE_SEED = 0


@dataclass(frozen=True)
class VocosConfig:
    """Sizes; the library's published 24 kHz model is dim 512, intermediate_dim 1536, layers 8, and has no source."""

    n_mels: int = 100
    dim: int = 256
    intermediate_dim: int = 768
    layers: int = 6
    n_fft: int = 1024
    hop: int = 256
    rate_hz: int = 24_000
    source: bool = True


class Vocoder(nn.Module):
    """(B, M, T) log-mel -> (B, T * hop) wave. Import torchaudio's shim first where its native library is missing."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        from vocos.heads import ISTFTHead
        from vocos.models import VocosBackbone

        self.config = config
        self.backbone = VocosBackbone(config.n_mels, config.dim, config.intermediate_dim, config.layers)
        self.head = ISTFTHead(config.dim, config.n_fft, config.hop, padding="same")
        self.pitch = PitchHead(config.n_mels) if config.source else None
        self.filters = nn.Linear(config.dim, 3 * (config.n_fft // 2 + 1)) if config.source else None
        if self.filters is not None:
            nn.init.normal_(self.filters.weight, std=0.02)
            bins = config.n_fft // 2 + 1
            with torch.no_grad():
                self.filters.bias.zero_().view(3, bins)[[0, 2]] = _SOFT
                self.head.out.bias[:bins] = _QUIET

    def forward(self, mel: Tensor, pitch_hz: Tensor | None = None, near_hz: Tensor | None = None) -> Tensor:
        """(B, M, T) -> (B, T * hop). `pitch_hz` (B, T), above 0 in every frame, replaces the pitch heard in the mel;
        `near_hz` (B, T), 0 where unknown, says about where to hear it."""
        x = self.backbone(mel)
        if self.pitch is None:
            return self.head(x.float())
        if pitch_hz is None:
            pitch_hz = pitch_of(self.pitch(mel), near_hz).detach()
        spectrum = self._written(x) + self._shaped(x, pitch_hz)
        return self.head.istft(spectrum)

    def _written(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, F, T), as the library's head."""
        gain, phase = self.head.out(x).float().transpose(1, 2).chunk(2, 1)
        return torch.polar(gain.exp().clamp(max=_LOUDEST), phase)

    def _shaped(self, x: Tensor, pitch_hz: Tensor) -> Tensor:
        """Filters (B, T, C) on pulses and noise -> (B, F, T)."""
        assert self.filters is not None
        voice, turn, breath = self.filters(x).float().transpose(1, 2).chunk(3, 1)
        source = pulses(pitch_hz, self.config.hop, self.config.rate_hz)
        # The same noise in every row and call: equal mels give equal waves, alone or in a batch.
        noise = torch.randn(source.shape[1], generator=torch.Generator().manual_seed(_NOISE_SEED))
        voiced = self._stft(source) / self.config.hop
        unvoiced = self._stft(noise[None].to(source)) / self.config.hop**0.5
        return voiced * torch.polar(voice.exp().clamp(max=_LOUDEST), turn) + unvoiced * breath.exp().clamp(max=_LOUDEST)

    def _stft(self, wave: Tensor) -> Tensor:
        """(B, n) -> (B, F, n // hop), framed as the head's inverse is."""
        pad = (self.config.n_fft - self.config.hop) // 2
        wave = F.pad(wave, (pad, pad))
        return torch.stft(wave, self.config.n_fft, self.config.hop, window=self.head.istft.window, center=False,
                          return_complex=True)
