"""A bundle: the configuration and weights of all modules of one model, in one folder.

    config.json  encoders.safetensors  t2s.safetensors  prior.safetensors  flow.safetensors  vocoder.safetensors
    space.safetensors, space.json: the emotion space, and what was found when it was fitted
    convert.safetensors, prosody.safetensors: of models that convert recordings

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
from diffusion.emoreg import EmoReg, EmoRegConfig
from diffusion.flow import FlowConfig, FlowDecoder
from diffusion.prior import Prior
from emovoice.emotion.directions import POINTS, Directions
from emovoice.emotion.prosody import MOVES, ProsodyMoves
from emovoice.emotion.space import EmotionSpace
from emovoice.encoder.reference import ReferenceConfig, ReferenceEncoder
from emovoice.encoder.tokenizer import MEL_HOP, SemanticTokenizer, TokenizerConfig
from emovoice.errors import ModelError
from emovoice.models import SHIPPED
from emovoice.torchaudio_shim import install
from vocoders.mel import LogMel
from vocoders.vocos import Vocoder, VocosConfig

EMBEDDED = SHIPPED
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
    convert: EmoRegConfig | None = None  # None: this model does not convert
    solver_steps: int = 8
    guidance: float = 0.0
    noise: float = 1.0
    lead_in: str = ""  # phonemes read before every text and cut off again; see the card of `mini`
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
        self.convert = EmoReg(config.convert) if config.convert else None
        self.moves: ProsodyMoves | None = None
        self.front = LogMel(n_fft=1024, hop=MEL_HOP, n_mels=config.reference.n_mels)
        self.space: EmotionSpace = EmotionSpace(np.zeros(config.reference.emotion_dim, np.float32),
                                                np.zeros((config.reference.emotions, config.reference.emotion_dim),
                                                         np.float32))

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Weight file -> what is in it."""
        encoders = nn.ModuleDict({"tokenizer": self.tokenizer, "reference": self.reference})
        prior = {} if self.prior is None else {"prior": self.prior}
        convert = {} if self.convert is None else {"convert": self.convert}
        return {"encoders": encoders, "t2s": self.t2s, **prior, "flow": self.flow, "vocoder": self.vocoder, **convert}


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
        if config.convert:
            bundle.moves = _moves(config, bundle.space, _read(folder / "prosody.safetensors"), folder)
    return bundle.to(device).eval().requires_grad_(False)


def _drawn(config: BundleConfig) -> Bundle:
    """Random weights of a seed, without touching the caller's random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed or 0)
        bundle = Bundle(config)
        shape = bundle.space.directions.shape
        neutral, directions = torch.randn(shape[1]).numpy(), torch.randn(shape).numpy()
        bundle.space = Directions(neutral, directions, np.linalg.qr(directions.T)[0].T.astype(np.float32))
        if bundle.convert is not None:
            bundle.convert.means += torch.randn(bundle.convert.means.shape)
            size = config.reference.timbre_dim
            weights = 0.01 * torch.randn(len(MOVES), shape[1]).numpy()
            named = 0.1 * torch.randn(shape[0], len(MOVES)).numpy()
            ear = bundle.space.basis / np.sqrt(shape[1]).astype(np.float32)
            bundle.moves = ProsodyMoves(weights, np.zeros(size + 1, np.float32), named, ear)
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
    """A plain space has two tensors; one with directions five, and a page for people."""
    tensors, old = _read(path), bundle.space
    arrays = {name: tensor.float().numpy() for name, tensor in tensors.items()}
    plain = {"neutral": old.neutral.shape, "directions": old.directions.shape}
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes == plain:
        bundle.space = EmotionSpace(**arrays)
        return
    emotions, size = old.directions.shape
    components, calibration = shapes.get("components", ()), shapes.get("calibration", ())
    fits = len(components) == 2 and components[0] == size and calibration == (emotions, POINTS)
    if not fits or shapes != plain | {"components": components, "calibration": calibration, "longest": (1,)}:
        raise ModelError(f"weights do not fit the configuration: {shapes}", field="model", value=str(path),
                         remedy="Install the model again")
    about = path.with_suffix(".json")
    longest = float(arrays.pop("longest")[0])
    try:
        found = json.loads(about.read_text(encoding="utf-8")) if about.is_file() else {}
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"the page of the emotion space cannot be read: {error}", field="model", value=str(about),
                         remedy="Install the model again") from error
    basis = np.ascontiguousarray(arrays.pop("components").T)
    bundle.space = Directions(**arrays, basis=basis, longest=longest, about=found)


def space_tensors(space: EmotionSpace) -> dict[str, torch.Tensor]:
    """What is stored of an emotion space."""
    arrays = {"neutral": space.neutral, "directions": space.directions}
    if isinstance(space, Directions):
        longest = np.array([space.longest], np.float32)
        arrays |= {"components": space.basis.T, "calibration": space.calibration, "longest": longest}
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _moves(config: BundleConfig, space: EmotionSpace, tensors: dict[str, torch.Tensor], folder: Path) -> ProsodyMoves:
    size, components = config.reference.emotion_dim, len(space.basis) if isinstance(space, Directions) else 0
    expected = {"weights": (len(MOVES), size), "register": (config.reference.timbre_dim + 1,),
                "named": (config.reference.emotions, len(MOVES)), "ear": (components, size)}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if shapes != expected:
        raise ModelError(f"weights do not fit the configuration: {shapes}", field="model", value=str(folder),
                         remedy="Install the model again")
    return ProsodyMoves(**{name: tensor.float().numpy() for name, tensor in tensors.items()})


def save(bundle: Bundle, folder: Path, half: bool = True) -> None:
    """Write a bundle, each file beside and then renamed; `half` stores 16-bit floats."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in bundle.parts.items():
        _write(folder, name, part.state_dict(), half)
    save_space(bundle.space, folder, half)
    if bundle.moves is not None:
        moves = {part.name: torch.from_numpy(getattr(bundle.moves, part.name)) for part in fields(ProsodyMoves)}
        _write(folder, "prosody", moves, half)
    _write_page(folder, "config", asdict(bundle.config))


def save_space(space: EmotionSpace, folder: Path, half: bool = True) -> None:
    """Write the emotion space of a bundle alone."""
    _write(folder, "space", space_tensors(space), half)
    if isinstance(space, Directions):
        _write_page(folder, "space", space.about)


def _write(folder: Path, name: str, tensors: dict[str, torch.Tensor], half: bool) -> None:
    stored = {k: (v.half() if half and v.is_floating_point() else v).contiguous() for k, v in tensors.items()}
    save_file(stored, folder / f"{name}.partial")
    (folder / f"{name}.partial").chmod(0o644)  # safetensors writes files for their owner alone
    (folder / f"{name}.partial").rename(folder / f"{name}.safetensors")


def _write_page(folder: Path, name: str, page: dict[str, Any]) -> None:
    (folder / f"{name}.partial").write_text(json.dumps(page, indent=1) + "\n", encoding="utf-8")
    (folder / f"{name}.partial").rename(folder / f"{name}.json")


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
