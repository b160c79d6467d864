"""Weight normalisation with the published parameter names, `weight_g` and `weight_v` (Salimans & Kingma 2016).

torch's own function of that layout is deprecated, and its successor renames the parameters.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn


class _WeightNorm(nn.Module):
    """A layer whose weight is g * v / |v|, norms over all but the first axis."""

    def __init__(self, layer: nn.Conv1d | nn.Linear) -> None:
        super().__init__()
        weight = layer.weight.detach()
        self._dilation = layer.dilation[0] if isinstance(layer, nn.Conv1d) else 1
        axes = tuple(range(1, weight.ndim))
        self.weight_g = nn.Parameter(weight.norm(dim=axes, keepdim=True))
        self.weight_v = nn.Parameter(weight.clone())
        self.bias = layer.bias
        self._axes = axes
        self._fused: nn.Parameter | None = None

    def weight(self) -> Tensor:
        """The normalised weight."""
        if self._fused is not None:
            return self._fused
        return self.weight_g * self.weight_v / torch.linalg.vector_norm(self.weight_v, dim=self._axes, keepdim=True)

    def fuse(self) -> None:
        """Keep the normalised weight in place of its two factors; the layer can no longer be saved or trained."""
        if self._fused is None:
            self._fused = nn.Parameter(self.weight().detach(), requires_grad=False)
            del self.weight_g, self.weight_v


class NormedConv1d(_WeightNorm):
    """Convolution without padding."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C', T')."""
        return nn.functional.conv1d(x, self.weight(), self.bias, dilation=self._dilation)


class NormedLinear(_WeightNorm):
    """Linear layer."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C')."""
        return nn.functional.linear(x, self.weight(), self.bias)


def fuse(module: nn.Module) -> None:
    """Fuse every weight-normed layer below `module`: what a solver calls fifty times need not be divided each time."""
    for layer in module.modules():
        if isinstance(layer, _WeightNorm):
            layer.fuse()
