"""Log-mel spectrogram whose frames tile the wave: n samples give n // hop frames.

Shapes: B batch, n samples, M mel bands, T frames.
"""
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

FLOOR = 1e-5


def mel_filters(rate_hz: int, n_fft: int, n_mels: int, low_hz: float = 0.0, high_hz: float | None = None) -> np.ndarray:
    """(M, n_fft // 2 + 1) triangular filters, evenly spaced on the HTK mel scale 2595 log10(1 + f / 700)."""

    def mel(hz: float) -> float:
        return 2595.0 * np.log10(1.0 + hz / 700.0)

    edges_mel = np.linspace(mel(low_hz), mel(high_hz or rate_hz / 2), n_mels + 2)
    edges_hz = 700.0 * (10.0 ** (edges_mel / 2595.0) - 1.0)
    bins_hz = np.linspace(0, rate_hz / 2, n_fft // 2 + 1)
    rising = (bins_hz - edges_hz[:-2, None]) / np.diff(edges_hz)[:-1, None]
    falling = (edges_hz[2:, None] - bins_hz) / np.diff(edges_hz)[1:, None]
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


class LogMel(nn.Module):
    """Natural log of the mel magnitude spectrogram, floored at 1e-5 (as the Vocos front end, without its centring)."""

    filters: Tensor
    window: Tensor

    def __init__(self, rate_hz: int = 24_000, n_fft: int = 1024, hop: int = 256, n_mels: int = 100) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("filters", torch.from_numpy(mel_filters(rate_hz, n_fft, n_mels)), persistent=False)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """(B, n) -> (B, M, n // hop)."""
        frames = wave.shape[-1] // self.hop
        pad = self.n_fft - self.hop
        wave = F.pad(wave, (pad // 2, pad - pad // 2))
        spectrum = torch.stft(wave, self.n_fft, self.hop, window=self.window, center=False, return_complex=True)
        return torch.log(torch.clamp(self.filters @ spectrum.abs()[..., :frames], min=FLOOR))
