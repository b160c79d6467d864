"""Score network of emotion conversion: EmoReg's and EmoConv-Diff's diffusion (arXiv 2412.20359, 2309.07828).

The diffusion reverts to Xbar, the mel that the average voice would give the phones: words without a speaker, an emotion
or a melody. Melody is therefore given beside it, as pitch and level; who speaks and how are the timbre and emotion
vectors. Both may be hidden in training, each by itself, so that each has a guidance weight of its own.

The network says v = alpha eps - sigma y_0 of y = x - Xbar (Salimans & Ho, arXiv 2202.00512), since an estimate of eps
alone says nothing about y_0 near t = 1. From it follow eps = sigma y + alpha v, the score -eps / sigma, and the
one-step estimate y_0 = alpha y - sigma v. Loss: |sigma s + eps|^2 + (1 - t^2) |x_0 - x0hat|_1.

To convert a recording rather than to say its words again, its mel is first led to noise along the ODE, under what is
known about the recording, and back under what is wanted: what no condition tells stays (Su et al., arXiv 2203.08382).

Shapes: B batch, M mel bands, T frames, F frames of phone posteriors, P phones, S timbre, E emotion, C width.
"""
from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion import solvers
from diffusion.regulator import PITCH_FEATURES, pitch_features
from diffusion.schedule import Schedule
from diffusion.unet import TimeFeatures, UNet

_RATE_HZ = 24_000
_COMB_POINTS = 8  # per band
_LOBE_HZ = 40.0  # half width of a harmonic in the mel's window
_COMB_FLOOR = 0.05
_EDGE_T = 1e-5
FULL = (1.0, 1.0)


@dataclass(frozen=True)
class EmoRegConfig:
    """`network` "conv" is one-dimensional, fast on a CPU, and uses `depth`; "unet" is Grad-TTS's and uses `mults` and
    `conditions`, the image channels of timbre and emotion. DiffVC's has dim 256, mults 1-2-4, conditions 128.

    `keep` (0..1) is how much of the recording's own noise a conversion starts from, `guidance` the weights of timbre
    and emotion (1: as learned).
    """

    mels: int = 100
    network: str = "conv"
    dim: int = 192
    depth: int = 8
    mults: tuple[int, ...] = (1, 2, 4)
    conditions: int = 16
    timbre_dim: int = 192
    emotion_dim: int = 256
    phones: int = 68
    mel_mean: float = -5.5
    mel_std: float = 2.6
    drop_timbre: float = 0.1
    drop_emotion: float = 0.1
    solver: str = "dpm"
    steps: int = 8
    keep: float = 1.0
    guidance: tuple[float, ...] = FULL


@dataclass
class Known:
    """What the network is told: Xbar (B, M, T) in its scale, pitch in Hz (B, T) with 0 for none, level (B, T) about
    -1..1, timbre (B, S), emotion (B, 1, E) or, where it changes, (B, T, E)."""

    mean: Tensor
    pitch_hz: Tensor
    level: Tensor
    timbre: Tensor
    emotion: Tensor

    def without(self, timbre: bool = False, emotion: bool = False) -> Known:
        """With a vector hidden."""
        hidden = {"timbre": torch.zeros_like(self.timbre)} if timbre else {}
        if emotion:
            hidden["emotion"] = torch.zeros_like(self.emotion)
        return replace(self, **hidden)


def stacked(*all_known: Known) -> Known:
    """Batches one after the other."""
    parts = ("mean", "pitch_hz", "level", "timbre", "emotion")
    return Known(*(torch.cat([getattr(known, name) for known in all_known]) for name in parts))


class Comb(nn.Module):
    """Where the harmonics of a pitch lie in a mel: what a small network needs long to learn."""

    points: Tensor

    def __init__(self, mels: int) -> None:
        super().__init__()
        top = 2595.0 * math.log10(1.0 + _RATE_HZ / 2 / 700.0)
        place = (torch.arange(mels)[:, None] + 0.5 + torch.arange(_COMB_POINTS) / _COMB_POINTS) * top / (mels + 1)
        self.register_buffer("points", 700.0 * (10.0 ** (place / 2595.0) - 1.0), persistent=False)

    def forward(self, pitch_hz: Tensor) -> Tensor:
        """(B, T) Hz, 0 unvoiced -> (B, M, T), about -1..1; 0 where unvoiced."""
        pitch = pitch_hz.clamp(min=40.0)[:, None, :, None]
        order = (self.points[None, :, None] / pitch).round().clamp(min=1)
        away_hz = self.points[None, :, None] - order * pitch
        lobes = torch.exp(-((away_hz / _LOBE_HZ) ** 2)).mean(-1)
        return (torch.log(lobes + _COMB_FLOOR) / 1.5 + 1) * (pitch_hz > 0)[:, None]


