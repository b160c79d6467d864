"""Reads published files: safetensors by their header, `.pth`, `.pt` and `.bin` without ever running a pickle.

A published file may nest its tensors ({"model": ...}, {"net": {"cfm": ...}}, {"generator": ...}), put `module.` before
their names, hold an optimizer beside them, or be one bare tensor. All come out as one flat mapping; a bare tensor is
called `tensor`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from emovoice.errors import ModelError
from emovoice.hub.shapes import Shape

if TYPE_CHECKING:
    import torch

WRAPPERS = ("model", "net", "generator", "state_dict")
"""Names under which files keep the tensors, with other things beside them."""

_PREFIX = "module."
_DEEPEST = 8


class Header(NamedTuple):
    """What there is in a file, without the values."""

    shapes: dict[str, Shape]
    dtypes: tuple[str, ...]
    """The kinds of numbers in it, sorted: ("float32", "int64")."""
    ignored: int
    """Tensors outside the wrapper, such as an optimizer's."""


class Tensors(NamedTuple):
    """Tensors by name. They are backed by the file, which is read when they are."""

    tensors: dict[str, torch.Tensor]
    ignored: int


def header(path: Path) -> Header:
    """Names and shapes of the tensors in a file. Raises ModelError when it cannot be read."""
    if path.suffix == ".safetensors":
        return _safetensors_header(path)
    tensors, ignored = read_pickled(path)
    dtypes = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}
    return Header({name: tuple(tensor.shape) for name, tensor in tensors.items()}, tuple(sorted(dtypes)), ignored)


def read_pickled(path: Path) -> Tensors:
    """The tensors of a `.pth`, `.pt` or `.bin` file.

    `weights_only` builds tensors and plain containers; anything else that the file asks for is refused, not run.
    `mmap` leaves the values in the file until they are used.

    Raises:
        ModelError: no such file, damaged, holds anything but tensors and plain values, or holds no tensors.
    """
    import torch

    try:
        mapped = zipfile.is_zipfile(path)  # files from before torch 1.6 are no archives and cannot be mapped
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged or hostile file can make the reader raise anything
        raise unreadable(path, error) from error
    tensors, ignored = flat(loaded)
    if not tensors:
        raise ModelError("there are no tensors in this file", field="file", value=str(path),
                         remedy="Download it again: emovoice models pull")  # fmt: skip
    return Tensors(tensors, ignored)


def flat(loaded: Any) -> Tensors:
    """The tensors inside what a file held, by plain names, and how many others were beside the wrapper."""
    everything = dict(_leaves(loaded))
    ignored = 0
    while isinstance(loaded, Mapping) and (wrapper := _wrapper(loaded)):
        loaded = loaded[wrapper]
    tensors = dict(_leaves(loaded))
    ignored = len(everything) - len(tensors)
    return Tensors(tensors, ignored)


def plain_name(name: str) -> str:
    """The name without the `module.` that data-parallel training puts before it, or behind the name of a part."""
    return name.removeprefix(_PREFIX)


def unreadable(path: Path, error: Exception) -> ModelError:
    """What to say about a file that could not be read."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "Weights only load failed" in first:
        return ModelError(
            "this file wants to run code or holds objects other than tensors; nothing of it was run",
            field="file", value=str(path),
            remedy="Do not use it: get the published file with 'emovoice models pull'",
        )  # fmt: skip
    return ModelError(f"this file cannot be read: {first[:160]}", field="file", value=str(path),
                      remedy="Download it again: emovoice models pull")  # fmt: skip


def _wrapper(loaded: Mapping[Any, Any]) -> str | None:
    return next((name for name in WRAPPERS if isinstance(loaded.get(name), Mapping)), None)


def _leaves(node: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, torch.Tensor]]:
    """(name, tensor) of everything below `node`, names of nested mappings joined by dots."""
    import torch

    if isinstance(node, torch.Tensor):
        yield prefix or "tensor", node
    elif isinstance(node, Mapping) and depth < _DEEPEST:
        for key, value in node.items():
            name = plain_name(str(key))
            yield from _leaves(value, f"{prefix}.{name}" if prefix else name, depth + 1)


def _safetensors_header(path: Path) -> Header:
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, Shape] = {}
    dtypes = set()
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - the file is no mapping
                tensor = file.get_slice(name)
                shapes[plain_name(name)] = tuple(tensor.get_shape())
                dtypes.add(_DTYPES.get(tensor.get_dtype(), tensor.get_dtype()))
    except (OSError, SafetensorError) as error:
        raise unreadable(path, error) from error
    return Header(shapes, tuple(sorted(dtypes)), 0)


_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32"}
