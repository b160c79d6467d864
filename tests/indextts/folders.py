"""Writes small models in exactly the published layout, with random weights: for tests of the whole pipeline.

Widths are tiny but where the published structure fixes them: CAM++ is whole, w2v-BERT has its 17 layers, emotions are
1024 wide on their way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from ar_tts.unified import unified_voice
from diffusion.s2m import SemanticToMel
from emovoice.encoder.campplus import CampPlus, CampPlusConfig
from emovoice.encoder.semantic_codec import SemanticCodec
from emovoice.encoder.w2v_bert import SemanticFeatures
from emovoice.hub.registry import model
from emovoice.indextts.config import bigvgan_config, codec_config, s2m_config
from emovoice.indextts.loading import LATENT_WIDTHS, RELEASES, t2s_config
from emovoice.indextts.prototypes import BANK_SIZES
from tests.hub.published import wrapped
from tests.indextts import vocabularies
from vocoders.bigvgan import BigVgan

WIDTH, FEATURES, CODES = 64, 32, 40
MOST_CODES, MOST_TEXT = 160, 120

W2V_CONFIG = {
    "hidden_size": FEATURES, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 18,
    "feature_projection_input_dim": 160, "conv_depthwise_kernel_size": 31, "position_embeddings_type": "relative_key",
    "left_max_position_embeddings": 64, "right_max_position_embeddings": 8, "hidden_act": "swish",
    "model_type": "wav2vec2-bert", "add_adapter": False,
}  # fmt: skip
BIGVGAN_CONFIG = {
    "num_mels": 80, "upsample_initial_channel": 16, "upsample_rates": [8, 8, 4], "upsample_kernel_sizes": [16, 16, 8],
    "resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1]], "resblock": "1", "activation": "snakebeta",
    "snake_logscale": True, "use_tanh_at_final": False, "use_bias_at_final": False, "sampling_rate": 22050,
}  # fmt: skip


def config_of(release: str, text_tokens: int) -> dict[str, Any]:
    """What `config.yaml` says."""
    conditioner = {"output_size": 8, "linear_units": 16, "attention_heads": 1, "num_blocks": 1,
                   "input_layer": "conv2d2", "perceiver_mult": 0.1}  # fmt: skip
    return {
        "gpt": {
            "model_dim": WIDTH, "layers": 2, "heads": 2, "max_mel_tokens": MOST_CODES, "max_text_tokens": MOST_TEXT,
            "number_text_tokens": text_tokens, "number_mel_codes": CODES + 2, "start_mel_token": CODES,
            "stop_mel_token": CODES + 1, "start_text_token": 0, "stop_text_token": 1,
            "condition_type": "conformer_perceiver", "condition_module": conditioner,
            "emo_condition_module": conditioner, "use_mel_codes_as_input": True, "mel_length_compression": 1024,
        },
        "semantic_codec": {"codebook_size": CODES, "hidden_size": FEATURES, "codebook_dim": 8, "vocos_dim": 16,
                           "vocos_intermediate_dim": 32, "vocos_num_layers": 1},
        "s2mel": {
            "preprocess_params": {"sr": 22050},
            "style_encoder": {"dim": 192},
            "DiT": {"hidden_dim": 16, "num_heads": 2, "depth": 3, "in_channels": 80, "style_condition": True,
                    "final_layer_type": "wavenet", "content_dim": 16, "is_causal": False, "f0_condition": False,
                    "long_skip_connection": True, "uvit_skip_connection": True, "block_size": 8192},
            "wavenet": {"hidden_dim": 16, "num_layers": 2, "kernel_size": 5, "dilation_rate": 1,
                        "style_condition": True},
            "length_regulator": {"channels": 16, "is_discrete": False, "in_channels": FEATURES,
                                 "sampling_ratios": [1, 1, 1, 1]},
        },
        "gpt_checkpoint": "gpt.pth", "s2mel_checkpoint": "s2mel.pth", "emo_num": list(BANK_SIZES),
        "qwen_emo_path": "qwen0.6bemo4-merge/", "version": release.removeprefix("indextts-"),
    }  # fmt: skip


def modules_of(release: str, config: Mapping[str, Any]) -> dict[str, nn.Module]:
    """Random modules by the names of the parts."""
    from dataclasses import replace

    kind = RELEASES[release]
    codec = codec_config(config["semantic_codec"], kind.rate_divisor)
    s2m = replace(s2m_config(config["s2mel"]), latent=(WIDTH, *LATENT_WIDTHS, FEATURES))
    return {
        "t2s": unified_voice(t2s_config(config["gpt"], kind, FEATURES)), "codec": SemanticCodec(codec),
        "s2mel": SemanticToMel(s2m), "campplus": CampPlus(CampPlusConfig()),
        "vocoder": BigVgan(bigvgan_config(BIGVGAN_CONFIG)), "w2v_bert": SemanticFeatures(W2V_CONFIG, 18).model,
    }  # fmt: skip


def write(folder: Path, release: str, seed: int = 0) -> Path:
    """All files of a release but the emotion model; not converted."""
    from safetensors.torch import save_file

    known = model(release)
    folder.mkdir(parents=True, exist_ok=True)
    if release == "indextts-2":
        vocabularies.write_pieces(folder / known.tokenizer)
        text_tokens = 200
    else:
        vocabularies.write_ranks(folder / known.tokenizer)
        text_tokens = 2200
    config = config_of(release, text_tokens)
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    for name, content in (("hf_cache/w2v-bert-2.0/config.json", W2V_CONFIG), ("hf_cache/bigvgan/config.json",
                                                                            BIGVGAN_CONFIG)):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        values = {part: dict(module.state_dict()) for part, module in modules_of(release, config).items()}
        if "speed_emb.weight" in values["t2s"]:
            values["t2s"]["speed_emb.weight"] = torch.randn(2, WIDTH)
        values["w2v_stats"] = {"mean": torch.zeros(FEATURES), "var": torch.ones(FEATURES)}
        values["speaker_bank"] = {"tensor": torch.randn(sum(BANK_SIZES), 192)}
        values["emotion_bank"] = {"tensor": torch.randn(sum(BANK_SIZES), WIDTH)}
    for part, tensors in values.items():
        path = folder / known.parts[part].files[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
        else:
            torch.save(wrapped(part, tensors), path)
    return folder
