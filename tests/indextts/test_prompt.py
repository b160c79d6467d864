"""What is taken from prompts: lengths, the two ways to 16 kHz, warnings and refusals; on small random modules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from diffusion.dit import EstimatorConfig
from diffusion.regulator import RegulatorConfig
from diffusion.s2m import SemanticToMel, SemanticToMelConfig
from emovoice.encoder.campplus import CampPlus, CampPlusConfig
from emovoice.encoder.semantic_codec import SemanticCodec, SemanticCodecConfig
from emovoice.encoder.w2v_bert import SemanticFeatures
from emovoice.errors import AudioError
from emovoice.indextts.prompt import (
    PromptEncoders,
    emotion_features,
    emotion_wave,
    read_prompt,
    speaker_prompt,
    speaker_waves,
)
from emovoice.limits import Limits
from emovoice.testing.weights import fill
from vocoders.mel import bigvgan_front_end

ROOT = Path(__file__).resolve().parent.parent.parent
SPEECH = ROOT / "emovoice" / "evaluation" / "data" / "prompts" / "af_bella.flac"
WIDTH = 16


@pytest.fixture(scope="module")
def encoders() -> PromptEncoders:
    w2v = {"hidden_size": WIDTH, "num_attention_heads": 2, "intermediate_size": 32, "output_hidden_size": WIDTH}
    s2m = SemanticToMelConfig(
        EstimatorConfig(80, 16, 8, 192, 1, 2, 32, 1),
        RegulatorConfig(codes=0, in_channels=WIDTH, channels=8, melody=False, phones=0), (4, WIDTH))  # fmt: skip
    parts = PromptEncoders(
        SemanticFeatures(w2v, 2), CampPlus(CampPlusConfig()), SemanticToMel(s2m), bigvgan_front_end(),
        SemanticCodec(SemanticCodecConfig(64, WIDTH, 4, 16, 24, 1)))  # fmt: skip
    for name, module in vars(parts).items():
        fill(getattr(module, "model", module), f"{name}:", 0)  # not the statistics: a variance is above 0
        module.eval()
    return parts


def test_a_recording_gives_all_that_the_pipeline_needs(encoders: PromptEncoders) -> None:
    prompt = speaker_prompt(SPEECH, encoders)
    samples, rate = soundfile.read(SPEECH)
    length_s = len(samples) / rate
    assert prompt.mel.shape == (1, 80, round(np.ceil(length_s * 22_050) // 256))
    assert prompt.condition.shape == (1, prompt.mel.shape[-1], 8)
    assert prompt.style.shape == (1, 192) and prompt.features.shape[2] == WIDTH
    assert abs(prompt.features.shape[1] / 50 - length_s) < 0.05
    assert all(torch.isfinite(part).all() for part in (prompt.mel, prompt.condition, prompt.style, prompt.features))
    assert prompt.warnings == ()


def test_fifteen_seconds_are_used_and_it_is_said(encoders: PromptEncoders) -> None:
    samples, rate = soundfile.read(SPEECH, dtype="float32")
    long = np.tile(samples, 5)[: 20 * rate]
    prompt = speaker_prompt((long, rate), encoders)
    assert prompt.mel.shape[-1] == prompt.condition.shape[1] == 1291 and prompt.features.shape[1] == 749
    assert prompt.warnings == ("of 20.0 s the first 15 s were used",)
    other = long.copy()
    other[16 * rate :] = 0
    again = speaker_prompt((other, rate), encoders)
    assert torch.equal(prompt.mel[..., :1280], again.mel[..., :1280]), "what comes later does not matter"
    features, warnings = emotion_features((long, rate), encoders)
    assert features.shape == prompt.features.shape and warnings == prompt.warnings


def test_without_a_codec_the_condition_is_of_the_raw_features(encoders: PromptEncoders) -> None:
    raw = PromptEncoders(encoders.features, encoders.speaker, encoders.s2m, encoders.mel, None)
    quantised, plain = speaker_prompt(SPEECH, encoders), speaker_prompt(SPEECH, raw)
    frames = plain.mel.shape[-1]
    assert torch.equal(plain.condition, encoders.s2m.conditions(plain.features, frames))
    assert torch.equal(plain.features, quantised.features)
    assert (plain.condition - quantised.condition).abs().max() > 1e-2


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_the_two_ways_to_16_khz_agree_closely_and_not_exactly(rate: int) -> None:
    seconds = np.arange(rate) / rate
    samples = (0.3 * np.sin(2 * np.pi * 440 * seconds) + 0.2 * np.sin(2 * np.pi * 1234 * seconds)).astype(np.float32)
    wave_22k, by_22k = speaker_waves(samples, rate)
    direct = emotion_wave(samples, rate)
    assert wave_22k.shape == (22_050,) and by_22k.shape == direct.shape == (16_000,)
    inner = slice(200, -200)
    assert torch.allclose(by_22k[inner], direct[inner], atol=1e-2)
    assert not torch.equal(by_22k, direct)
    expected = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    expected += 0.2 * np.sin(2 * np.pi * 1234 * np.arange(16_000) / 16_000)
    assert np.allclose(direct.numpy()[inner], expected[inner], atol=1e-2)


@pytest.mark.parametrize(("count", "rate"), [(30_011, 48_000), (24_001, 44_100), (12_345, 24_000), (9_001, 8_000)])
def test_resampled_lengths_are_rounded_up(count: int, rate: int) -> None:
    samples = np.random.default_rng(0).standard_normal(count).astype(np.float32)
    assert len(speaker_waves(samples, rate)[0]) == -(-count * 22_050 // rate)
    assert len(emotion_wave(samples, rate)) == -(-count * 16_000 // rate)


def test_channels_are_mixed_and_loud_samples_scaled_with_a_word_about_it() -> None:
    tone = np.sin(np.arange(48_000) * 0.05).astype(np.float32)
    stereo = np.stack([2.0 * tone, np.zeros_like(tone)], 1)
    samples, rate, warnings = read_prompt((stereo, 48_000))
    assert rate == 48_000 and np.allclose(samples, tone, atol=1e-5)
    assert any("2 channels" in warning for warning in warnings) and any("beyond 1" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ((np.zeros(48_000, np.float32), 24_000), "silent"),
        ((0.1 * np.ones(5_000, np.float32), 24_000), "too short"),
        ((np.full(48_000, np.nan, np.float32), 24_000), "not numbers"),
        ((0.1 * np.ones(48_000, np.float32), 12), "sample rate"),
        ((np.concatenate([np.zeros(16 * 8000), np.ones(8000)]).astype(np.float32), 8000), "first 15 s"),
        ("nowhere.wav", "no such recording"),
    ],
)
def test_what_cannot_be_used_is_refused(source: object, words: str) -> None:
    with pytest.raises(AudioError, match=words):
        read_prompt(source)  # type: ignore[arg-type]


def test_limits_hold(encoders: PromptEncoders) -> None:
    with pytest.raises(AudioError, match="longer"):
        speaker_prompt(SPEECH, encoders, limits=Limits(reference_s=1.0))
