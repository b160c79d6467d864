"""Converts published `.pth`, `.pt` and `.bin` files to safetensors, one tensor at a time.

The results lie in `converted/` in the model's folder, one file a part, and say in their header what they were made
of, so that converting again finds nothing to do. Memory holds at most a piece of one tensor.
"""

from __future__ import annotations

import json
import math
import shutil
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, get_args

from emovoice.errors import InputError, ModelError, OutputError
from emovoice.hub import published, shapes
from emovoice.hub.registry import Model, PartFiles, guess
from emovoice.writing import whole_file

if TYPE_CHECKING:
    import torch

FOLDER = "converted"
"""Folder in the model's folder."""

Precision = Literal["fp32", "fp16", "bf16"]
Progress = Callable[[str, int, int], None]
"""Called with a part's name, the bytes written of it and its bytes in all."""

_PIECE = 2**20  # elements that are converted at once
_KINDS = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
          "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL"}  # fmt: skip
_STORED = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Converted:
    """What became of one part."""

    part: str
    state: str
    """'written', 'already converted' or 'already safetensors'."""
    path: Path
    bytes: int
    dropped: int = 0
    """Tensors that were left out because nobody asks for them."""


def convert(
    folder: Path,
    model: Model | None = None,
    *,
    precision: Precision | None = None,
    only: Iterable[str] = (),
    force: bool = False,
    progress: Progress | None = None,
) -> list[Converted]:
    """Write `converted/<part>.safetensors` for each part that has to be converted.

    Args:
        folder: a model's folder, as published.
        model: which one; None to find out.
        precision: how floating-point numbers are stored; None as they are published. Small tables stay in fp32.
        only: names of parts; none for all.
        force: convert again what is converted already.

    Returns:
        One row a part.

    Raises:
        InputError: an unknown precision or part.
        ModelError: a file is missing, damaged, or holds anything but tensors; or numbers are too large for fp16.
        OutputError: not enough room, or the folder cannot be written to.
    """
    if precision is not None and precision not in get_args(Precision):
        raise InputError("no such precision", field="precision", value=precision,
                         remedy=f"Use one of {', '.join(get_args(Precision))}")  # fmt: skip
    model = model or guess(folder)
    names = _chosen(model, only)
    missing = [name for name in names if not source(folder, model, name) and not target(folder, name).is_file()]
    if missing:
        wanted = ", ".join(model.parts[name].files[0] for name in missing)
        raise ModelError(f"files are missing: {wanted}", field="folder", value=str(folder),
                         remedy=f"Run 'emovoice models pull {model.name} --dir {folder}'")  # fmt: skip
    return [_convert_part(folder, model, name, precision, force, progress) for name in names]


def source(folder: Path, model: Model, part: str) -> Path | None:
    """The published file of a part, if it is there."""
    return next((folder / name for name in model.parts[part].files if (folder / name).is_file()), None)


def target(folder: Path, part: str) -> Path:
    """Where the converted file of a part is, or would be."""
    return folder / FOLDER / f"{part}.safetensors"


