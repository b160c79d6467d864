"""Mel to wave by the Vocos library's backbone and inverse-STFT head (Siuzdak 2023, arXiv 2306.00814).

With a source (harmonic.py) the spectrum is the sum of three: pulses at the mel's pitch and white noise, each shaped by
the network, and what the network writes by itself, as Vocos does.

Shapes: B batch, M mel bands, T frames, C width, F = n_fft / 2 + 1 bins.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoders.harmonic import PitchHead, pitch_of, pulses

_LOUDEST = 100.0
_SOFT = -2.0  # where the log gains of pulses and noise begin
_QUIET = -5.0  # where the log gain of what the network writes by itself begins
_NOISE_SAMPLES = 2**18  # 11 s, then it starts again


@cache
def _noise() -> Tensor:
    return torch.randn(_NOISE_SAMPLES, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class VocosConfig:
    """Sizes; the library's published 24 kHz model is dim 512, intermediate_dim 1536, layers 8, and has no source.

    `hush` takes noise back under the voice, in nepers where pulses are much the louder; 0 leaves it as learned.
    """

    n_mels: int = 100
    dim: int = 256
    intermediate_dim: int = 768
    layers: int = 6
    n_fft: int = 1024
    hop: int = 256
    rate_hz: int = 24_000
    source: bool = True
    hush: float = 0.0


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

    def forward(self, mel: Tensor, pitch_hz: Tensor | None = None, turn: float = 0.0, first: int = 0) -> Tensor:
        """(B, M, T) -> (B, T * hop). `pitch_hz` (B, T), above 0 in every frame, replaces the pitch heard in the mel.

        Where the mel is a window of a longer one, `first` is its first frame there, and `turn` how many periods of the
        pitch have passed before it: pulses and noise go on.
        """
        x = self.backbone(mel)
        if self.pitch is None:
            return self.head(x.float())
        pitch_hz = self.hear_pitch(mel) if pitch_hz is None else pitch_hz
        spectrum = self._written(x) + self._shaped(x, pitch_hz, turn, first)
        return self.head.istft(spectrum)

    def hear_pitch(self, mel: Tensor, near_hz: Tensor | None = None) -> Tensor:
        """(B, M, T) -> (B, T) Hz, of a model with a source. `near_hz` (B, T), 0 where unknown, says about where."""
        assert self.pitch is not None
        return pitch_of(self.pitch(mel), near_hz).detach()

    def _written(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, F, T), as the library's head."""
        gain, phase = self.head.out(x).float().transpose(1, 2).chunk(2, 1)
        return torch.polar(gain.exp().clamp(max=_LOUDEST), phase)

    def _shaped(self, x: Tensor, pitch_hz: Tensor, turn: float, first: int) -> Tensor:
        """Filters (B, T, C) on pulses and noise -> (B, F, T)."""
        assert self.filters is not None
        voice, angle, breath = self.filters(x).float().transpose(1, 2).chunk(3, 1)
        if self.config.hush and not self.training:
            # A vocoder that has not learned long fills what it is not sure of with hiss.
            breath = breath - self.config.hush * torch.sigmoid(2 * (voice - breath))
        source = pulses(pitch_hz, self.config.hop, self.config.rate_hz, turn)
        # The same noise in every row and call: equal mels give equal waves, alone or in a batch.
        place = first * self.config.hop + torch.arange(source.shape[1])
        noise = _noise()[place % _NOISE_SAMPLES]
        voiced = self._stft(source) / self.config.hop
        unvoiced = self._stft(noise[None].to(source)) / self.config.hop**0.5
        voice_gain, breath_gain = (gain.exp().clamp(max=_LOUDEST) for gain in (voice, breath))
        return voiced * torch.polar(voice_gain, angle) + unvoiced * breath_gain

    def _stft(self, wave: Tensor) -> Tensor:
        """(B, n) -> (B, F, n // hop), framed as the head's inverse is."""
        pad = (self.config.n_fft - self.config.hop) // 2
        wave = F.pad(wave, (pad, pad))
        return torch.stft(wave, self.config.n_fft, self.config.hop, window=self.head.istft.window, center=False,
                          return_complex=True)
