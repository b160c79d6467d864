"""w2v-BERT 2.0 features: a recording -> 1024 numbers, 50 times a second, standardised.

The model is transformers' Wav2Vec2Bert, cut after the layer whose output is used: IndexTTS-2 takes hidden state 17 of
24. Shapes: B batch, n samples, T frames at 50 Hz, C width.
"""
from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from emovoice.errors import ModelError

RATE_HZ = 16_000
LAYERS = 17
"""Layers that are computed; hidden state 0 is what enters the first."""


def input_features(wave: Tensor) -> tuple[Tensor, Tensor]:
    """(n,) at 16 kHz, in -1..1 -> features (1, T, 160), mask (1, T): 80 mel bands of two frames, standardised per band.

    An odd number of frames is filled up with ones; the mask is 0 there.
    """
    from transformers import SeamlessM4TFeatureExtractor

    extractor = SeamlessM4TFeatureExtractor(feature_size=80, num_mel_bins=80, sampling_rate=RATE_HZ, stride=2,
                                            padding_value=1.0)
    found = extractor(wave.detach().cpu().numpy().astype(np.float32), sampling_rate=RATE_HZ, return_tensors="pt")
    return found["input_features"], found["attention_mask"]


class SemanticFeatures(nn.Module):
    """The first layers of w2v-BERT 2.0, and the statistics that standardise what comes out."""

    mean: Tensor
    variance: Tensor

    def __init__(self, config: Mapping[str, Any], layers: int = LAYERS) -> None:
        """`config` is the model's own `config.json`; {} are the published sizes."""
        from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

        super().__init__()
        cut = {"num_hidden_layers": layers, "apply_spec_augment": False, "layerdrop": 0.0}
        self.model = Wav2Vec2BertModel(Wav2Vec2BertConfig(**{**config, **cut}))
        self.layers = layers
        width = self.model.config.hidden_size
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    @torch.inference_mode()
    def forward(self, wave: Tensor) -> Tensor:
        """(n,) at 16 kHz, in -1..1 -> (1, T, C), T = 50 a second. Computed where the weights are."""
        features, mask = (part.to(self.mean.device) for part in input_features(wave))
        hidden = self.model(features.to(self.mean.dtype), attention_mask=mask).last_hidden_state
        return (hidden - self.mean) / self.variance.sqrt()

    def set_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """What `wav2vec2bert_stats.pt` holds: `mean` and `var` (C,). Raises ModelError for other shapes."""
        for name, value in (("mean", mean), ("variance", variance)):
            own = getattr(self, name)
            if value.shape != own.shape:
                raise ModelError("statistics of another width than the model", field=name, value=tuple(value.shape),
                                 remedy="Take wav2vec2bert_stats.pt of the same release")
            setattr(self, name, value.detach().to(own))

    @classmethod
    def load(cls, folder: Path, layers: int = LAYERS) -> SemanticFeatures:
        """From a folder with `config.json` and `model.safetensors`; only the needed layers are read.

        Statistics are those of `set_statistics`. Raises ModelError.
        """
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            with torch.device("meta"):
                features = cls(config, layers)
            with safe_open(folder / "model.safetensors", framework="pt") as stored:
                wanted = set(features.model.state_dict()) & set(stored.keys())
                weights = {name: stored.get_tensor(name) for name in sorted(wanted)}
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            raise ModelError(f"w2v-BERT cannot be read: {error}", field="folder", value=str(folder),
                             remedy="Download facebook/w2v-bert-2.0 again") from error
        features.model.load_state_dict(_whole(features.model, weights, folder), assign=True)
        width = features.model.config.hidden_size
        features.mean, features.variance = torch.zeros(width), torch.ones(width)
        return features.eval().requires_grad_(False)


def _whole(model: nn.Module, weights: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """`weights` in single precision, or a ModelError that names what is missing or of another shape."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    weights.setdefault("masked_spec_embed", torch.zeros(shapes["masked_spec_embed"]))  # used in training alone
    wrong = sorted(name for name, shape in shapes.items() if name not in weights or weights[name].shape != shape)
    if wrong:
        raise ModelError(f"{len(wrong)} tensors are missing or of the wrong shape, the first is {wrong[0]}",
                         field="folder", value=str(folder), remedy="Download facebook/w2v-bert-2.0 again")
    return {name: tensor.float() for name, tensor in weights.items() if name in shapes}
