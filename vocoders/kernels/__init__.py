"""The anti-aliased activation in one pass: `activation`. reference.py says in plain torch what it is."""
from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from vocoders.kernels import reference

LARGE = 1 << 16
"""Numbers from which on a kernel on the CPU is worth its call and its start."""


def activation(x: Tensor, alpha: Tensor, beta: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """See reference.py; gradients flow through the plain version only."""
    how = reference.activation
    plain = type(x) is Tensor  # not one of torch's tensors that only follow what is done
    if plain and not (torch.is_grad_enabled() and (x.requires_grad or alpha.requires_grad)):
        if x.is_cuda:
            how = _on_cuda()
        elif x.device.type == "cpu" and x.dtype == alpha.dtype == torch.float32 and x.numel() >= LARGE:
            how = _on_cpu()
    return how(x, alpha, beta, up, down)


@cache
def _on_cpu() -> Callable[..., Tensor]:
    try:
        from vocoders.kernels import cpu
    except ImportError:
        return reference.activation
    return cpu.activation


@cache
def _on_cuda() -> Callable[..., Tensor]:
    try:
        from vocoders.kernels import gpu
    except ImportError:  # no Triton
        return reference.activation
    return gpu.activation


__all__ = ["activation"]
