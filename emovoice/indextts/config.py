"""The published configuration files, read into the configurations of our modules.

What a file says is taken; what our modules cannot do is refused by name, never ignored.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffusion.dit import EstimatorConfig
from diffusion.regulator import RegulatorConfig
from diffusion.s2m import SemanticToMelConfig
from emovoice.encoder.semantic_codec import SemanticCodecConfig
from emovoice.errors import ModelError
from vocoders.bigvgan import BigVganConfig

# Switches of published configurations that have one value in all of them, and one here.
_DIT_FIXED = {
    "style_condition": True, "final_layer_type": "wavenet", "f0_condition": False, "is_causal": False,
    "long_skip_connection": True, "time_as_token": False, "style_as_token": False, "add_resblock_in_transformer": False,
}  # fmt: skip
_REGULATOR_FIXED = {"is_discrete": False, "vector_quantize": False, "f0_condition": False}
_BIGVGAN_FIXED = {"resblock": "1", "activation": "snakebeta", "snake_logscale": True, "use_tanh_at_final": False,
                  "use_bias_at_final": False}
_FFN_STEP = 256


def s2m_config(section: Mapping[str, Any]) -> SemanticToMelConfig:
    """Configuration of S2M from the section `s2mel` of `config.yaml`. Raises ModelError."""
    read = Section(section, "s2mel")
    dit, wavenet, regulator = read.part("DiT"), read.part("wavenet"), read.part("length_regulator")
    dit.must_be(_DIT_FIXED)
    regulator.must_be(_REGULATOR_FIXED)
    dim = dit.whole("hidden_dim")
    wavenet.must_be({"hidden_dim": dim, "style_condition": True})
    regulator.must_be({"channels": dit.whole("content_dim")})
    estimator = EstimatorConfig(
        mels=dit.whole("in_channels"), dim=dim, content_dim=dit.whole("content_dim"),
        style_dim=read.part("style_encoder").whole("dim"),
        depth=dit.whole("depth"), heads=dit.whole("num_heads"), ffn=swiglu_width(dim),
        wavenet_layers=wavenet.whole("num_layers"), wavenet_kernel=wavenet.whole("kernel_size"),
        wavenet_dilation=wavenet.whole("dilation_rate", 1), skips=dit.flag("uvit_skip_connection", True),
        lone_middle=True,
    )  # fmt: skip
    if dim % (2 * estimator.heads):
        raise ModelError("the width must be divisible by twice the number of heads", field="s2mel.DiT.num_heads",
                         value=estimator.heads, remedy="Take the published config.yaml")
    ratios = regulator.value("sampling_ratios", [1, 1, 1, 1])
    if not isinstance(ratios, (list, tuple)) or any(ratio != 1 for ratio in ratios):
        raise ModelError("only ratios of 1 are known", field="s2mel.length_regulator.sampling_ratios", value=ratios,
                         remedy="Take the published config.yaml")
    return SemanticToMelConfig(estimator, RegulatorConfig(
        codes=0, in_channels=regulator.whole("in_channels"), channels=regulator.whole("channels"), melody=False,
        phones=0, blocks=len(ratios)))


def swiglu_width(dim: int) -> int:
    """Inner width of the published feed-forward layers: 8/3 of the outer one, rounded up to a multiple of 256."""
    return -(-(8 * dim // 3) // _FFN_STEP) * _FFN_STEP


def codec_config(section: Mapping[str, Any], rate_divisor: int = 1) -> SemanticCodecConfig:
    """Configuration of the codec from the section `semantic_codec`; `rate_divisor` is 2 in 2.5. Raises ModelError."""
    read = Section(section, "semantic_codec")
    names = ("codebook_size", "hidden_size", "codebook_dim", "vocos_dim", "vocos_intermediate_dim", "vocos_num_layers")
    return SemanticCodecConfig(**{name: read.whole(name) for name in names}, rate_divisor=rate_divisor)


def bigvgan_config(raw: Mapping[str, Any]) -> BigVganConfig:
    """Configuration of the vocoder from its `config.json`; what is absent is as published. Raises ModelError."""
    read, default = Section(raw, "bigvgan"), BigVganConfig()
    read.must_be(_BIGVGAN_FIXED)
    try:
        return BigVganConfig(
            num_mels=read.whole("num_mels", default.num_mels),
            upsample_initial_channel=read.whole("upsample_initial_channel", default.upsample_initial_channel),
            upsample_rates=tuple(read.value("upsample_rates", default.upsample_rates)),
            upsample_kernel_sizes=tuple(read.value("upsample_kernel_sizes", default.upsample_kernel_sizes)),
            resblock_kernel_sizes=tuple(read.value("resblock_kernel_sizes", default.resblock_kernel_sizes)),
            resblock_dilation_sizes=tuple(
                tuple(row) for row in read.value("resblock_dilation_sizes", default.resblock_dilation_sizes)),
        )  # fmt: skip
    except TypeError as error:
        raise ModelError(f"the configuration cannot be read: {error}", field="bigvgan", value=dict(raw)) from error


class Section:
    """A part of a configuration, read with the name of every value in its errors."""

    def __init__(self, raw: Mapping[str, Any], name: str) -> None:
        if not isinstance(raw, Mapping):
            raise ModelError("a section of the configuration is not a mapping", field=name, value=raw,
                             remedy="Take the published file")
        self._raw, self._name = raw, name

    def refused(self, name: str, value: object, why: str) -> ModelError:
        """The error to raise for one value."""
        return ModelError(why, field=f"{self._name}.{name}", value=value, remedy="Take the published file")

    def value(self, name: str, default: Any = None) -> Any:
        """As it stands; `default` where it is absent. Without a default it must be there."""
        found = self._raw.get(name, default)
        if found is None:
            raise self.refused(name, None, "a value of the configuration is missing")
        return found

    def part(self, name: str) -> Section:
        """A section within."""
        return Section(self.value(name), f"{self._name}.{name}")

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number above 0."""
        found = self.value(name, default)
        if type(found) is not int or found < 1:
            raise self.refused(name, found, "a whole number above 0 is needed")
        return found

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        found = self.value(name, default)
        if not isinstance(found, bool):
            raise self.refused(name, found, "true or false is needed")
        return found

    def must_be(self, fixed: Mapping[str, Any]) -> None:
        """Refuse other values of switches; absent ones are as published."""
        for name, wanted in fixed.items():
            if self._raw.get(name, wanted) != wanted:
                raise self.refused(name, self._raw[name], f"only {wanted!r} is known here")
