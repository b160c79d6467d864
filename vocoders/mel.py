"""Log-mel spectrogram whose frames tile the wave: n samples give n // hop frames.

Shapes: B batch, n samples, M mel bands, T frames.
"""
from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

FLOOR = 1e-5

MelScale: TypeAlias = Literal["htk", "slaney"]
"""2595 log10(1 + f / 700) with triangles of height 1, or linear to 1 kHz and logarithmic above with triangles of equal
area (Slaney 1998, the default of librosa)."""

# Slaney's scale: 15 mel to 1 kHz, then 27 to each factor of 6.4.
_CORNER_HZ, _CORNER_MEL, _LOG_STEP = 1000.0, 15.0, np.log(6.4) / 27.0


def _to_mel(hz: np.ndarray, scale: MelScale) -> np.ndarray:
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    above = _CORNER_MEL + np.log(np.maximum(hz, _CORNER_HZ) / _CORNER_HZ) / _LOG_STEP
    return np.where(hz < _CORNER_HZ, hz * _CORNER_MEL / _CORNER_HZ, above)


def _to_hz(mel: np.ndarray, scale: MelScale) -> np.ndarray:
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    above = _CORNER_HZ * np.exp(_LOG_STEP * np.maximum(mel - _CORNER_MEL, 0.0))
    return np.where(mel < _CORNER_MEL, mel * _CORNER_HZ / _CORNER_MEL, above)


def mel_filters(rate_hz: int, n_fft: int, n_mels: int, low_hz: float = 0.0, high_hz: float | None = None,
                scale: MelScale = "htk") -> np.ndarray:
    """(M, n_fft // 2 + 1) triangular filters, evenly spaced on the mel scale."""
    low_mel, high_mel = _to_mel(np.array([low_hz, high_hz or rate_hz / 2]), scale)
    edges_hz = _to_hz(np.linspace(low_mel, high_mel, n_mels + 2), scale)
    bins_hz = np.linspace(0, rate_hz / 2, n_fft // 2 + 1)
    rising = (bins_hz - edges_hz[:-2, None]) / np.diff(edges_hz)[:-1, None]
    falling = (edges_hz[2:, None] - bins_hz) / np.diff(edges_hz)[1:, None]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if scale == "slaney":
        filters *= 2.0 / (edges_hz[2:, None] - edges_hz[:-2, None])
    return filters.astype(np.float32)


class LogMel(nn.Module):
    """Natural log of the mel magnitude spectrogram, floored at 1e-5 (as the Vocos front end, without its centring).

    `reflect` mirrors the wave at its ends instead of adding silence; `energy_floor` is added to the power of each bin.
    """

    filters: Tensor
    window: Tensor

    def __init__(self, rate_hz: int = 24_000, n_fft: int = 1024, hop: int = 256, n_mels: int = 100,
                 scale: MelScale = "htk", reflect: bool = False, energy_floor: float = 0.0) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.edges, self.energy_floor = "reflect" if reflect else "constant", energy_floor
        filters = torch.from_numpy(mel_filters(rate_hz, n_fft, n_mels, scale=scale))
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """(B, n) -> (B, M, n // hop); mirrored ends need n > (n_fft - hop) / 2."""
        frames = wave.shape[-1] // self.hop
        pad = self.n_fft - self.hop
        wave = F.pad(wave, (pad // 2, pad - pad // 2), mode=self.edges)
        spectrum = torch.stft(wave, self.n_fft, self.hop, window=self.window, center=False, return_complex=True)
        magnitude = spectrum.abs()
        if self.energy_floor:
            magnitude = torch.sqrt(magnitude.square() + self.energy_floor)
        return torch.log(torch.clamp(self.filters @ magnitude[..., :frames], min=FLOOR))


def bigvgan_front_end() -> LogMel:
    """The mel of the published 22 kHz BigVGAN-v2, and of IndexTTS-2: 80 bands, 86.13 frames a second."""
    return LogMel(22_050, 1024, 256, 80, scale="slaney", reflect=True, energy_floor=1e-9)
