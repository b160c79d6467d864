"""The transformer's training on made-up recordings: what it would write has the shape of what was recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ar_tts.model import TextToCodesConfig
from ar_tts.reader import ReaderConfig
from emovoice.emotion.space import EmotionSpace
from emovoice.text.symbols import VOCAB_SIZE
from emovoice.training.data import Utterance, utterance
from emovoice.training.features import SPOKEN_SHARE, Features, Prompts
from emovoice.training.loop import Budget
from emovoice.training.t2s import TextToCodesTraining

CONFIG = TextToCodesConfig(
    dim=16, layers=1, heads=2, text=VOCAB_SIZE - 2, codes=50, reader=ReaderConfig(symbols=VOCAB_SIZE, symbol_dim=4)
)


def recorded(number: int, codes: int) -> Utterance:
    phonemes = "həlˈO ðˈɛɹ."
    durations = [2, *([codes * 960 // 600 // (len(phonemes) + 2)] * len(phonemes)), 40]
    row = {
        "id": f"{number}a", "group": number, "voice": "anna", "emotion": "neutral", "intensity": 0.0, "warp": 1.0,
        "phonemes": phonemes, "durations": durations, "f0_hz": [120.0] * (codes * 4), "energy": [0.0],
    }  # fmt: skip
    noise = np.random.default_rng(number)
    return utterance(row, (3000 * noise.standard_normal(codes * 960)).astype(np.int16))


@pytest.fixture
def items() -> list[Utterance]:
    return [recorded(number, codes) for number, codes in enumerate((60, 75, 30))]


@pytest.fixture
def training(items: list[Utterance], tmp_path: Path) -> TextToCodesTraining:
    noise, features = np.random.default_rng(0), Features()
    for u in items:
        features.codes[u.id] = noise.integers(0, CONFIG.codes, u.codes)
        features.timbre[u.id] = noise.standard_normal(192, np.float32)
        features.emotion[u.id] = noise.standard_normal(256, np.float32)
    space = EmotionSpace(np.zeros(256, np.float32), np.zeros((8, 256), np.float32))
    return TextToCodesTraining(
        tmp_path, Budget(0.05, 5e-3, warmup_steps=1), "cpu", CONFIG, features, Prompts(items, features, space)
    )


def test_it_trains_and_then_writes_a_code_for_every_step(training: TextToCodesTraining, items: list[Utterance]) -> None:
    training.train(items, [], items)
    assert training.run.step > 1
    spoken = training.spoken_codes(items, np.random.default_rng(0))
    assert {u.id: u.codes for u in items} == {name: len(codes) for name, codes in spoken.items()}
    assert all(codes.min() >= 0 and codes.max() < CONFIG.codes for codes in spoken.values()), "no start, no stop"


def test_codes_to_learn_from_are_of_both_kinds_and_survive_saving(tmp_path: Path) -> None:
    zeros = np.zeros(3, np.int64)
    features = Features(codes={"a": zeros, "b": zeros}, spoken={"a": zeros + 1})
    features.save(tmp_path / "features.safetensors")
    features = Features.load(tmp_path / "features.safetensors")
    rng = np.random.default_rng(0)
    drawn = [features.codes_of("a", rng)[0] for _ in range(400)]
    assert np.mean(drawn) == pytest.approx(SPOKEN_SHARE, abs=0.1)
    assert not features.codes_of("b", rng).any(), "nothing was written for b"
