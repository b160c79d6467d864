"""Codecs, CAM++ and w2v-BERT features: rates, batches, loading. Their numbers are in tests/testing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from emovoice.encoder.campplus import CampPlus, CampPlusConfig, fbank
from emovoice.encoder.semantic_codec import SemanticCodec, SemanticCodecConfig
from emovoice.encoder.w2v_bert import SemanticFeatures, input_features
from emovoice.errors import ModelError
from emovoice.testing.weights import fill

TINY = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 5,
        "output_hidden_size": 16}  # fmt: skip
SMALL_CODEC = SemanticCodecConfig(32, 12, 4, 16, 24, 2)


def codec(rate_divisor: int = 1) -> SemanticCodec:
    model = SemanticCodec(SemanticCodecConfig(32, 12, 4, 16, 24, 2, rate_divisor))
    fill(model, "codec:", 0)
    return model.eval()


@pytest.mark.parametrize(("divisor", "frames", "codes"), [(1, 9, 9), (2, 9, 5), (2, 10, 5), (2, 1, 1)])
def test_codes_come_at_the_rate_of_the_codec(divisor: int, frames: int, codes: int) -> None:
    model = codec(divisor)
    found, quantised = model.quantise(torch.randn(2, frames, 12))
    assert found.shape == (2, codes) and quantised.shape == (2, codes, 12)
    assert torch.equal(model.embed(found), quantised)
    assert model.decode(found).shape == (2, codes * divisor, 12)


def test_the_nearest_code_is_the_one_of_least_angle() -> None:
    model = codec()
    book = model.quantizer.get_submodule("quantizers.0")
    codes = torch.arange(32)[None]
    rows = book.codebook(codes)  # type: ignore[operator]
    for scale in (0.1, 1.0, 30.0):
        book.in_project = torch.nn.Identity()  # type: ignore[assignment]
        assert torch.equal(book.encode(scale * rows.mT), codes)  # type: ignore[operator]


@pytest.mark.parametrize("divisor", [1, 2])
def test_rows_of_a_codec_do_not_mix(divisor: int) -> None:
    model, features = codec(divisor), torch.randn(3, 11, 12)
    codes, quantised = model.quantise(features)
    alone = model.quantise(features[1:2])
    assert torch.equal(codes[1:2], alone[0]) and torch.allclose(quantised[1:2], alone[1], atol=1e-5)
    assert torch.allclose(model.decode(codes)[1:2], model.decode(codes[1:2]), atol=1e-5)


def speaker_encoder() -> CampPlus:
    model = CampPlus(CampPlusConfig())
    fill(model, "speaker:", 0)
    return model.eval()


@pytest.mark.parametrize("frames", [3, 100, 201, 350])
def test_any_length_gives_192_numbers_and_rows_do_not_mix(frames: int) -> None:
    model, features = speaker_encoder(), torch.randn(2, frames, 80)
    together = model(features)
    assert together.shape == (2, 192) and torch.isfinite(together).all()
    assert torch.allclose(together[1:], model(features[1:]), atol=1e-4)


def test_filter_bank_is_kaldis() -> None:
    from torchaudio.compliance import kaldi

    wave = 0.3 * torch.randn(8000)
    expected = kaldi.fbank(wave[None], num_mel_bins=80, dither=0.0, sample_frequency=16_000)
    found = fbank(wave)
    assert torch.allclose(found, expected - expected.mean(0), atol=1e-3)
    assert found.shape == (48, 80) and found.mean(0).abs().max() < 1e-5
    assert torch.allclose(fbank(0.1 * wave), found, atol=1e-3), "the level of a recording does not matter"


def test_silence_is_no_infinity() -> None:
    assert torch.isfinite(fbank(torch.zeros(4000))).all()


@pytest.mark.parametrize(("samples", "frames", "counted"), [(8000, 24, 24), (8160, 25, 24), (240_000, 749, 749)])
def test_input_features_are_standardised_pairs_of_frames(samples: int, frames: int, counted: int) -> None:
    torch.manual_seed(0)
    features, mask = input_features(0.1 * torch.randn(samples))
    assert features.shape == (1, frames, 160) and mask.shape == (1, frames) and mask.sum() == counted
    whole = features[0, :counted].reshape(-1, 80)
    assert whole.mean(0).abs().max() < 0.2 and abs(whole.std() - 1) < 0.1


def saved(folder: Path) -> torch.nn.Module:
    """A random model of five layers in a folder of the published layout."""
    from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

    torch.manual_seed(0)
    model = Wav2Vec2BertModel(Wav2Vec2BertConfig(**TINY)).eval()
    model.save_pretrained(folder)
    return model


def test_cut_features_are_the_hidden_state_of_the_whole_model(tmp_path: Path) -> None:
    whole, wave = saved(tmp_path), 0.1 * torch.randn(9000)
    features, mask = input_features(wave)
    with torch.no_grad():
        hidden = whole(features, attention_mask=mask, output_hidden_states=True).hidden_states
    for layers in (1, 3, 4):
        cut = SemanticFeatures.load(tmp_path, layers)
        assert torch.allclose(cut(wave), hidden[layers], atol=1e-5)
        assert len(cut.model.encoder.layers) == layers


def test_statistics_standardise(tmp_path: Path) -> None:
    saved(tmp_path)
    model, wave = SemanticFeatures.load(tmp_path, 3), 0.1 * torch.randn(9000)
    raw, mean, variance = model(wave), torch.randn(16), torch.rand(16) + 0.5
    model.set_statistics(mean, variance)
    assert torch.allclose(model(wave), (raw - mean) / variance.sqrt(), atol=1e-5)
    assert set(model.state_dict()) >= {"mean", "variance"}
    with pytest.raises(ModelError, match="mean"):
        model.set_statistics(mean[:5], variance)


def test_a_damaged_folder_says_what_is_wrong(tmp_path: Path) -> None:
    saved(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    missing = "encoder.layers.1.ffn1.output_dense.weight"
    save_file({name: tensor for name, tensor in weights.items() if name != missing}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=missing):
        SemanticFeatures.load(tmp_path, 3)
    assert SemanticFeatures.load(tmp_path, 1).layers == 1, "what is not needed may be missing"
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="cannot be read"):
        SemanticFeatures.load(tmp_path, 3)
    (tmp_path / "config.json").write_text(json.dumps([1]))
    with pytest.raises(ModelError, match="cannot be read"):
        SemanticFeatures.load(tmp_path, 3)
    with pytest.raises(ModelError, match="cannot be read"):
        SemanticFeatures.load(tmp_path / "absent")
