"""Crops line up with their sound, and the trainings of prior, flow and vocoder take steps on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion.dit import EstimatorConfig
from diffusion.flow import FlowConfig
from diffusion.prior import Prior, PriorConfig
from diffusion.regulator import RegulatorConfig
from emovoice.emotion.space import EmotionSpace
from emovoice.training.data import Utterance, utterance
from emovoice.training.features import Features, Prompts
from emovoice.training.flow import CROP_CODES, Crops, FlowTraining, PriorTraining, crop_start
from emovoice.training.loop import Budget
from emovoice.training.vocoder import SEGMENT, guessed_segments, segments
from vocoders.mel import LogMel

CONFIG = FlowConfig(
    EstimatorConfig(dim=16, content_dim=16, depth=2, heads=2, ffn=16, wavenet_layers=1),
    RegulatorConfig(in_channels=8, channels=16, phone_channels=4),
    prior=PriorConfig(embedding=4, dim=16, code_blocks=1, frame_blocks=1),
)


def spoken(number: int, codes: int) -> Utterance:
    noise = np.random.default_rng(number)
    samples = (3000 * noise.standard_normal(codes * 960)).astype(np.int16)
    phonemes = "həlˈO ðˈɛɹ."
    durations = [2, *([codes * 960 // 600 // (len(phonemes) + 2)] * len(phonemes)), 40]
    row = {
        "id": f"{number}a", "group": number, "voice": "anna", "emotion": "neutral", "intensity": 0.0, "warp": 1.0,
        "phonemes": phonemes, "durations": durations, "f0_hz": [120.0] * (codes * 4), "energy": [0.0],
    }  # fmt: skip
    return utterance(row, samples)


@pytest.fixture(scope="module")
def items() -> list[Utterance]:
    return [spoken(number, codes) for number, codes in enumerate((60, 75, 30, 90))]


@pytest.fixture(scope="module")
def crops(items: list[Utterance]) -> Crops:
    noise = np.random.default_rng(0)
    features = Features()
    for u in items:
        features.codes[u.id] = noise.integers(0, 1000, u.codes)
        features.timbre[u.id] = noise.standard_normal(192, np.float32)
        features.emotion[u.id] = noise.standard_normal(256, np.float32)
    space = EmotionSpace(np.zeros(256, np.float32), np.zeros((8, 256), np.float32))
    return Crops(features, Prompts(items, features, space))


def test_a_crop_is_the_mel_of_its_codes(items: list[Utterance], crops: Crops) -> None:
    batch = crops.make_batch(items[:2], np.random.default_rng(0), [0, 8])
    assert batch.mel.shape == (2, 100, CROP_CODES * 15 // 4) and batch.codes.shape == (2, CROP_CODES)
    whole = LogMel()(torch.from_numpy(items[1].samples / 32768.0).float()[None])
    assert torch.allclose(batch.mel[1], whole[0, :, 30 : 30 + 180], atol=0.02), "8 codes are 30 frames"


def test_short_items_are_padded_and_masked(items: list[Utterance], crops: Crops) -> None:
    batch = crops.make_batch([items[2], items[0]], np.random.default_rng(0))
    assert batch.mask.sum(1).tolist() == [30 * 15 // 4, 180]


def test_crops_start_within_the_item(items: list[Utterance]) -> None:
    starts = {crop_start(items[3], np.random.default_rng(seed)) for seed in range(60)}
    assert starts <= set(range(0, 43, 4)) and len(starts) > 5


def test_guessed_cuts_pair_each_mel_with_its_own_wave(items: list[Utterance], crops: Crops) -> None:
    """A prior that knows the truth must give the mel that the wave itself has."""

    class Oracle(Prior):
        def __init__(self) -> None:
            super().__init__(PriorConfig(embedding=4, dim=8, code_blocks=1, frame_blocks=1))

        def forward(self, codes: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            scale = FlowConfig()
            return (crops.last.mel - scale.mel_mean) / scale.mel_std  # type: ignore[attr-defined]

    make = crops.make_batch

    def remember(*args: object) -> object:
        crops.last = make(*args)  # type: ignore[attr-defined, arg-type]
        return crops.last  # type: ignore[attr-defined]

    crops.make_batch = remember  # type: ignore[method-assign, assignment]
    try:
        cut = next(guessed_segments(items, 3, 1, crops, Oracle()))
    finally:
        del crops.make_batch  # type: ignore[method-assign]
    assert cut.mel is not None and cut.wave.shape == (3, SEGMENT)
    inner = slice(3, -3)  # the window reaches beyond the ends of the cut
    assert torch.allclose(LogMel()(cut.wave)[..., inner], cut.mel[..., inner], atol=0.05)


def test_plain_cuts_have_the_right_size(items: list[Utterance]) -> None:
    assert next(segments(items, 4, 0)).wave.shape == (4, SEGMENT)


@pytest.mark.parametrize("kind", ["prior", "flow", "flow around a prior"])
def test_it_trains_and_checks(kind: str, items: list[Utterance], crops: Crops, tmp_path: Path) -> None:
    torch.manual_seed(0)
    budget = Budget(0.05, 5e-3, warmup_steps=1)
    if kind == "prior":
        training: PriorTraining | FlowTraining = PriorTraining(tmp_path, budget, "cpu", CONFIG, crops, batch=4)
    else:
        prior = Prior(CONFIG.prior).eval() if kind == "flow around a prior" and CONFIG.prior else None
        training = FlowTraining(tmp_path, budget, "cpu", CONFIG, crops, prior, batch=4)
    training.train(items, items)
    lines = (tmp_path / "curves.jsonl").read_text().splitlines()
    assert training.run.step > 2 and '"held_' in lines[-1]
