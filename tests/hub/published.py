"""Writes model folders in exactly the published layout, filled at random: for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from emovoice.hub import shapes
from emovoice.hub.registry import Model


def tensors(names: str, generator: torch.Generator, most: int = 10**9) -> dict[str, torch.Tensor]:
    """Random tensors of a list, but for those of more than `most` numbers, which are all zero and take no room."""
    return {
        name: _tensor(name, shape, generator, most) for name, shape in shapes.expected(names).items()
    }


def write(folder: Path, model: Model, values: dict[str, dict[str, torch.Tensor]]) -> None:
    """All published files of a model. `values`: part -> its tensors; `module.` and wrappers are put around them."""
    for source in model.sources:
        for file in source.files:
            path = folder / file.to.replace("*", "x")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    for part, files in model.parts.items():
        path = folder / files.files[0]
        if path.suffix == ".safetensors":
            save_file({name: tensor.contiguous() for name, tensor in values[part].items()}, path)
        else:
            torch.save(wrapped(part, values[part]), path)


def wrapped(part: str, values: dict[str, torch.Tensor]) -> Any:
    """As the part is published."""
    if part == "s2mel":
        nets = {
            net: {f"module.{name.removeprefix(net + '.')}": tensor for name, tensor in values.items()
                  if name.startswith(net + ".")}
            for net in ("cfm", "length_regulator", "gpt_layer")
        }  # fmt: skip
        return {"net": nets, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3), "step": 5}}}, "epoch": 7}
    if part in ("t2s", "codec"):
        return {"model": values}
    if part == "vocoder":
        return {"generator": values}
    return values["tensor"] if set(values) == {"tensor"} else values


def _tensor(name: str, shape: shapes.Shape, generator: torch.Generator, most: int) -> torch.Tensor:
    if name.endswith(("num_batches_tracked", "input_pos")):
        return torch.zeros(shape, dtype=torch.int64)
    count = 1
    for size in shape:
        count *= size
    return torch.zeros(1).expand(shape) if count > most else torch.randn(shape, generator=generator)
