"""A folder in the published layout -> its modules, each on its device and in its precision.

What the releases differ in is a row of `RELEASES`: how a speaker is told, which tokenizer, how codes become features,
whether a length can be asked for. Weights are read tensor by tensor into modules on the meta device, so that there is
never a second copy of a part.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ar_tts.int8 import quantise_decoder
from ar_tts.unified import UnifiedConfig, UnifiedVoice, unified_voice
from diffusion.s2m import SemanticToMel
from emovoice.encoder.campplus import CampPlus, CampPlusConfig
from emovoice.encoder.semantic_codec import SemanticCodec
from emovoice.encoder.w2v_bert import SemanticFeatures
from emovoice.errors import ModelError
from emovoice.hub import registry
from emovoice.hub.parts import open_part
from emovoice.indextts.config import bigvgan_config, codec_config, s2m_config
from emovoice.indextts.options import INT8, PARTS, Place, Placement
from emovoice.indextts.prompt import PromptEncoders, SpeakerPrompt
from emovoice.indextts.prototypes import BANK_SIZES, PrototypeBanks
from emovoice.indextts.tokenizers import PieceTokenizer, RankTokenizer, Tokenizer, language_number
from emovoice.torchaudio_shim import install
from vocoders.bigvgan import BigVgan
from vocoders.mel import LogMel, bigvgan_front_end

LATENT_WIDTHS = (256, 128)
"""Of `gpt_layer`, between the widths of the text-to-codes model and of features. No configuration says them."""

_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, INT8: torch.float32}
_W2V_CONFIG = "hf_cache/w2v-bert-2.0/config.json"
_BIGVGAN_CONFIG = "hf_cache/bigvgan/config.json"
_QWEN = "qwen0.6bemo4-merge"
_M = TypeVar("_M", bound=nn.Module)


@dataclass(frozen=True)
class Release:
    """What is particular to one published model."""

    name: str
    speaker_mode: str
    """`spk_cond_mode` of the text-to-codes model."""
    rate_divisor: int
    """Features at 50 Hz for each code."""
    tokenizer: Callable[[Path], Tokenizer]
    speaker_input: Callable[[SpeakerPrompt], Tensor]
    """What of the prompt tells the text-to-codes model who speaks."""
    language: Callable[[str], int | None]
    """The number of a language; None where the model is not told."""
    content: Callable[[Modules, Tensor, Tensor], Tensor]
    """Codes (1, K), latents (1, K, C) -> features for the length regulator (1, K * rate_divisor, C')."""
    quantised_prompt: bool
    """Whether features of the prompt go through the code book before they become its condition."""
    length_slot: bool
    """Whether the text-to-codes model can be asked for a number of codes."""

    @property
    def codes_per_s(self) -> float:
        """Codes a second."""
        return 50 / self.rate_divisor


@dataclass(frozen=True, eq=False)
class Modules:
    """All that was loaded."""

    release: Release
    folder: Path
    placement: Placement
    config: Mapping[str, Any]
    tokenizer: Tokenizer
    t2s: UnifiedVoice
    features: SemanticFeatures
    campplus: CampPlus
    codec: SemanticCodec
    s2m: SemanticToMel
    vocoder: BigVgan
    mel: LogMel
    banks: PrototypeBanks

    @property
    def encoders(self) -> PromptEncoders:
        """What a prompt goes through."""
        codec = self.codec if self.release.quantised_prompt else None
        return PromptEncoders(self.features, self.campplus, self.s2m, self.mel, codec)

    @property
    def parts(self) -> dict[str, nn.Module]:
        """By the names of `options.PARTS`."""
        return {"t2s": self.t2s, "w2v_bert": self.features, "campplus": self.campplus, "codec": self.codec,
                "s2mel": self.s2m, "vocoder": self.vocoder}  # fmt: skip

    @property
    def emotion_model(self) -> Path:
        """Folder of the language model that reads emotions."""
        return self.folder / str(self.config.get("qwen_emo_path") or _QWEN)


def at(tensor: Tensor, weight: Tensor) -> Tensor:
    """`tensor` where `weight` is, in its precision."""
    return tensor.to(weight.device, weight.dtype)


def _device_of(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def _embedded_and_latents(modules: Modules, codes: Tensor, latents: Tensor) -> Tensor:
    """IndexTTS-2: rows of the code book, plus what the text-to-codes model thought of."""
    layer = modules.s2m.gpt_layer
    weight = next(layer.parameters())
    embedded = modules.codec.embed(codes.to(_device_of(modules.codec)))
    return at(embedded, weight) + layer(at(latents, weight))


def _decoded(modules: Modules, codes: Tensor, latents: Tensor) -> Tensor:
    """IndexTTS-2.5: what the codec's decoder makes of the codes; latents play no part."""
    return at(modules.codec.decode(codes.to(_device_of(modules.codec))), next(modules.s2m.parameters()))


RELEASES = {
    release.name: release
    for release in (
        Release(
            "indextts-2", "conformer", 1, PieceTokenizer, lambda prompt: prompt.features, lambda language: None,
            _embedded_and_latents, quantised_prompt=True, length_slot=True,
        ),
        Release(
            "indextts-2.5", "campplus", 2, RankTokenizer, lambda prompt: prompt.style, language_number,
            _decoded, quantised_prompt=False, length_slot=False,
        ),
    )
}  # fmt: skip


def load(folder: Path, placement: Placement) -> Modules:
    """All parts but the emotion model, which is loaded when it is first asked.

    Raises:
        ModelError: files are missing, damaged, not converted, of another shape than the configuration says, or a device
            cannot be used.
    """
    install()  # before the first import of vocos
    model = registry.guess(folder)
    release = RELEASES[model.name]
    for device in sorted({placement.of(part).device for part in PARTS}):
        check_device(device)
    config = read_yaml(folder / "config.yaml")
    codec = codec_config(_section(config, "semantic_codec"), release.rate_divisor)
    t2s = t2s_config(_section(config, "gpt"), release, codec.hidden_size)
    s2m = replace(s2m_config(_section(config, "s2mel")),
                  latent=(t2s.model_dim, *LATENT_WIDTHS, codec.hidden_size))  # fmt: skip
    if t2s.start_mel_token > codec.codebook_size:
        raise _misfit("number_mel_codes", t2s.number_mel_codes, f"the code book has {codec.codebook_size} codes")
    tokenizer = release.tokenizer(folder / model.tokenizer)
    if tokenizer.size > t2s.number_text_tokens + 1:
        raise _misfit("number_text_tokens", t2s.number_text_tokens, f"the vocabulary has {tokenizer.size} tokens")

    def filled(part: str, build: Callable[[], _M]) -> _M:
        return _filled(folder, model, part, build, placement.of(part))

    loaded_t2s = filled("t2s", lambda: unified_voice(t2s))
    if placement.of("t2s").precision == INT8:
        quantise_decoder(loaded_t2s)
    loaded_s2m = filled("s2mel", lambda: SemanticToMel(s2m))
    loaded_s2m.fuse()
    vocoder = filled("vocoder", lambda: BigVgan(bigvgan_config(_read_json(folder / _BIGVGAN_CONFIG))))
    vocoder.fuse()
    if vocoder.config.num_mels != s2m.estimator.mels:
        raise _misfit("s2mel.DiT.in_channels", s2m.estimator.mels, f"the vocoder takes {vocoder.config.num_mels} bands")
    modules = Modules(
        release, folder, placement, config, tokenizer, loaded_t2s, _features(folder, model, placement.of("w2v_bert")),
        filled("campplus", lambda: CampPlus(CampPlusConfig())), filled("codec", lambda: SemanticCodec(codec)),
        loaded_s2m, vocoder, bigvgan_front_end().to(placement.of("s2mel").device), _banks(folder, model, config),
    )  # fmt: skip
    width = modules.features.mean.shape[0]
    if width != codec.hidden_size:
        raise _misfit("semantic_codec.hidden_size", codec.hidden_size, f"w2v-BERT gives {width} features")
    return modules


def t2s_config(section: Mapping[str, Any], release: Release, features: int) -> UnifiedConfig:
    """Configuration of the text-to-codes model. Raises ModelError."""
    try:
        config = UnifiedConfig.from_published(section)
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"the configuration cannot be read: {error}", field="gpt", value=None,
                         remedy="Take the published config.yaml") from error  # fmt: skip
    return replace(config, spk_cond_mode=release.speaker_mode, features=features)


def check_device(device: str) -> None:
    """Raises ModelError for one that cannot be used."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: a build of torch without CUDA
        reason = str(error).splitlines()[0]
        raise ModelError(f"this device cannot be used: {reason}", field="device", value=device,
                         remedy="Use cpu, or cuda where there is one") from error  # fmt: skip


def read_yaml(path: Path) -> Mapping[str, Any]:
    """The published configuration. Raises ModelError."""
    import yaml

    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(loaded, dict):
        raise _unreadable(path, ValueError("it is not a mapping"))
    return loaded


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(loaded, dict):
        raise _unreadable(path, ValueError("it is not an object"))
    return loaded


def _filled(folder: Path, model: registry.Model, part: str, build: Callable[[], _M], place: Place) -> _M:
    """A part's module, built without memory and filled from its file."""
    opened = open_part(folder, part, model)
    try:
        with torch.device("meta"):
            module = build()
    except (ValueError, RuntimeError, AssertionError, ZeroDivisionError) as error:  # sizes that fit no layer
        raise ModelError(f"the configuration describes no {part}: {error}", field="folder", value=str(folder),
                         remedy="Take the published config.yaml") from error  # fmt: skip
    opened.fill(module, device=place.device, dtype=_TYPES[place.precision])
    return module.eval().requires_grad_(False)


def _features(folder: Path, model: registry.Model, place: Place) -> SemanticFeatures:
    raw = _read_json(folder / _W2V_CONFIG)
    opened = open_part(folder, "w2v_bert", model)
    try:
        with torch.device("meta"):
            features = SemanticFeatures(raw)
    except (ValueError, TypeError) as error:
        raise _unreadable(folder / _W2V_CONFIG, error) from error
    opened.fill(features.model, device=place.device, dtype=_TYPES[place.precision])
    width = features.model.config.hidden_size
    features.mean = torch.zeros(width, device=place.device, dtype=_TYPES[place.precision])
    features.variance = torch.ones_like(features.mean)
    stored = open_part(folder, "w2v_stats", model)
    if lacking := [name for name in ("mean", "var") if name not in stored]:
        raise ModelError(f"statistics are missing: {', '.join(lacking)}", field="file", value=str(stored.path),
                         remedy="Download it again: emovoice models pull")  # fmt: skip
    features.set_statistics(stored["mean"], stored["var"])
    return features.eval().requires_grad_(False)


def _banks(folder: Path, model: registry.Model, config: Mapping[str, Any]) -> PrototypeBanks:
    speakers, emotions = (
        next(iter(open_part(folder, part, model).values())).float() for part in ("speaker_bank", "emotion_bank")
    )
    sizes = config.get("emo_num", list(BANK_SIZES))
    if not isinstance(sizes, list) or not all(type(size) is int for size in sizes):
        raise _misfit("emo_num", sizes, "eight whole numbers are needed")
    return PrototypeBanks(speakers, emotions, tuple(sizes))


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if not isinstance(config.get(name), Mapping):
        raise _misfit(name, config.get(name), "a section of the configuration is missing")
    return config[name]  # type: ignore[no-any-return]


def _misfit(field: str, value: object, why: str) -> ModelError:
    return ModelError(f"the parts do not fit together: {why}", field=field, value=value,
                      remedy="Take config.yaml and weights of the same release")  # fmt: skip


def _unreadable(path: Path, error: Exception) -> ModelError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return ModelError(f"the configuration cannot be read: {first}", field="file", value=str(path),
                      remedy="Download it again: emovoice models pull")  # fmt: skip