class StyledBlock(nn.Module):
    """ConvNeXt block whose input is scaled and shifted by the condition."""

    def __init__(self, dim: int, dilation: int, kernel: int = 7) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(dim, dim, kernel, padding=dilation * (kernel // 2), dilation=dilation, groups=dim)
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.style = nn.Linear(dim, 2 * dim)
        self.up, self.down = nn.Linear(dim, 3 * dim), nn.Linear(3 * dim, dim)
        self.gamma = nn.Parameter(0.3 * torch.ones(dim))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, T, C), (B, 1 or T, C) -> (B, T, C)."""
        scale, shift = self.style(condition).chunk(2, -1)
        y = self.norm(self.depthwise(x.transpose(1, 2)).transpose(1, 2))
        return x + self.gamma * self.down(F.gelu(self.up(y * (1 + scale) + shift)))


class _Conditions(nn.Module):
    """Timbre and emotion to one width: (B, S), (B, 1 or T, E) -> (B, 1 or T, C)."""

    def __init__(self, config: EmoRegConfig, width: int) -> None:
        super().__init__()
        self.timbre, self.emotion = nn.Linear(config.timbre_dim, width), nn.Linear(config.emotion_dim, width)
        self.loudness = math.sqrt(config.timbre_dim)  # a vector of unit length has tiny numbers

    def forward(self, known: Known) -> Tensor:
        return self.timbre(self.loudness * known.timbre)[:, None] + self.emotion(known.emotion)


def _melody(known: Known) -> Tensor:
    """(B, T, 15)."""
    return torch.cat([pitch_features(known.pitch_hz), known.level[..., None]], -1)


class ConvScore(nn.Module):
    """One-dimensional network: frames are vectors of M bands."""

    def __init__(self, config: EmoRegConfig) -> None:
        super().__init__()
        dim = config.dim
        self.comb = Comb(config.mels)
        self.conditions = _Conditions(config, dim)
        self.time = nn.Sequential(TimeFeatures(128), nn.Linear(128, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.enter = nn.Linear(3 * config.mels + PITCH_FEATURES + 1, dim)
        self.blocks = nn.ModuleList(StyledBlock(dim, 2 ** (i % 3)) for i in range(config.depth))
        self.leave = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, config.mels))

    def forward(self, x: Tensor, t: Tensor, known: Known) -> Tensor:
        """(B, M, T), (B,) -> (B, M, T)."""
        images = torch.cat([x, known.mean, self.comb(known.pitch_hz)], 1).transpose(1, 2)
        condition = F.silu(self.conditions(known) + self.time(t)[:, None])
        hidden = self.enter(torch.cat([images, _melody(known)], -1))
        for block in self.blocks:
            hidden = block(hidden, condition)
        return self.leave(hidden).transpose(1, 2)


class ImageScore(nn.Module):
    """Two-dimensional network: noisy mel, Xbar, harmonics, melody and conditions are image channels, as DiffVC's."""

    def __init__(self, config: EmoRegConfig) -> None:
        super().__init__()
        self.comb = Comb(config.mels)
        self.melody = nn.Linear(PITCH_FEATURES + 1, config.mels)
        self.conditions = _Conditions(config, config.conditions)
        self.mix = nn.Sequential(nn.Mish(), nn.Linear(config.conditions, config.conditions))
        self.unet = UNet(4 + config.conditions, config.dim, config.mults)

    def forward(self, x: Tensor, t: Tensor, known: Known) -> Tensor:
        """(B, M, T), (B,) -> (B, M, T)."""
        melody = self.melody(_melody(known)).transpose(1, 2)
        images = torch.stack([x, known.mean, self.comb(known.pitch_hz), melody], 1)
        condition = self.mix(self.conditions(known)).transpose(1, 2)[:, :, None]
        return self.unet(torch.cat([images, condition.expand(-1, -1, *x.shape[1:])], 1), t)


NETWORKS = {"conv": ConvScore, "unet": ImageScore}


class EmoReg(nn.Module):
    """Content means, schedule and score network."""

    means: Tensor

    def __init__(self, config: EmoRegConfig) -> None:
        super().__init__()
        if config.network not in NETWORKS or config.solver not in solvers.SOLVERS or len(config.guidance) != 2:
            raise ValueError(f"no such network, solver or guidance: {config}")
        self.config = config
        self.schedule = Schedule()
        self.register_buffer("means", torch.full((config.phones, config.mels), config.mel_mean))
        self.network = NETWORKS[config.network](config)

    def normalise(self, mel: Tensor) -> Tensor:
        """Log-mel to the network's scale."""
        return (mel - self.config.mel_mean) / self.config.mel_std

    def denormalise(self, x: Tensor) -> Tensor:
        """The network's scale to log-mel."""
        return x * self.config.mel_std + self.config.mel_mean

    def content(self, posteriors: Tensor) -> Tensor:
        """Phone posteriors (B, T, P) -> Xbar (B, M, T) in the network's scale: the mean mel of each phone, mixed as
        they are believed. Soft, so that a doubtful phone is no jump."""
        return self.normalise(posteriors @ self.means).transpose(1, 2)

    def loss(self, mel: Tensor, known: Known, mask: Tensor) -> dict[str, Tensor]:
        """Score matching and reconstruction of log-mel (B, M, T), mean over frames of the mask (B, T)."""
        y0 = self.normalise(mel) - known.mean
        batch = len(y0)
        t = torch.rand(batch, device=mel.device).clamp(_EDGE_T, 1 - _EDGE_T)
        alpha, sigma = self.schedule.marginal(t)
        eps = torch.randn_like(y0)
        y = alpha * y0 + sigma * eps
        v = self.network(known.mean + y, t, self._with_some_hidden(known))
        score = (sigma * y + alpha * v - eps) ** 2
        reconstruction = (1 - t[:, None, None] ** 2) * (alpha * y - sigma * v - y0).abs()
        count = mask.sum().clamp(min=1) * y0.shape[1]
        return {"score": (score * mask[:, None]).sum() / count, "mel": (reconstruction * mask[:, None]).sum() / count}

    def _with_some_hidden(self, known: Known) -> Known:
        """Timbre and emotion hidden in a share of the batch, each by itself."""
        batch, device = len(known.mean), known.mean.device
        timbre = torch.rand(batch, 1, device=device) >= self.config.drop_timbre
        emotion = torch.rand(batch, 1, 1, device=device) >= self.config.drop_emotion
        return replace(known, timbre=known.timbre * timbre, emotion=known.emotion * emotion)

    def estimate(self, x: Tensor, t: float, known: Known, guidance: tuple[float, ...] = FULL) -> Tensor:
        """E[x_0 - Xbar | x_t = x] (B, M, T), guided: n + w_t (with timbre - n) + w_e (with both - with timbre), n with
        neither. With weights of 1 the network runs once, with a timbre weight of 1 twice."""
        return self.estimates(x, t, known, guidance).value(x, known.mean)

    def estimates(self, x: Tensor, t: float, known: Known, guidance: tuple[float, ...] = FULL) -> solvers.Mix:
        """`estimate` before its branches are added up."""
        of_timbre, of_emotion = guidance
        variants = [known]
        weights = [of_emotion]
        if of_emotion != 1 or of_timbre != 1:
            variants.append(known.without(emotion=True))
            weights.append(of_timbre - of_emotion)
        if of_timbre != 1:
            variants.append(known.without(timbre=True, emotion=True))
            weights.append(1 - of_timbre)
        times = torch.full((len(x) * len(variants),), t, device=x.device)
        v = self.network(x.repeat(len(variants), 1, 1), times, stacked(*variants))
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        return solvers.Mix(v.unflatten(0, (len(variants), -1)), tuple(-sigma * w for w in weights), alpha, -alpha)

    @torch.inference_mode()
    def sample(self, known: Known, noise: Tensor, solver: str | None = None, steps: int | None = None,
               guidance: tuple[float, ...] | None = None, seed: int = 0) -> Tensor:
        """From Xbar + noise (B, M, T) to log-mel (B, M, T); None means the configuration's. The seed is the SDE's."""
        config = self.config
        weights = config.guidance if guidance is None else guidance
        times, plan = solvers.planned(solver or config.solver, self.schedule, steps or config.steps)
        x = solvers.solve(known.mean + noise, lambda x, t: self.estimates(x, t, known, weights), times, plan,
                          known.mean, torch.Generator().manual_seed(seed))
        return self.denormalise(x)

    @torch.inference_mode()
    def noise_of(self, mel: Tensor, known: Known, steps: int | None = None) -> Tensor:
        """The noise (B, M, T) from which `sample` without guidance makes this log-mel again, nearly."""
        times, plan = solvers.planned_back(self.schedule, steps or self.config.steps)
        x = self.normalise(mel)
        return solvers.solve(x, lambda x, t: self.estimates(x, t, known), times, plan, known.mean) - known.mean
