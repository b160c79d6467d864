"""The flow decoder: exact lengths, masks, guidance, and that its solver solves."""

from __future__ import annotations

import torch

from diffusion.dit import Estimator, EstimatorConfig, rotate, rotation_table
from diffusion.flow import FlowConfig, FlowDecoder
from diffusion.regulator import PITCH_FEATURES, LengthRegulator, RegulatorConfig, pitch_features
from diffusion.weight_norm import NormedConv1d, NormedLinear

SMALL = EstimatorConfig(mels=6, dim=16, content_dim=16, style_dim=4, depth=3, heads=2, ffn=32, wavenet_layers=2)


REGULATOR = RegulatorConfig(codes=9, in_channels=8, channels=16, phones=5, phone_channels=4)


def decoder() -> FlowDecoder:
    torch.manual_seed(0)
    return FlowDecoder(FlowConfig(SMALL, REGULATOR)).eval()


def test_regulator_gives_any_number_of_frames() -> None:
    regulator = LengthRegulator(REGULATOR)
    codes = torch.randint(0, 9, (2, 10))
    for frames in (1, 7, 37, 38, 100):
        pitch, level, phones = torch.full((2, 10), 120.0), torch.zeros(2, 10), codes[..., None].repeat(1, 1, 3) % 5
        content = regulator(codes, pitch, level, phones, frames)
        assert content.shape == (2, frames, 16)


def test_published_names_and_shapes_are_reachable() -> None:
    published = EstimatorConfig(80, 512, 512, 192, 13, 8, 1536, 8)
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in Estimator(published).state_dict().items()}
    assert shapes["transformer.layers.12.attention.wqkv.weight"] == (1536, 512)
    assert shapes["transformer.layers.0.attention_norm.project_layer.weight"] == (1024, 512)
    assert shapes["cond_x_merge_linear.weight"] == (512, 864)
    assert shapes["wavenet.in_layers.7.conv.conv.weight_v"] == (1024, 512, 5)
    assert shapes["wavenet.res_skip_layers.7.conv.conv.weight_v"] == (512, 512, 1)
    assert shapes["wavenet.cond_layer.conv.conv.weight_g"] == (8192, 1, 1)
    assert shapes["final_layer.linear.weight_g"] == (512, 1) and shapes["conv2.weight"] == (80, 512, 1)


def test_padding_changes_nothing_where_the_mask_is_true() -> None:
    model = decoder().estimator
    x, style, content = torch.randn(1, 6, 20), torch.randn(1, 4), torch.randn(1, 20, 16)
    t = torch.tensor([0.3])
    alone = model(x, torch.zeros_like(x), t, style, content, torch.ones(1, 20, dtype=torch.bool))
    pad = torch.nn.functional.pad
    mask = torch.arange(30)[None] < 20
    longer = model(pad(x, (0, 10)), torch.zeros(1, 6, 30), t, style, pad(content, (0, 0, 0, 10)), mask)
    inner = slice(0, 12)  # the convolutions reach 2 frames a layer over the edge
    assert torch.allclose(alone[..., inner], longer[..., inner], atol=1e-4)


def test_solver_reproduces_by_noise_and_guidance_matters() -> None:
    model = decoder()
    content, style, noise = torch.randn(1, 15, 16), torch.randn(1, 4), torch.randn(1, 6, 15)
    one, two = (model.sample(content, style, noise, 4) for _ in range(2))
    assert torch.equal(one, two) and one.shape == (1, 6, 15)
    assert not torch.allclose(one, model.sample(content, style, noise, 4, guidance=0.7))


def test_a_known_velocity_is_integrated_exactly() -> None:
    model = decoder()

    class Straight(torch.nn.Module):
        def forward(self, x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            return torch.full_like(x, 2.0)

    model.estimator = Straight()
    noise = torch.zeros(1, 6, 5)
    for steps in (1, 3, [0.0, 0.5, 1.0]):
        mel = model.sample(torch.zeros(1, 5, 16), torch.zeros(1, 4), noise, steps)
        assert torch.allclose(model.normalise(mel), torch.full_like(mel, 2.0), atol=1e-5)


def test_loss_falls_on_one_batch() -> None:
    torch.manual_seed(0)
    model = decoder().train()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    mel, style, mask = torch.randn(4, 6, 15) * 2 - 5, torch.randn(4, 4), torch.ones(4, 15, dtype=torch.bool)
    codes, pitch = torch.randint(0, 9, (4, 4)), torch.full((4, 4), 150.0)
    losses = []
    for _ in range(120):
        content = model.length_regulator(codes, pitch, torch.zeros(4, 4), torch.zeros(4, 4, 3).long(), 15)
        loss = model.loss(mel, content, style, mask)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-30:]) < 0.85 * sum(losses[:30])


def test_rotation_keeps_lengths_and_depends_on_distance_only() -> None:
    table = rotation_table(9, 4, torch.device("cpu"))
    q, k = torch.randn(4), torch.randn(4)
    rotated_q, rotated_k = (rotate(v.expand(1, 1, 9, 4), table)[0, 0] for v in (q, k))
    assert torch.allclose(rotated_q.norm(dim=-1), q.norm().expand(9), atol=1e-5)
    assert torch.allclose(rotated_q[5] @ rotated_k[2], rotated_q[8] @ rotated_k[5], atol=1e-5)


def test_pitch_features_tell_voicing_and_pitch() -> None:
    features = pitch_features(torch.tensor([[0.0, 100.0, 101.0, 200.0]]))
    assert features.shape == (1, 4, PITCH_FEATURES)
    assert features[0, 0].abs().sum() == 0
    assert (features[0, 1] - features[0, 2]).abs().max() > 0.1, "a 16th of an octave must be visible"


def test_weight_norm_starts_as_the_plain_layer() -> None:
    conv, linear, x = torch.nn.Conv1d(3, 5, 3), torch.nn.Linear(3, 5), torch.randn(2, 3, 9)
    assert torch.allclose(NormedConv1d(conv)(x), conv(x), atol=1e-6)
    assert torch.allclose(NormedLinear(linear)(x.transpose(1, 2)), linear(x.transpose(1, 2)), atol=1e-6)
