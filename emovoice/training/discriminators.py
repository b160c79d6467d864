"""Thin multi-period and multi-resolution discriminators, for training a vocoder on a small machine.

Structure after HiFi-GAN (Kong 2020) and UnivNet (Jang 2021), with an eighth of their channels: two cores spend most
of a vocoder's training time in the discriminators.
"""
from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

Scores = tuple[list[Tensor], list[list[Tensor]]]  # one score map and one list of feature maps per discriminator
_SLOPE = 0.1


class _Stack(nn.Module):
    """2-D convolutions with leaky ReLU; returns the score map and the features before it."""

    def __init__(self, convs: list[nn.Conv2d], last: nn.Conv2d) -> None:
        super().__init__()
        self.convs = nn.ModuleList(weight_norm(conv) for conv in convs)
        self.last = weight_norm(last)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), _SLOPE)
            features.append(x)
        return self.last(x).flatten(1), features


class Period(nn.Module):
    """Looks at every `period`-th sample."""

    def __init__(self, period: int, channels: tuple[int, ...] = (1, 16, 32, 64, 64)) -> None:
        super().__init__()
        self.period = period
        convs = [nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0)) for a, b in pairwise(channels)]
        self.stack = _Stack(convs, nn.Conv2d(channels[-1], 1, (3, 1), 1, (1, 0)))

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        pad = -wave.shape[-1] % self.period
        x = F.pad(wave[:, None], (0, pad), mode="reflect")
        return self.stack(x.unflatten(-1, (-1, self.period)))


class Resolution(nn.Module):
    """Looks at the magnitude spectrogram of one window size."""

    window: Tensor

    def __init__(self, n_fft: int, channels: int = 16) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        convs = [nn.Conv2d(1, channels, (7, 3), (2, 1), (3, 1)),
                 nn.Conv2d(channels, channels, (5, 3), (2, 1), (2, 1)),
                 nn.Conv2d(channels, channels, (5, 3), (2, 2), (2, 1)),
                 nn.Conv2d(channels, channels, (3, 3), (2, 1), (1, 1))]
        self.stack = _Stack(convs, nn.Conv2d(channels, 1, 3, 1, 1))

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        spectrum = torch.stft(wave.float(), self.n_fft, self.n_fft // 4, window=self.window, return_complex=True)
        return self.stack(torch.log(spectrum.abs().clamp(min=1e-5))[:, None])


class Discriminators(nn.Module):
    """Five periods and three resolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.ModuleList([*(Period(p) for p in (2, 3, 5, 7, 11)), *(Resolution(n) for n in (512, 1024, 2048))])

    def forward(self, wave: Tensor) -> Scores:
        """(B, n) -> score maps and feature maps of every discriminator."""
        scores, features = zip(*(d(wave) for d in self.all), strict=True)
        return list(scores), list(features)


def discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Hinge loss as in Vocos (section 3.4), mean over discriminators."""
    terms = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def generator_loss(fake: list[Tensor]) -> Tensor:
    """Hinge loss of the generator, mean over discriminators."""
    return torch.stack([F.relu(1 - f).mean() for f in fake]).mean()


def feature_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """Mean L1 distance of feature maps, mean over discriminators and layers."""
    terms = [F.l1_loss(f, r.detach()) for rs, fs in zip(real, fake, strict=True) for r, f in zip(rs, fs, strict=True)]
    return torch.stack(terms).mean()
