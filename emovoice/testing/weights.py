"""Weights by rule: the same numbers for the same names, in any framework. Parity vectors are made with them."""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import nn

_COMPUTED = (".pe", "freqs", "freqs_cis", ".filter")


def drawn(name: str, shape: tuple[int, ...], salt: str, seed: int, weight_g_gain: float = 1.0) -> np.ndarray:
    """The entry `name` of a state dict, float32 of `shape`: PCG64 seeded by crc32(salt + name) + seed, scaled by kind."""
    source = np.random.Generator(np.random.PCG64(zlib.crc32((salt + name).encode()) + seed))
    x = source.standard_normal(shape, dtype=np.float32)
    last = name.rsplit(".", 1)[-1]
    if last == "running_var":
        return 0.5 + np.abs(x)
    if last == "running_mean":
        return 0.1 * x
    if last == "weight_g":
        return weight_g_gain * (1 + 0.1 * x)
    if x.ndim >= 2:
        return x / np.float32(math.sqrt(math.prod(shape[1:])))
    return 1 + 0.1 * x if last in ("weight", "gamma") else 0.1 * x


def fill(module: nn.Module, salt: str, seed: int, weight_g_gain: float = 1.0) -> None:
    """Fill all floating-point entries of a module's state dict in place, but for tables that a module computes itself."""
    import torch

    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point() or name.endswith(_COMPUTED):
            continue
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(np.asarray(drawn(name, tuple(tensor.shape), salt, seed, weight_g_gain))))
