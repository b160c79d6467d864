"""Weights drawn from names: two implementations with the same state-dict names get the same numbers, without a file."""
from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import nn

_COMPUTED = (".pe", "freqs", "freqs_cis", ".filter")


def drawn(name: str, shape: tuple[int, ...], salt: str, seed: int, weight_g_gain: float = 1.0) -> np.ndarray:
    """float32 values of the state-dict entry `name`: around 0, but where a layer needs other values to be sane."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32((salt + name).encode()) + seed))
    x = np.asarray(generator.standard_normal(shape, dtype=np.float32))
    last = name.rsplit(".", 1)[-1]
    if last == "running_var":
        return np.float32(0.5) + np.abs(x)
    if last == "running_mean":
        return np.float32(0.1) * x
    if last == "weight_g":
        return np.float32(weight_g_gain) * (1 + np.float32(0.1) * x)
    if len(shape) >= 2:
        return x / np.float32(np.sqrt(np.prod(shape[1:])))
    if last in ("weight", "gamma"):
        return 1 + np.float32(0.1) * x
    return np.float32(0.1) * x


@torch.no_grad()
def fill(module: nn.Module, salt: str, seed: int, weight_g_gain: float = 1.0) -> None:
    """Fill every floating-point entry of the state dict by the rule; what modules compute themselves stays.

    The rule is that of the published parity vectors: numpy's PCG64, seeded by crc32(salt + name) + seed.
    """
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not name.endswith(_COMPUTED):
            tensor.copy_(torch.from_numpy(drawn(name, tuple(tensor.shape), salt, seed, weight_g_gain)))
