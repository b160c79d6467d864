"""Parity of everything but the text-to-codes model: codecs, speaker encoder, codes to mel, vocoder, front ends.

Each function takes the arrays and `meta` of a file, and computes those of its outputs that the file holds.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from emovoice.errors import InputError
from emovoice.testing.parity import Arrays, difference
from emovoice.testing.weights import fill

Outputs: TypeAlias = dict[str, Callable[[], Any]]


def compare_codec(arrays: Arrays, meta: dict[str, Any]) -> dict[str, float]:
    """`codes`, `quantised`, `vq2emb` from `feat`; `decoded` from `codes`."""
    from emovoice.encoder.semantic_codec import SemanticCodec
    from emovoice.indextts.config import codec_config

    divisor = meta.get("downsample_scale", 2 if meta["model"].startswith("Enhanced") else 1) or 1
    codec = _filled(SemanticCodec(codec_config(_setting(meta, "config"), divisor)), meta)

    def of_codes(call: Callable[[Tensor], Tensor]) -> Tensor:
        return call(_tensor(arrays, "codes"))

    return _differences(arrays, {
        "codes": lambda: codec.quantise(_tensor(arrays, "feat"))[0],
        "quantised": lambda: codec.quantise(_tensor(arrays, "feat"))[1],
        "vq2emb": lambda: of_codes(codec.embed).mT,
        "decoded": lambda: of_codes(codec.decode),
    })


def compare_campplus(arrays: Arrays, meta: dict[str, Any]) -> dict[str, float]:
    """`embedding` from `fbank`."""
    from emovoice.encoder.campplus import CampPlus, CampPlusConfig

    names = ("feat_dim", "embedding_size", "growth_rate", "bn_size", "init_channels")
    model = _filled(CampPlus(CampPlusConfig(**{name: meta[name] for name in names if name in meta})), meta)
    return _differences(arrays, {"embedding": lambda: model(_tensor(arrays, "fbank"))})


def compare_bigvgan(arrays: Arrays, meta: dict[str, Any]) -> dict[str, float]:
    """`wave` from `mel`. Sizes may stand in `meta` itself or in its `config`."""
    from emovoice.indextts.config import bigvgan_config
    from vocoders.bigvgan import BigVgan

    model = _filled(BigVgan(bigvgan_config({**meta.get("config", {}), **meta})), meta)
    return _differences(arrays, {"wave": lambda: model(_tensor(arrays, "mel"))})


def compare_s2m(arrays: Arrays, meta: dict[str, Any]) -> dict[str, float]:
    """`length_regulated` from `sem`, `gpt_layer` from `latent`, `estimator_out` and `mel_N_steps` from `z`."""
    from diffusion.s2m import SemanticToMel
    from diffusion.solver import continued
    from emovoice.indextts.config import s2m_config

    model = SemanticToMel(s2m_config(_setting(meta, "config"))).eval()
    for part, salt in _setting(meta, "salts").items():
        fill(getattr(model, part), salt, _setting(meta, "seed"), meta.get("weight_g_gain", 1.0))
    estimator = model.cfm["estimator"]

    def regulated() -> Tensor:
        lengths = arrays["ylens"].tolist()
        features = _tensor(arrays, "sem")
        rows = [model.conditions(row[None], length)[0] for row, length in zip(features, lengths, strict=True)]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)

    def flow() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        z, prompt, content, style = (_tensor(arrays, name) for name in ("z", "prompt", "mu", "style"))
        return z, prompt, content, style

    def once() -> Tensor:
        z, prompt, content, style = flow()
        given = nn.functional.pad(prompt, (0, z.shape[-1] - prompt.shape[-1]))
        return estimator(z, given, torch.full((len(z),), float(_setting(meta, "t"))), style, content)

    def solved(steps: int) -> Tensor:
        z, prompt, content, style = flow()
        return continued(estimator, z, prompt, content, style, steps, float(_setting(meta, "cfg_rate")))

    outputs: Outputs = {"length_regulated": regulated, "gpt_layer": lambda: model.gpt_layer(_tensor(arrays, "latent")),
                        "estimator_out": once}
    for name in arrays:
        if found := re.fullmatch(r"mel_(\d+)_steps", name):
            outputs[name] = partial(solved, int(found[1]))
    return _differences(arrays, outputs)


def compare_features(arrays: Arrays, _meta: dict[str, Any]) -> dict[str, float]:
    """`mel` from `wav22k`; `campplus_fbank`, `w2v_input_features` and `w2v_attention_mask` from `wav16k`."""
    from emovoice.encoder.campplus import fbank
    from emovoice.encoder.w2v_bert import input_features
    from vocoders.mel import bigvgan_front_end

    return _differences(arrays, {
        "mel": lambda: bigvgan_front_end()(_tensor(arrays, "wav22k")),
        "campplus_fbank": lambda: fbank(_tensor(arrays, "wav16k").reshape(-1)),
        "w2v_input_features": lambda: input_features(_tensor(arrays, "wav16k").reshape(-1))[0],
        "w2v_attention_mask": lambda: input_features(_tensor(arrays, "wav16k").reshape(-1))[1],
    })


@torch.no_grad()
def _differences(arrays: Arrays, outputs: Outputs) -> dict[str, float]:
    """What the file holds of the outputs, computed and compared."""
    held = {name: difference(compute().numpy(), arrays[name]) for name, compute in outputs.items() if name in arrays}
    if not held:
        raise InputError("the file holds no output of its model", field="arrays", value=sorted(arrays),
                         remedy=f"Expected are some of {', '.join(outputs)}")
    return held


def _filled(model: nn.Module, meta: dict[str, Any]) -> Any:
    fill(model, _setting(meta, "salt"), _setting(meta, "seed"), meta.get("weight_g_gain", 1.0))
    return model.eval()


def _tensor(arrays: Arrays, name: str) -> Tensor:
    if name not in arrays:
        raise InputError("an input is missing from the parity file", field="array", value=name)
    values = arrays[name]
    return torch.from_numpy(values.astype(np.int64 if np.issubdtype(values.dtype, np.integer) else np.float32))


def _setting(meta: dict[str, Any], name: str) -> Any:
    if name not in meta:
        raise InputError("a value is missing from `meta`", field=f"meta.{name}")
    return meta[name]
