"""Mel front end and vocoder: n samples, n // hop frames, n // hop * hop samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vocoders.mel import FLOOR, LogMel, mel_filters
from vocoders.vocos import Vocoder, VocosConfig


@pytest.mark.parametrize(("samples", "hop"), [(2560, 256), (2559, 256), (2400, 240), (24_000, 240)])
def test_frames_tile_the_wave(samples: int, hop: int) -> None:
    assert LogMel(hop=hop)(torch.randn(2, samples)).shape == (2, 100, samples // hop)


def test_a_tone_lights_its_band_and_doubling_adds_log_two() -> None:
    tone = 0.1 * torch.sin(2 * torch.pi * 1000 * torch.arange(24_000) / 24_000)[None]
    mel = LogMel()(tone)[0, :, 40]
    centre = mel_filters(24_000, 1024, 100)[int(mel.argmax())].argmax() * 24_000 / 1024
    assert abs(centre - 1000) < 50
    louder = LogMel()(2 * tone)[0, :, 40]
    assert torch.allclose((louder - mel)[mel > -3], torch.tensor(np.log(2)).float(), atol=1e-3)


def test_silence_is_the_floor() -> None:
    assert torch.allclose(LogMel()(torch.zeros(1, 2560)), torch.tensor(np.log(FLOOR)).float())


def test_every_filter_has_weight() -> None:
    assert (mel_filters(24_000, 1024, 80).sum(1) > 0).all()


def test_vocoder_gives_whole_frames() -> None:
    vocoder = Vocoder(VocosConfig(dim=16, intermediate_dim=32, layers=1)).eval()
    for frames in (1, 2, 9):
        assert vocoder(torch.randn(2, 100, frames)).shape == (2, frames * 256)
