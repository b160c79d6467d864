"""Source for a vocoder: the pitch of a mel, and the pulses that a voice of that pitch would give.

A network that predicts the phase of every harmonic needs days of training; one that shapes pulses whose phase is right
already needs minutes. The idea is the neural source-filter model's (Wang 2019, arXiv 1904.12088) and, with an inverse
STFT, HiFTNet's (Li 2023, arXiv 2309.09493).

Shapes: B batch, M mel bands, T frames, C width, P pitch classes, n = T * hop samples.
"""
from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOW_HZ, HIGH_HZ = 50.0, 650.0
CLASSES = 180  # 25 cents apart
_STEP = math.log(HIGH_HZ / LOW_HZ) / (CLASSES - 1)
_REACH = 20
_NEIGHBOURS = 4  # classes on each side of the best that the expectation is taken over


class PitchHead(nn.Module):
    """Mel -> logits over pitch classes from 50 to 650 Hz, evenly spaced in log frequency."""

    def __init__(self, n_mels: int, dim: int = 128) -> None:
        super().__init__()
        self.enter = nn.Conv1d(n_mels, dim, 5, padding=2)
        self.blocks = nn.ModuleList(nn.Conv1d(dim, dim, 5, padding=2) for _ in range(4))
        self.norms = nn.ModuleList(nn.GroupNorm(1, dim) for _ in range(4))
        self.leave = nn.Conv1d(dim, CLASSES, 1)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, M, T) -> (B, P, T)."""
        x = self.enter(mel)
        for conv, norm in zip(self.blocks, self.norms, strict=True):
            x = x + F.gelu(conv(norm(x)))
        return self.leave(x)


def pitch_of(logits: Tensor, near_hz: Tensor | None = None) -> Tensor:
    """(B, P, T) -> (B, T) Hz: the expectation around the best class, finer than the classes are apart.

    Where `near_hz` (B, T) is above 0, the best class is looked for within five semitones of it: whoever knows the
    melody about keeps the head from jumping an octave.
    """
    classes = torch.arange(CLASSES, device=logits.device)[:, None]
    if near_hz is not None:
        place = torch.log(near_hz.clamp(LOW_HZ, HIGH_HZ) / LOW_HZ)[:, None] / _STEP
        far = (classes - place).abs() > _REACH
        logits = logits.masked_fill(far & (near_hz > 0)[:, None], -torch.inf)
    best = logits.argmax(1, keepdim=True)
    near = (classes - best).abs() <= _NEIGHBOURS
    share = logits.float().masked_fill(~near, -torch.inf).softmax(1)
    return LOW_HZ * torch.exp((share * classes).sum(1) * _STEP)


def pitch_loss(logits: Tensor, pitch_hz: Tensor) -> Tensor:
    """Cross entropy with the pitch (B, T) shared between its two nearest classes; frames of pitch 0 do not count."""
    place = torch.log(pitch_hz.clamp(LOW_HZ, HIGH_HZ) / LOW_HZ) / _STEP
    low = place.floor().long().clamp(max=CLASSES - 2)
    part = place - low
    log_share = logits.float().log_softmax(1)
    picked = [log_share.gather(1, (low + i)[:, None])[:, 0] for i in (0, 1)]
    loss = -(1 - part) * picked[0] - part * picked[1]
    voiced = pitch_hz > 0
    return (loss * voiced).sum() / voiced.sum().clamp(min=1)


def turns(pitch_hz: Tensor, hop: int, rate_hz: int) -> Tensor:
    """Pitch (B, T) -> (B, T * hop): how many periods have passed at the end of each sample, float64."""
    samples = pitch_hz.shape[1] * hop
    hz = F.interpolate(pitch_hz[:, None].double(), size=samples, mode="linear")[:, 0]
    return torch.cumsum(hz / rate_hz, 1)


def pulses(pitch_hz: Tensor, hop: int, rate_hz: int, turn: float = 0.0) -> Tensor:
    """Pitch (B, T) -> (B, T * hop): the sum of all harmonics below half the rate, each a cosine of amplitude 1.

    `turn` periods have passed before. sum_{k=1..N} cos(k phi) = (sin((N + 1/2) phi) / sin(phi / 2) - 1) / 2, the
    Dirichlet kernel.
    """
    passed = turns(pitch_hz, hop, rate_hz)
    phi = 2 * torch.pi * ((passed + turn) % 1.0)
    hz = F.interpolate(pitch_hz[:, None].double(), size=passed.shape[1], mode="linear")[:, 0]
    count = torch.floor(rate_hz / 2 / hz)
    below = torch.sin(phi / 2)
    at_pulse = below.abs() < 1e-6
    ratio = torch.sin((count + 0.5) * phi) / below.masked_fill(at_pulse, 1.0)
    return ((torch.where(at_pulse, 2 * count + 1, ratio) - 1) / 2).float()
