"""Reads converted parts into modules, one tensor at a time.

    with torch.device("meta"):
        model = TextToSemantic(config)
    open_part(folder, "t2s").fill(model, device="cuda", dtype=torch.float16)

Each tensor goes from the file straight to its device and type; there is never a second copy of the whole part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emovoice.errors import InputError, ModelError
from emovoice.hub import convert, published, shapes
from emovoice.hub.registry import Model, guess

if TYPE_CHECKING:
    import torch
    from torch import nn


class Part(Mapping[str, "torch.Tensor"]):
    """The tensors of one safetensors file by name; a value is read when it is asked for.

    Names come without `module.`. Opening reads the header only.
    """

    def __init__(self, path: Path) -> None:
        """Raises ModelError for a file that is missing or damaged."""
        from safetensors import SafetensorError, safe_open

        self.path = path
        try:
            self._file: Any = safe_open(path, framework="pt")
        except (OSError, SafetensorError) as error:
            raise published.unreadable(path, error) from error
        self._names = {published.plain_name(name): name for name in self._file.keys()}  # noqa: SIM118

    def __getitem__(self, name: str) -> torch.Tensor:
        """The tensor, backed by the file. Do not write to it."""
        return self._file.get_tensor(self._names[name])  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def shape(self, name: str) -> shapes.Shape:
        """The shape of a tensor, without reading it."""
        return tuple(self._file.get_slice(self._names[name]).get_shape())

    def below(self, prefix: str) -> dict[str, str]:
        """Tensors whose names start with `prefix` and a dot: name without it -> name in the file."""
        start = f"{prefix}." if prefix else ""
        return {name.removeprefix(start): name for name in self._names if name.startswith(start)}

    def fill(
        self,
        module: nn.Module,
        *,
        prefix: str = "",
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> shapes.Report:
        """Put the tensors into a module that was built anywhere, also on the meta device.

        Args:
            module: its state dict says which tensors are wanted. Parameters come out frozen.
            prefix: only tensors below that name, as "cfm" in "cfm.estimator.conv1.weight".
            device: where they go.
            dtype: what floating-point tensors become; None keeps the file's.

        Returns:
            What was found; extra tensors are counted and ignored.

        Raises:
            ModelError: tensors are missing or of another shape (all are named), or a buffer that the file does not
                hold was left without values by the module.
        """
        names = self.below(prefix)
        found = {name: self.shape(there) for name, there in names.items()}
        report = shapes.compare(found, {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()})
        if not report.ok:
            raise ModelError(f"weights do not fit: {describe(report)}", field="file", value=str(self.path),
                             remedy="Run 'emovoice models check' on the folder")  # fmt: skip
        for name in module.state_dict():
            if name in names:
                tensor = self[names[name]]
                _put(module, name, tensor.to(device=device, dtype=_type_of(tensor, dtype)))
        _place_rest(module, device, dtype, self.path)
        return report


def open_part(folder: Path | str, part: str, model: Model | None = None) -> Part:
    """A part of a model's folder: "t2s", "s2mel", "codec", "campplus", "vocoder", "w2v_bert", "w2v_stats", ...

    Taken is `converted/<part>.safetensors`, else the published file if that is safetensors.

    Raises:
        InputError: no such part.
        ModelError: no such file, not converted yet, or damaged.
    """
    folder = Path(folder)
    model = model or guess(folder)
    if part not in model.parts:
        raise InputError("no such part", field="part", value=part, remedy=f"Use one of {', '.join(model.parts)}")
    if (done := convert.target(folder, part)).is_file():
        return Part(done)
    path = convert.source(folder, model, part)
    if path is None:
        raise ModelError(f"{model.parts[part].files[0]} is missing", field="folder", value=str(folder),
                         remedy=f"Run 'emovoice models pull {model.name} --dir {folder}'")  # fmt: skip
    if path.suffix != ".safetensors":
        raise ModelError(f"{path.name} is not converted yet", field="folder", value=str(folder),
                         remedy=f"Run 'emovoice models convert {folder}'")  # fmt: skip
    return Part(path)


def describe(report: shapes.Report) -> str:
    """What a report finds wrong, in a few words; "" for nothing."""
    found = []
    if report.missing:
        found.append(f"{len(report.missing)} missing ({shapes.shortened(report.missing)})")
    if report.wrong:
        listed = (f"{name} is {list(shape)} and should be {list(wanted)}" for name, shape, wanted in report.wrong)
        found.append(f"{len(report.wrong)} of the wrong shape ({shapes.shortened(listed, 3)})")
    return "; ".join(found)


def _type_of(tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.dtype:
    return dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype


def _put(module: nn.Module, name: str, tensor: torch.Tensor) -> None:
    """Replace the parameter or buffer of that name; the old one's memory is free at once."""
    from torch import nn

    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    if leaf in owner._parameters:
        owner._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
    else:
        owner._buffers[leaf] = tensor


def _place_rest(module: nn.Module, device: torch.device | str, dtype: torch.dtype | None, path: Path) -> None:
    """Move what the file does not hold: buffers that the module computed."""
    for name, buffer in list(module.named_buffers()):
        if buffer.is_meta:
            raise ModelError(f"{name} is neither in the file nor computed by the module", field="file",
                             value=str(path), remedy="Use the published file")  # fmt: skip
        _put(module, name, buffer.to(device=device, dtype=_type_of(buffer, dtype)))
