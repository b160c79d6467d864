"""A bundle: the configuration and weights of all modules of one model, in one folder.

    config.json  encoders.safetensors  t2s.safetensors  prior.safetensors  flow.safetensors  vocoder.safetensors

Weights may be stored in half precision; they are computed in single precision. The `debug` bundle has a configuration
only: its weights are drawn from a seed.
"""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ar_tts.model import TextToCodes, TextToCodesConfig
from diffusion.flow import FlowConfig, FlowDecoder
from diffusion.prior import Prior
from emovoice.emotion.space import EmotionSpace
from emovoice.encoder.reference import ReferenceConfig, ReferenceEncoder
from emovoice.encoder.tokenizer import MEL_HOP, SemanticTokenizer, TokenizerConfig
from emovoice.errors import ModelError
from emovoice.torchaudio_shim import install
from vocoders.mel import LogMel
from vocoders.vocos import Vocoder, VocosConfig

EMBEDDED = ("mini", "debug")
_T = TypeVar("_T")


@dataclass(frozen=True)
class BundleConfig:
    """Configuration of every part, and how to decode with them."""

    name: str
    tokenizer: TokenizerConfig
    reference: ReferenceConfig
    t2s: TextToCodesConfig
    flow: FlowConfig
    vocoder: VocosConfig
    solver_steps: int = 8
    guidance: float = 0.0
    noise: float = 1.0
    seed: int | None = None  # draw the weights instead of loading them


class Bundle(nn.Module):
    """The modules of one model, in evaluation mode."""

    def __init__(self, config: BundleConfig) -> None:
        super().__init__()
        install()  # before the first import of vocos
        self.config = config
        self.tokenizer = SemanticTokenizer(config.tokenizer)
        self.reference = ReferenceEncoder(config.reference)
        self.t2s = TextToCodes(config.t2s)
        self.flow = FlowDecoder(config.flow)
        self.prior = Prior(config.flow.prior) if config.flow.prior else None
        self.vocoder = Vocoder(config.vocoder)
        self.front = LogMel(n_fft=1024, hop=MEL_HOP, n_mels=config.reference.n_mels)
        self.space = EmotionSpace(np.zeros(config.reference.emotion_dim, np.float32),
                                  np.zeros((config.reference.emotions, config.reference.emotion_dim), np.float32))

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Weight file -> what is in it."""
        encoders = nn.ModuleDict({"tokenizer": self.tokenizer, "reference": self.reference})
        prior = {} if self.prior is None else {"prior": self.prior}
        return {"encoders": encoders, "t2s": self.t2s, **prior, "flow": self.flow, "vocoder": self.vocoder}


def find(model: str) -> Path:
    """Folder of an embedded model by name, or of any bundle by path. Raises ModelError."""
    folder = Path(str(files("checkpoints").joinpath(model))) if model in EMBEDDED else Path(model)
    if not (folder / "config.json").is_file():
        raise ModelError("no such model", field="model", value=model,
                         remedy=f"Give one of {', '.join(EMBEDDED)}, or a folder with a config.json")
    return folder


def load(model: str, device: str = "cpu") -> Bundle:
    """Build and fill a bundle. Raises ModelError for missing, damaged or unfitting files."""
    folder = find(model)
    try:
        raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = from_json(BundleConfig, raw)
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ModelError(f"the configuration cannot be read: {error}", field="model", value=str(folder),
                         remedy="Install the model again") from error
    try:
        bundle = Bundle(config) if config.seed is None else _drawn(config)
    except (RuntimeError, ValueError, ZeroDivisionError, AssertionError) as error:  # sizes that fit no layer
        raise ModelError(f"the configuration describes no model: {error}", field="model", value=str(folder),
                         remedy="Install the model again") from error
    if config.seed is None:
        for name, part in bundle.parts.items():
            _fill(part, folder / f"{name}.safetensors")
        _fill_space(bundle, folder / "space.safetensors")
    return bundle.to(device).eval().requires_grad_(False)


def _drawn(config: BundleConfig) -> Bundle:
    """Random weights of a seed, without touching the caller's random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed or 0)
        bundle = Bundle(config)
        shape = bundle.space.directions.shape
        bundle.space = EmotionSpace(torch.randn(shape[1]).numpy(), torch.randn(shape).numpy())
    return bundle


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"weights cannot be read: {error}", field="model", value=str(path),
                         remedy="Install the model again") from error


def _fill(part: nn.Module, path: Path) -> None:
    try:
        part.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in _read(path).items()})
    except RuntimeError as error:
        raise ModelError(f"weights do not fit the configuration: {error}", field="model", value=str(path),
                         remedy="Install the model again") from error


def _fill_space(bundle: Bundle, path: Path) -> None:
    tensors, old = _read(path), bundle.space
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if shapes != {"neutral": old.neutral.shape, "directions": old.directions.shape}:
        raise ModelError(f"weights do not fit the configuration: {shapes}", field="model", value=str(path),
                         remedy="Install the model again")
    bundle.space = EmotionSpace(tensors["neutral"].float().numpy(), tensors["directions"].float().numpy())


def save(bundle: Bundle, folder: Path, half: bool = True) -> None:
    """Write a bundle, each file beside and then renamed; `half` stores 16-bit floats."""
    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, tensors: dict[str, torch.Tensor]) -> None:
        stored = {k: (v.half() if half and v.is_floating_point() else v).contiguous() for k, v in tensors.items()}
        save_file(stored, folder / f"{name}.partial")
        (folder / f"{name}.partial").chmod(0o644)  # safetensors writes files for their owner alone
        (folder / f"{name}.partial").rename(folder / f"{name}.safetensors")

    for name, part in bundle.parts.items():
        write(name, part.state_dict())
    space = {"neutral": torch.from_numpy(bundle.space.neutral), "directions": torch.from_numpy(bundle.space.directions)}
    write("space", space)
    text = json.dumps(asdict(bundle.config), indent=1)
    (folder / "config.partial").write_text(text + "\n", encoding="utf-8")
    (folder / "config.partial").rename(folder / "config.json")


def from_json(cls: type[_T], raw: dict[str, Any]) -> _T:
    """A (nested) dataclass from a dictionary.

    Unknown names and values of another type are a TypeError, so that a slip is not silent.
    """
    if not isinstance(raw, dict):
        raise TypeError(f"{cls.__name__} is not an object")
    hints = get_type_hints(cls)
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    if unknown := set(raw) - known:
        raise TypeError(f"unknown names in {cls.__name__}: {', '.join(sorted(unknown))}")
    return cls(**{name: _value(name, hints[name], value) for name, value in raw.items()})


def _value(name: str, hint: Any, value: Any) -> Any:
    for option in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
        if isinstance(option, type) and is_dataclass(option) and isinstance(value, dict):
            return from_json(option, value)
        if get_origin(option) is tuple and isinstance(value, list):
            return tuple(value)
        if type(value) is option or (option is float and type(value) is int):
            return value
    raise TypeError(f"{name} cannot be {value!r}")
