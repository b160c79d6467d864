"""Tokenizer, reference encoder and the scales of pitch and level."""

from __future__ import annotations

import numpy as np
import torch

from emovoice.encoder import melody
from emovoice.encoder.blocks import reverse_gradient
from emovoice.encoder.reference import ReferenceConfig, ReferenceEncoder
from emovoice.encoder.tokenizer import FiniteScalarQuantiser, SemanticTokenizer, TokenizerConfig


def test_quantiser_reaches_every_code_and_each_code_is_one_value() -> None:
    quantiser = FiniteScalarQuantiser((4, 3))
    values, codes = quantiser(torch.randn(5000, 2) * 4)
    assert sorted(set(codes.tolist())) == list(range(12))
    for code in range(12):
        assert len(torch.unique(values[codes == code], dim=0)) == 1
    assert values.abs().max() <= 1


def test_quantiser_lets_gradients_through() -> None:
    x = torch.randn(10, 2, requires_grad=True)
    FiniteScalarQuantiser((4, 3))(x)[0].sum().backward()
    assert x.grad is not None and (x.grad != 0).all()


def test_tokenizer_gives_a_code_per_40_ms() -> None:
    tokenizer = SemanticTokenizer(TokenizerConfig(dim=16, layers=1, phones=10)).eval()
    tokens = tokenizer(torch.randn(2, 80, 4 * 13))
    assert tokens.codes.shape == (2, 13)
    assert tokens.pitch_logits.shape == (2, 13, 128) and tokens.phone_logits.shape == (2, 26, 10)
    assert tokens.codes.max() < TokenizerConfig().codes == 1000


def test_padding_does_not_reach_the_vectors() -> None:
    encoder = ReferenceEncoder(ReferenceConfig(dim=16, speakers=3)).eval()
    mel = torch.full((1, 80, 80), -11.5)
    mel[..., :40] = torch.randn(1, 80, 40)
    short = encoder(mel[..., :60], torch.tensor([40]))
    long = encoder(mel, torch.tensor([40]))
    for a, b in zip(short, long, strict=True):
        assert torch.allclose(a, b, atol=1e-4)
    assert torch.allclose(short[0].norm(dim=-1), torch.ones(1), atol=1e-5)


def test_reversed_gradient() -> None:
    x = torch.ones(3, requires_grad=True)
    reverse_gradient(x, 0.5).sum().backward()
    assert torch.equal(x.grad, torch.full((3,), -0.5))


def test_pitch_bins_round_trip_within_half_a_step() -> None:
    hz = np.concatenate([[0.0], np.geomspace(50, 650, 300)])
    back = melody.bin_to_pitch(melody.pitch_to_bin(hz))
    assert back[0] == 0
    assert np.abs(12 * np.log2(back[1:] / hz[1:])).max() < 0.19
    assert melody.pitch_to_bin(np.array([10.0, 5000.0])).tolist() == [1, 127], "beyond the range: its ends"


def test_level_bins_round_trip_within_half_a_bin() -> None:
    db = np.linspace(-79.9, -1, 200)
    assert np.abs(melody.bin_to_level(melody.level_to_bin(db)) - db).max() <= 1.0 + 1e-5


def test_level_of_a_full_scale_square_is_zero_db() -> None:
    assert np.allclose(melody.level_of(np.ones(1920)), 0.0, atol=1e-6)


def test_pitch_per_code_needs_half_a_window_of_voice() -> None:
    f0 = np.array([0, 0, 0, 100, 100, 100, 200, 200, 200, 0, 0, 200], float)
    assert np.allclose(melody.pitch_per_code(f0, 75, 4), [0, 100, 200, 0])