def write_safetensors(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    dtypes: Mapping[str, torch.dtype],
    metadata: Mapping[str, str],
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write tensors to a file of the safetensors format, a piece at a time, whole or not at all; returns its bytes.

    The library's own writer wants all bytes in memory. Wide numbers come first, so that each is aligned.

    Raises:
        ModelError: a finite number does not fit its new type.
        OutputError: the file cannot be written.
    """
    names = sorted(tensors, key=lambda name: (-dtypes[name].itemsize, name))
    entries: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        start, end = end, end + tensors[name].numel() * dtypes[name].itemsize
        kind = _KINDS[str(dtypes[name]).removeprefix("torch.")]
        entries[name] = {"dtype": kind, "shape": list(tensors[name].shape), "data_offsets": [start, end]}
    head = json.dumps(entries).encode()
    head += b" " * (-len(head) % 8)
    with whole_file(path) as file:
        file.write(struct.pack("<Q", len(head)) + head)
        written = 0
        for name in names:
            for piece in _pieces(tensors[name]):
                written += _write_piece(file, name, piece, dtypes[name])
                if progress:
                    progress(written, end)
    return 8 + len(head) + end


def _convert_part(
    folder: Path, model: Model, part: str, precision: Precision | None, force: bool, progress: Progress | None
) -> Converted:
    import torch

    if (done := _done_and_alone(folder, model, part)) is not None:
        return done
    path, files = source(folder, model, part), model.parts[part]
    assert path is not None
    precision = _precision_of(files, precision)
    out, origin = target(folder, part), _origin(path, precision)
    if path.suffix == ".safetensors" and precision is None:
        return Converted(part, "already safetensors", path, path.stat().st_size)
    if not force and out.is_file() and made_of(out).items() >= origin.items():
        return Converted(part, "already converted", out, out.stat().st_size)
    found = _read(path)
    wanted = shapes.expected(files.shapes)
    kept = {name: tensor for name, tensor in found.tensors.items() if name in wanted}
    if not kept:
        raise ModelError("none of the tensors that are looked for is in this file", field="file", value=str(path),
                         remedy="Check that the file is what its name says")  # fmt: skip
    stored = getattr(torch, _STORED[precision]) if precision else None
    dtypes = {
        name: stored if stored is not None and tensor.is_floating_point() else tensor.dtype
        for name, tensor in kept.items()
    }
    _make_room(out, sum(tensor.numel() * dtypes[name].itemsize for name, tensor in kept.items()))
    report = (lambda done, total: progress(part, done, total)) if progress else None
    written = write_safetensors(out, kept, dtypes, {"format": "pt", "part": part, **origin}, report)
    return Converted(part, "written", out, written, found.ignored + len(found.tensors) - len(kept))


def _read(path: Path) -> published.Tensors:
    """The tensors of a published file of either kind, backed by the file."""
    if path.suffix != ".safetensors":
        return published.read_pickled(path)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            return published.Tensors({published.plain_name(name): file.get_tensor(name) for name in names}, 0)
    except (OSError, SafetensorError) as error:
        raise published.unreadable(path, error) from error


def made_of(path: Path) -> dict[str, str]:
    """What a converted file says it was made of; empty when it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError):
        return {}


def _origin(path: Path, precision: Precision | None) -> dict[str, str]:
    facts = path.stat()
    return {"source": path.name, "source_bytes": str(facts.st_size), "source_mtime_ns": str(facts.st_mtime_ns),
            "precision": precision or "as published"}  # fmt: skip


def _precision_of(files: PartFiles, precision: Precision | None) -> Precision | None:
    return None if files.always_fp32 else precision


def _done_and_alone(folder: Path, model: Model, part: str) -> Converted | None:
    """A converted part whose published file was deleted: there is nothing to do, and nothing to do it with."""
    out = target(folder, part)
    if source(folder, model, part) is None and out.is_file():
        return Converted(part, "already converted", out, out.stat().st_size)
    return None


def _chosen(model: Model, only: Iterable[str]) -> list[str]:
    chosen = list(only)
    known = [name for name, files in model.parts.items() if files.convert]
    if unknown := [name for name in chosen if name not in known]:
        raise InputError("no such part to convert", field="part", value=unknown[0],
                         remedy=f"Use one of {', '.join(known)}")  # fmt: skip
    return [name for name in known if not chosen or name in chosen]


def _make_room(out: Path, needed: int) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(out.parent).free
    except OSError as error:
        raise OutputError(f"the folder cannot be written to: {error.strerror}", field="path",
                          value=str(out.parent)) from error  # fmt: skip
    if free < needed:
        raise OutputError(f"converting needs {needed / 1e9:.2f} GB and {free / 1e9:.2f} GB are free", field="path",
                          value=str(out), remedy="Make room, or convert parts one by one with --part")  # fmt: skip


def _pieces(tensor: torch.Tensor) -> Iterable[torch.Tensor]:
    return tensor.detach().contiguous().reshape(-1).split(_PIECE) if tensor.numel() else ()


def _write_piece(file: BinaryIO, name: str, piece: torch.Tensor, dtype: torch.dtype) -> int:
    import torch

    if piece.dtype != dtype:
        largest = max(abs(bound.item()) for bound in piece.aminmax())
        if torch.finfo(dtype).max < largest < math.inf:
            raise ModelError("a number is too large for fp16", field="tensor", value=name,
                             remedy="Convert with --precision bf16 or fp32")  # fmt: skip
        piece = piece.to(dtype)
    return file.write(piece.view(torch.uint8).numpy().data)
