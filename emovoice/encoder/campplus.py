"""CAM++ speaker encoder (Wang 2023, arXiv 2303.00332) and its front end: a recording -> 192 numbers.

Names and shapes follow the published `campplus_cn_common.bin`. Shapes: B batch, M mel bands, T frames at 100 Hz,
C channels.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RATE_HZ = 16_000

_FRAME_SAMPLES, _HOP_SAMPLES, _FFT_SAMPLES = 400, 160, 512
_HEAD_CHANNELS = 32
_SEGMENT_FRAMES = 100
_BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers, dilation


@dataclass(frozen=True)
class CampPlusConfig:
    """As published."""

    feat_dim: int = 80
    embedding_size: int = 192
    growth_rate: int = 32
    bn_size: int = 4
    init_channels: int = 128


def fbank(wave: Tensor, bands: int = 80) -> Tensor:
    """(n,) at 16 kHz, in -1..1 -> (T, M) Kaldi's log mel filter bank without dither, less its mean over time.

    torchaudio's `kaldi.fbank`, but for the spectrum in double precision: bands far below the loud ones are rounding
    noise of the transform otherwise, and another on every processor.
    """
    from torchaudio.compliance import kaldi

    frames = wave.unfold(0, _FRAME_SAMPLES, _HOP_SAMPLES)
    frames = frames - frames.mean(1, keepdim=True)
    before = torch.cat([frames[:, :1], frames[:, :-1]], 1)
    window = torch.hann_window(_FRAME_SAMPLES, periodic=False, device=wave.device) ** 0.85  # Kaldi's "povey"
    spectrum = torch.fft.rfft(((frames - 0.97 * before) * window).double(), _FFT_SAMPLES)
    filters = kaldi.get_mel_banks(bands, _FFT_SAMPLES, float(RATE_HZ), 20.0, 0.0, 100.0, -500.0, 1.0)[0]
    power = spectrum.abs().square()[:, :-1].float() @ filters.to(wave.device).T
    features = power.clamp(min=torch.finfo(torch.float32).eps).log()
    return features - features.mean(0, keepdim=True)


class NormRelu(nn.Sequential):
    """Batch norm and ReLU; the norm is called `batchnorm`. Without weights there is no ReLU either."""

    def __init__(self, channels: int, affine: bool = True) -> None:
        super().__init__()
        self.add_module("batchnorm", nn.BatchNorm1d(channels, affine=affine))
        if affine:
            self.add_module("relu", nn.ReLU())


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions over (bands, frames); `stride` on the bands."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, (stride, 1), 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        shortcut = (nn.Conv2d(channels, channels, 1, (stride, 1), bias=False), nn.BatchNorm2d(channels))
        self.shortcut = nn.Sequential(*(shortcut if stride > 1 else ()))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, M, T) -> (B, C, M / stride, T)."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class Head(nn.Module):
    """(B, T, M) -> (B, 32 * M / 8, T): bands become channels."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        width = _HEAD_CHANNELS
        self.conv1, self.bn1 = nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.layer1 = nn.Sequential(ResidualBlock(width, 2), ResidualBlock(width, 1))
        self.layer2 = nn.Sequential(ResidualBlock(width, 2), ResidualBlock(width, 1))
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, (2, 1), 1, bias=False), nn.BatchNorm2d(width)
        self.channels = width * (bands // 8)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, M) -> (B, C, T)."""
        x = F.relu(self.bn1(self.conv1(x.transpose(1, 2)[:, None])))
        x = self.layer2(self.layer1(x))
        return F.relu(self.bn2(self.conv2(x))).flatten(1, 2)


class ContextMask(nn.Module):
    """Context-aware masking: a convolution, gated by the mean of the whole and of the segment of 100 frames."""

    def __init__(self, n_in: int, n_out: int, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(n_in, n_out, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(n_in, n_in // 2, 1)
        self.linear2 = nn.Conv1d(n_in // 2, n_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C', T)."""
        segments = F.avg_pool1d(x, _SEGMENT_FRAMES, _SEGMENT_FRAMES, ceil_mode=True)
        context = x.mean(-1, keepdim=True) + segments.repeat_interleave(_SEGMENT_FRAMES, -1)[..., : x.shape[-1]]
        return self.linear_local(x) * torch.sigmoid(self.linear2(F.relu(self.linear1(context))))


class DenseLayer(nn.Module):
    """Bottleneck and context mask; what it finds is added to the channels (Huang 2017)."""

    def __init__(self, n_in: int, config: CampPlusConfig, dilation: int) -> None:
        super().__init__()
        inner = config.bn_size * config.growth_rate
        self.nonlinear1, self.linear1 = NormRelu(n_in), nn.Conv1d(n_in, inner, 1, bias=False)
        self.nonlinear2 = NormRelu(inner)
        self.cam_layer = ContextMask(inner, config.growth_rate, dilation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C + growth_rate, T)."""
        return torch.cat([x, self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))], 1)


class Linear(nn.Module):
    """A convolution without bias, with norm and ReLU before it (`first`) or behind."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 1, stride: int = 1, first: bool = False,
                 affine: bool = True) -> None:
        super().__init__()
        self.linear = nn.Conv1d(n_in, n_out, kernel, stride, kernel // 2, bias=False)
        self.nonlinear = NormRelu(n_in if first else n_out, affine)
        self.first = first

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C', T')."""
        return self.linear(self.nonlinear(x)) if self.first else self.nonlinear(self.linear(x))


def dense_block(n_in: int, layers: int, config: CampPlusConfig, dilation: int) -> nn.Sequential:
    """`layers` dense layers called tdnnd1, tdnnd2, ..."""
    block = nn.Sequential()
    for i in range(layers):
        block.add_module(f"tdnnd{i + 1}", DenseLayer(n_in + i * config.growth_rate, config, dilation))
    return block


class CampPlus(nn.Module):
    """Filter bank -> speaker embedding. Call it in evaluation mode."""

    def __init__(self, config: CampPlusConfig) -> None:
        super().__init__()
        self.config = config
        self.head = Head(config.feat_dim)
        channels = config.init_channels
        self.xvector = nn.Sequential()
        self.xvector.add_module("tdnn", Linear(self.head.channels, channels, 5, 2))
        for i, (layers, dilation) in enumerate(_BLOCKS, 1):
            self.xvector.add_module(f"block{i}", dense_block(channels, layers, config, dilation))
            channels += layers * config.growth_rate
            self.xvector.add_module(f"transit{i}", Linear(channels, channels // 2, first=True))
            channels //= 2
        self.xvector.add_module("out_nonlinear", NormRelu(channels))
        self.xvector.add_module("stats", MeanAndDeviation())
        self.xvector.add_module("dense", Linear(2 * channels, config.embedding_size, affine=False))

    @torch.inference_mode()
    def forward(self, features: Tensor) -> Tensor:
        """(B, T, M) of `fbank` -> (B, embedding_size); T >= 3."""
        return self.xvector(self.head(features))[..., 0]


class MeanAndDeviation(nn.Module):
    """(B, C, T) -> (B, 2C, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        """Mean and unbiased standard deviation over time."""
        return torch.cat([x.mean(-1), x.std(-1)], -1)[..., None]
