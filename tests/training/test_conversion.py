"""Trainings of conversion on a handful of noises: labels line up, steps are taken, and what is fitted is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffusion.emoreg import EmoRegConfig
from emovoice import bundle as bundles
from emovoice.emotion.directions import Directions
from emovoice.emotion.names import EMOTIONS
from emovoice.emotion.prosody import MOVES
from emovoice.emotion.space import EmotionSpace
from emovoice.encoder.tokenizer import SemanticTokenizer, TokenizerConfig
from emovoice.engine import Engine
from emovoice.training import conversion, parts
from emovoice.training.conversion import Crops, Listener, ScoreTraining
from emovoice.training.data import Utterance, utterance
from emovoice.training.features import Features, Prompts
from emovoice.training.loop import Budget

SMALL = EmoRegConfig(dim=16, depth=1)


def spoken(group: int, emotion: str = "neutral", intensity: float = 0.0, codes: int = 40) -> Utterance:
    """Noise whose pitch and level follow the emotion's number and the intensity."""
    draw = np.random.default_rng(group)
    kind = EMOTIONS.index(emotion) + 1 if emotion in EMOTIONS else 0
    samples = (1000 * 2 ** (intensity * (kind - 4) / 4) * draw.standard_normal(codes * 960)).astype(np.int16)
    phonemes = "həlˈO ðˈɛɹ."
    durations = [2, *([codes * 960 // 600 // (len(phonemes) + 2)] * len(phonemes)), 40]
    pitch = 120 * 2 ** (intensity * kind / 12 + 0.1 * np.sin(np.arange(codes * 4) / 20))
    row = {
        "id": f"{group}{emotion}", "group": group, "voice": "anna", "emotion": emotion, "intensity": intensity,
        "warp": 1.0, "phonemes": phonemes, "durations": durations, "f0_hz": pitch.tolist(), "energy": [0.0],
    }  # fmt: skip
    return utterance(row, samples)


@pytest.fixture(scope="module")
def items() -> list[Utterance]:
    out = []
    for group in range(32):
        out += [spoken(group), spoken(group, EMOTIONS[group % 8], (1.0, 0.7, 0.4)[group % 3])]
    return out


@pytest.fixture(scope="module")
def features(items: list[Utterance]) -> Features:
    """Vectors that know the emotion, and the speaker in a part of their own."""
    draw = np.random.default_rng(0)
    found, directions = Features(), np.random.default_rng(1).standard_normal((8, 256))
    for u in items:
        found.codes[u.id] = draw.integers(0, 1000, u.codes)
        found.timbre[u.id] = draw.standard_normal(192).astype(np.float32) / 14
        found.emotion[u.id] = (u.weights @ directions + 0.1 * draw.standard_normal(256)).astype(np.float32)
    return found


@pytest.fixture(scope="module")
def listener() -> Listener:
    torch.manual_seed(0)
    return Listener(SemanticTokenizer(TokenizerConfig(dim=16, layers=1, phones=68)).eval(), "cpu")


@pytest.fixture(scope="module")
def crops(items: list[Utterance], features: Features, listener: Listener) -> Crops:
    space = EmotionSpace(np.zeros(256, np.float32), np.zeros((8, 256), np.float32))
    return Crops(listener, features, Prompts(items, features, space))


def test_pairs_share_text_and_voice(items: list[Utterance]) -> None:
    pairs = conversion.pairs_of(items)
    assert len(pairs) == 32
    assert all(a.group == b.group and a.emotion == "neutral" != b.emotion for a, b in pairs)


def test_content_means_are_weighted_means(items: list[Utterance], listener: Listener) -> None:
    means = conversion.content_means(items[:3], listener)
    mels = np.concatenate([listener.mel(u) for u in items[:3]], 1).astype(np.float32)
    assert means.shape == (68, 100) and np.isfinite(means).all()
    assert means.min() >= mels.min() - 1e-3 and means.max() <= mels.max() + 1e-3
    assert listener.posteriors(items[0]).shape == (2 * items[0].codes, 68)


def test_a_crop_is_the_mel_of_its_labels(items: list[Utterance], crops: Crops) -> None:
    batch = crops.make_batch(items[:3], np.random.default_rng(0))
    frames = 40 * 960 // 256
    assert batch.mel.shape == (3, 100, frames) and batch.posteriors.shape == (3, frames, 68)
    assert batch.pitch_hz.shape == batch.level.shape == (3, frames) and batch.mask.all()
    assert torch.allclose(batch.posteriors.sum(-1), torch.ones(3, frames), atol=0.01)
    assert np.allclose(batch.mel[0].numpy(), crops.listener.mel(items[0])[:, :frames], atol=1e-3)
    voiced = batch.pitch_hz[batch.pitch_hz > 0]
    assert float(voiced.min()) > 100 and float(voiced.max()) < 250


def test_the_score_network_trains_and_checks(items: list[Utterance], crops: Crops, tmp_path: Path) -> None:
    torch.manual_seed(0)
    means = np.full((68, 100), -5.0, np.float32)
    budget = Budget(0.03, 5e-3, warmup_steps=1)
    training = ScoreTraining(tmp_path, budget, "cpu", SMALL, means, crops, batch=3)
    training.train(items, items)
    assert training.run.step > 1 and '"held_score"' in (tmp_path / "curves.jsonl").read_text().splitlines()[-1]
    assert np.array_equal(training.run.ema.shadow["means"].numpy(), means), "the means are data and do not move"


def test_directions_and_moves_of_a_corpus(items: list[Utterance], features: Features) -> None:
    space = conversion.fit_directions(items, features)
    assert isinstance(space, Directions) and space.about["pairs"] == 32
    moves = conversion.fit_moves(items, features, space)
    named = MOVES.index("pitch_st")
    assert moves.of(space.directions)[:, named] == pytest.approx(np.arange(1, 9), abs=0.8)
    assert moves.named[:, named] == pytest.approx(np.arange(1, 9), abs=0.3)
    assert np.array_equal(moves.audible(np.zeros(256)), np.zeros(256))
    told = conversion.moves_told(items, features, space, moves)
    assert told["pitch_st"] > 0.9 and told["named level_db"] > 0.9
    assert 80 < moves.pitch_of(np.zeros(192)) < 85, "120 Hz are 82.9 semitones"


class _Runs:
    """A runs folder in which everything but the fitted parts is there."""

    def __init__(self, folder: Path, items: list[Utterance], features: Features, listener: Listener,
                 monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        features.save(folder / "features.safetensors")
        monkeypatch.setattr(parts, "load", lambda corpus: items)
        monkeypatch.setattr(parts, "trained_encoders", lambda runs, device="cpu": (listener.tokenizer, None))
        monkeypatch.setattr(parts, "SCORE", SMALL)
        self.studio = parts.Studio(folder, folder, minutes=0.02)


def test_the_parts_follow_each_other(items: list[Utterance], features: Features, listener: Listener, tmp_path: Path,
                                     monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    studio = _Runs(tmp_path / "runs", items, features, listener, monkeypatch).studio
    for part in ("directions", "prosody", "content", "score"):
        parts.PARTS[part](studio)
    printed = capsys.readouterr().out
    assert "components" in printed and "told_of_kept_out_pairs" in printed
    written = {path.name for path in (tmp_path / "runs").iterdir()}
    assert written >= {"directions.safetensors", "directions.json", "prosody.safetensors", "content.safetensors"}
    assert not any(name.endswith(".partial") for name in written)
    again = conversion.load_space(tmp_path / "runs" / "directions.safetensors")
    fitted = parts.space_of(items, features, tmp_path / "runs")
    assert isinstance(fitted, Directions) and np.array_equal(fitted.basis, again.basis)
    assert conversion.load_moves(tmp_path / "runs" / "prosody.safetensors").weights.shape == (len(MOVES), 256)


def test_a_calibration_is_fitted_anew_and_written(items: list[Utterance], features: Features, listener: Listener,
                                                  tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = _Runs(tmp_path / "runs", items, features, listener, monkeypatch).studio
    whole = bundles.load("debug")
    whole.config = replace(whole.config, seed=None)
    bundles.save(whole, tmp_path / "model")
    asked: list[Any] = []

    def strengths(engine: Engine, chosen: list[Utterance], inside: tuple[float, ...]) -> np.ndarray:
        space = engine.pipeline.bundle.space
        assert isinstance(space, Directions)
        assert np.allclose(space.calibration, np.linspace(0, 1, 11)), "measured without the old one"
        asked.extend(chosen)
        return np.tile(np.array(inside) ** 2, (8, 1))

    monkeypatch.setattr(conversion, "strengths", strengths)
    told = parts.calibrate(studio, str(tmp_path / "model"))
    assert set(told) == set(EMOTIONS) and all(u.emotion == "neutral" for u in asked)
    again = bundles.load(str(tmp_path / "model")).space
    assert isinstance(again, Directions)
    assert again.calibrated([0, 0, 0.25, 0, 0, 0, 0, 0])[2] == pytest.approx(0.5, abs=0.03)
    assert "strength_before_calibration" in json.loads((tmp_path / "model" / "space.json").read_text())


def test_strength_is_heard_from_no_intensity(items: list[Utterance], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine("debug")
    monkeypatch.setattr(conversion, "EMOTIONS", EMOTIONS[:2])
    found = conversion.strengths(engine, items[:1], (0.0, 1.0))
    assert found.shape == (2, 2) and np.array_equal(found[:, 0], np.zeros(2)) and np.isfinite(found).all()
