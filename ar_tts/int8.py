"""Linear layers with 8-bit weights, for decoding on a CPU, where every step reads all weights from memory once.

Weights are rounded to 8 bits, one scale an output. Inputs keep 16 bits, one scale a row: an input is the number
256 h + l of two signed 8-bit digits, and both digits go through one exact integer product, which costs no second
reading of the weights. Rounding inputs to 8 bits would change most codes; the weights alone change few. Scales per row
and integer sums also mean that a row does not depend on what it is batched with.

Shapes: M rows, K inputs, N outputs.
"""
from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from ar_tts.gpt import Conv1D
from ar_tts.unified import UnifiedVoice

_LARGEST = 32639  # 256 * 127 + 127
_ROUNDED_ZERO = torch.tensor(256 * 128 + 128 + 0.5)  # both digits are stored with 128 added
_TINY = torch.tensor(1e-30)  # a row of zeros stays one
_WEIGHT = 127


class Int8Linear(nn.Module):
    """y = x W' + b with rounded weights; made from a float layer, and not saved."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """weight (N, K), bias (N,)."""
        super().__init__()
        levels, self.scale = rounded(weight.detach().float())
        self.shape = tuple(weight.shape)
        self.bias = torch.zeros(len(levels)) if bias is None else bias.detach().float().clone()
        self.packed = _Packed(levels) if fast() else None
        self.levels = None if self.packed else levels

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        digits, scale = digits_of(x.reshape(-1, x.shape[-1]))
        if self.packed is not None:
            product = self.packed.product(digits, self.scale)
        else:
            product = plain_product(digits, self.levels, self.scale)  # type: ignore[arg-type]
        low, high = product.chunk(2)
        return torch.addcmul(self.bias, low.add_(high, alpha=256), scale).view(*x.shape[:-1], -1)


def quantise(module: nn.Module) -> int:
    """Replace the linear layers of a float32 module on the CPU in place, one after another; returns how many."""
    count = 0
    for name, child in list(module.named_children()):
        if isinstance(child, (Conv1D, nn.Linear)):
            weight = child.weight.t() if isinstance(child, Conv1D) else child.weight
            setattr(module, name, Int8Linear(weight, child.bias))
            count += 1
        else:
            count += quantise(child)
    return count


def quantise_decoder(model: UnifiedVoice) -> None:
    """Round what every decoding step reads: the transformer's layers and the head of codes, in place."""
    quantise(model.gpt)
    model.mel_head = Int8Linear(model.mel_head.weight, model.mel_head.bias)  # type: ignore[assignment]


def rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(N, K) -> levels -127..127 (N, K) int8, and scales (N,)."""
    scale = weight.abs().amax(1).clamp(min=1e-12) / _WEIGHT
    return (weight / scale[:, None]).round_().to(torch.int8).contiguous(), scale  # the packing needs it contiguous


def digits_of(x: Tensor) -> tuple[Tensor, Tensor]:
    """(M, K) -> bytes (2 M, K), first all low digits, then all high ones, and scales (M, 1).

    x = scale * (256 (high - 128) + (low - 128)), to 1 in 32639 of the largest of the row.
    """
    scale = torch.add(_TINY, torch.linalg.vector_norm(x, float("inf"), -1, keepdim=True), alpha=1 / _LARGEST)
    whole = torch.addcdiv(_ROUNDED_ZERO, x, scale).to(torch.int32).contiguous()  # cutting off positives rounds
    rows, size = x.shape
    low_first = whole.view(torch.uint8).as_strided((2, rows, size), (1, 4 * size, 4))  # little-endian
    return low_first.reshape(2 * rows, size), scale


def plain_product(digits: Tensor, levels: Tensor, scale: Tensor) -> Tensor:
    """The twin of `_Packed.product`: bytes (M, K), levels (N, K), scales (N,) -> (M, N) float32."""
    return (digits.float() - 128) @ levels.float().t() * scale


class _Packed:
    """Levels in the layout of oneDNN's integer product."""

    def __init__(self, levels: Tensor) -> None:
        self.levels = torch.ops.onednn.qlinear_prepack(levels, [2, levels.shape[1]])
        self.zeros = torch.zeros(len(levels), dtype=torch.long)

    def product(self, digits: Tensor, scale: Tensor) -> Tensor:
        """Bytes (M, K), scales (N,) -> (M, N) float32: sums of (byte - 128) * level * scale, in whole numbers."""
        return torch.ops.onednn.qlinear_pointwise(digits, 1.0, 128, self.levels, scale, self.zeros, None, 1.0, 0,
                                                  torch.float32, "none", [], "")


@cache
def fast() -> bool:
    """Whether this CPU and this torch have an exact 8-bit product. Without VNNI its sums saturate at 16 bits."""
    size = 1024
    digits, levels = torch.full((2, size), 255, dtype=torch.uint8), torch.full((16, size), _WEIGHT, dtype=torch.int8)
    try:
        product = _Packed(levels).product(digits, torch.ones(16))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return bool((product == 127 * _WEIGHT * size).all())
