"""BigVGAN-v2 (Lee 2023, arXiv 2206.04658): mel to wave with periodic, anti-aliased activations.

Names and shapes follow the published `bigvgan_generator.pt` of the 22 kHz, 80 band, 256x model.
Shapes: B batch, M mel bands, T frames or samples, C channels.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoders.kernels import activation, reference

FILTER_TAPS = reference.TAPS


@dataclass(frozen=True)
class BigVganConfig:
    """As published."""

    num_mels: int = 80
    upsample_initial_channel: int = 1536
    upsample_rates: tuple[int, ...] = (4, 4, 2, 2, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (8, 8, 4, 4, 4, 4)
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.upsample_rates)


class NormedConv(nn.Module):
    """Weight-normed convolution with the published names; `transposed` for one that raises the rate."""

    def __init__(self, n_in: int, n_out: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1,
                 transposed: bool = False, bias: bool = True) -> None:
        super().__init__()
        kind = nn.ConvTranspose1d if transposed else nn.Conv1d
        layer = kind(n_in, n_out, kernel, stride, padding, dilation=dilation, bias=bias)
        weight = layer.weight.detach()
        self.weight_g = nn.Parameter(weight.norm(dim=(1, 2), keepdim=True))
        self.weight_v = nn.Parameter(weight.clone())
        self.bias = layer.bias
        self.stride, self.padding, self.dilation, self.transposed = stride, padding, dilation, transposed
        self._fused: nn.Parameter | None = None

    def weight(self) -> Tensor:
        """The normalised weight."""
        if self._fused is not None:
            return self._fused
        return self.weight_g * self.weight_v / torch.linalg.vector_norm(self.weight_v, dim=(1, 2), keepdim=True)

    def fuse(self) -> None:
        """Keep the normalised weight in place of its two factors."""
        if self._fused is None:
            self._fused = nn.Parameter(self.weight().detach(), requires_grad=False)
            del self.weight_g, self.weight_v

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C', T')."""
        if self.transposed:
            return F.conv_transpose1d(x, self.weight(), self.bias, self.stride, self.padding)
        return F.conv1d(x, self.weight(), self.bias, self.stride, self.padding, self.dilation)


def lowpass(cutoff: float = 0.25, half_width: float = 0.3, taps: int = FILTER_TAPS) -> Tensor:
    """(1, 1, taps) Kaiser-windowed sinc of unit gain at 0 Hz; frequencies as a share of the sample rate.

    Window by Kaiser's formulas: A = 2.285 (taps / 2 - 1) pi d + 7.95 dB for a transition of d = 4 half_width.
    """
    half = taps // 2
    attenuation_db = 2.285 * (half - 1) * math.pi * 4 * half_width + 7.95
    if attenuation_db > 50:
        beta = 0.1102 * (attenuation_db - 8.7)
    else:
        beta = 0.5842 * max(0.0, attenuation_db - 21) ** 0.4 + 0.07886 * max(0.0, attenuation_db - 21)
    window = torch.kaiser_window(taps, beta=beta, periodic=False)
    taps_ = 2 * cutoff * window * torch.sinc(2 * cutoff * (torch.arange(-half, half) + 0.5))
    return (taps_ / taps_.sum())[None, None]


class Upsample(nn.Module):
    """Twice the rate."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", lowpass())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, 2T)."""
        return reference.upsampled(x, self.filter)


class Lowpass(nn.Module):
    """Filters, and keeps every second sample."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", lowpass())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 2T) -> (B, C, T)."""
        return reference.lowpassed(x, self.filter)


class SnakeBeta(nn.Module):
    """x + sin(a x)^2 / b with a = exp(alpha), b = exp(beta) of each channel (Ziyin 2020, arXiv 2006.08195)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.zeros(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        return reference.snake(x, self.alpha, self.beta)


class Activation(nn.Module):
    """Snake at twice the rate, so that what it makes beyond half the sample rate does not fold back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = SnakeBeta(channels)
        self.upsample = Upsample()
        self.downsample = nn.ModuleDict({"lowpass": Lowpass()})

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        down: Tensor = self.downsample["lowpass"].filter  # type: ignore[assignment]
        return activation(x, self.act.alpha, self.act.beta, self.upsample.filter, down)


class ResidualBlock(nn.Module):
    """For each dilation: activation, dilated convolution, activation, convolution, added."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()

        def conv(dilation: int) -> NormedConv:
            return NormedConv(channels, channels, kernel, padding=(kernel - 1) * dilation // 2, dilation=dilation)

        self.convs1 = nn.ModuleList(conv(dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(conv(1) for _ in dilations)
        self.activations = nn.ModuleList(Activation(channels) for _ in range(2 * len(dilations)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        before, between = self.activations[::2], self.activations[1::2]
        for first, dilated, second, plain in zip(before, self.convs1, between, self.convs2, strict=True):
            x = x + plain(second(dilated(first(x))))
        return x


class BigVgan(nn.Module):
    """(B, M, T) log-mel -> (B, 1, T * hop) wave."""

    def __init__(self, config: BigVganConfig) -> None:
        super().__init__()
        self.config = config
        width = config.upsample_initial_channel
        self.conv_pre = NormedConv(config.num_mels, width, 7, padding=3)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            up = NormedConv(width, width // 2, kernel, stride=rate, padding=(kernel - rate) // 2, transposed=True)
            self.ups.append(nn.Sequential(up))
            width //= 2
            for size, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True):
                self.resblocks.append(ResidualBlock(width, size, dilations))
        self.activation_post = Activation(width)
        self.conv_post = NormedConv(width, 1, 7, padding=3, bias=False)

    def fuse(self) -> None:
        """Fold weight normalisation away, for speed. The state dict is no longer the published one afterwards."""
        for layer in self.modules():
            if isinstance(layer, NormedConv):
                layer.fuse()

    @torch.inference_mode()
    def forward(self, mel: Tensor) -> Tensor:
        """(B, M, T) natural-log mel -> (B, 1, T * hop) in -1..1."""
        x = self.conv_pre(mel)
        kinds = len(self.config.resblock_kernel_sizes)
        for i, up in enumerate(self.ups):
            x = up(x)
            blocks = self.resblocks[i * kinds : (i + 1) * kinds]
            x = sum((block(x) for block in blocks), torch.zeros_like(x)) / kinds
        return self.conv_post(self.activation_post(x)).clamp(-1, 1)
