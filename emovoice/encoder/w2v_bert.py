"""w2v-BERT 2.0 features: a recording -> 1024 numbers, 50 times a second, standardised.

The model is transformers' Wav2Vec2Bert, cut after the layer whose output is used: IndexTTS-2 takes hidden state 17 of
24. Shapes: B batch, n samples, T frames at 50 Hz, C width.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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
