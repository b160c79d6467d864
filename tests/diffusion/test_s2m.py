"""The published codes-to-mel stage: prompts, batches of any lengths, guidance, and its solver."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffusion.dit import Estimator, EstimatorConfig, Transformer, reflect
from diffusion.regulator import RegulatorConfig
from diffusion.s2m import SemanticToMel, SemanticToMelConfig
from diffusion.solver import continued, velocity

ESTIMATOR = EstimatorConfig(mels=6, dim=16, content_dim=8, style_dim=4, depth=3, heads=2, ffn=32, wavenet_layers=3,
                            lone_middle=True)  # fmt: skip
REGULATOR = RegulatorConfig(codes=0, in_channels=10, channels=8, melody=False, phones=0)
PROMPTS, TARGETS = (5, 9, 2), (13, 4, 21)


def s2m(estimator: EstimatorConfig = ESTIMATOR) -> SemanticToMel:
    torch.manual_seed(0)
    model = SemanticToMel(SemanticToMelConfig(estimator, REGULATOR, (12, 4, 10))).eval()
    for parameter in model.cfm.parameters():  # the adaptive norms begin as constants, which would hide time
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.requires_grad_(False)


def requests() -> dict[str, list[torch.Tensor]]:
    torch.manual_seed(1)
    return {
        "prompts": [torch.randn(6, p) for p in PROMPTS],
        "prompt_conditions": [torch.randn(p, 8) for p in PROMPTS],
        "conditions": [torch.randn(t, 8) for t in TARGETS],
        "styles": [torch.randn(4) for _ in PROMPTS],
        "noises": [torch.randn(6, p + t) for p, t in zip(PROMPTS, TARGETS)],
    }


def spoken(model: SemanticToMel, rows: slice, **options: float) -> list[torch.Tensor]:
    parts = {name: part[rows] for name, part in requests().items()}
    return model.mel(**{**parts, "styles": torch.stack(parts["styles"])}, steps=3, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("dilation", [1, 2])
def test_rows_of_a_batch_are_what_they_are_alone(dilation: int) -> None:
    model = s2m(replace(ESTIMATOR, wavenet_dilation=dilation))
    together = spoken(model, slice(None))
    assert [tuple(mel.shape) for mel in together] == [(6, frames) for frames in TARGETS]
    for i, mel in enumerate(together):
        (alone,) = spoken(model, slice(i, i + 1))
        assert torch.allclose(mel, alone, atol=1e-5)


def test_a_row_depends_on_its_own_inputs_only() -> None:
    model, others = s2m(), requests()
    before = spoken(model, slice(None))[1]
    changed = {name: [part if i == 1 else part + 1 for i, part in enumerate(parts)] for name, parts in others.items()}
    after = model.mel(**{**changed, "styles": torch.stack(changed["styles"])}, steps=3)[1]  # type: ignore[arg-type]
    assert torch.allclose(before, after, atol=1e-5)


@pytest.mark.parametrize("name", ["prompts", "prompt_conditions", "conditions", "styles", "noises"])
def test_every_input_matters(name: str) -> None:
    model, given = s2m(), requests()
    before = spoken(model, slice(None))
    given[name] = [part + 0.5 for part in given[name]]
    after = model.mel(**{**given, "styles": torch.stack(given["styles"])}, steps=3)  # type: ignore[arg-type]
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(before, after))


def test_noise_under_the_prompt_does_not_matter() -> None:
    model, given = s2m(), requests()
    before = spoken(model, slice(None))
    for noise, prompt in zip(given["noises"], PROMPTS):
        noise[:, :prompt] = 9.0
    after = model.mel(**{**given, "styles": torch.stack(given["styles"])}, steps=3)  # type: ignore[arg-type]
    assert all(torch.equal(a, b) for a, b in zip(before, after))


def test_guidance_is_a_line_through_both_velocities() -> None:
    model = s2m().cfm["estimator"]
    x, prompt, style, content = torch.randn(2, 6, 11), torch.randn(2, 6, 11), torch.randn(2, 4), torch.randn(2, 11, 8)
    known = velocity(model, x, prompt, 0.4, style, content)
    nothing = velocity(model, x, 0 * prompt, 0.4, 0 * style, 0 * content)
    guided = velocity(model, x, prompt, 0.4, style, content, guidance=0.7)
    assert torch.allclose(guided, 1.7 * known - 0.7 * nothing, atol=1e-5)
    assert not torch.allclose(known, nothing, atol=1e-3)


def test_a_known_velocity_is_integrated_exactly_and_the_prompt_stays_empty() -> None:
    class Straight(torch.nn.Module):
        def forward(self, x: torch.Tensor, *_: object) -> torch.Tensor:
            return torch.full_like(x, 2.0)

    noise, content = torch.ones(2, 6, 9), torch.zeros(2, 9, 8)
    mel = continued(Straight(), noise, torch.ones(2, 6, 4), content, torch.zeros(2, 4), 5, 0.7, torch.tensor([9, 7]),
                    torch.tensor([4, 3]))  # fmt: skip
    expected = torch.full((2, 6, 9), 3.0)
    expected[0, :, :4], expected[1, :, :3], expected[1, :, 7:] = 0, 0, 0
    assert torch.allclose(mel, expected, atol=1e-5)


def test_fused_weights_compute_the_same() -> None:
    model = s2m()
    before = spoken(model, slice(None))
    names = set(model.state_dict())
    model.fuse()
    assert all(torch.equal(a, b) for a, b in zip(before, spoken(model, slice(None))))
    assert {name for name in names - set(model.state_dict())} == {n for n in names if n.endswith(("_g", "_v"))}
    model.fuse()  # twice changes nothing
    assert all(torch.equal(a, b) for a, b in zip(before, spoken(model, slice(None))))


def test_half_precision_weights_solve_in_single_precision() -> None:
    model = s2m()
    exact = spoken(model, slice(None))
    model.cfm.to(torch.bfloat16)
    rough = spoken(model, slice(None))
    for a, b in zip(exact, rough):
        assert b.dtype == torch.float32 and 0 < (a - b).abs().max() < 0.1 * a.abs().max()


def test_any_number_of_frames_comes_out_of_the_regulator() -> None:
    model, features = s2m(), torch.randn(2, 10, 10)
    for frames in (1, 3, 10, 17, 100):
        assert model.conditions(features, frames).shape == (2, frames, 8)
    assert torch.allclose(model.conditions(features, 17)[:1], model.conditions(features[:1], 17), atol=1e-6)


def test_reflection_at_the_end_of_each_row_is_torch_own() -> None:
    x = torch.randn(3, 2, 9)
    lengths = torch.tensor([9, 5, 3])
    padded = reflect(x, 2, lengths)
    for row, length, found in zip(x, lengths.tolist(), padded):
        expected = torch.nn.functional.pad(row[None, :, :length], (2, 2), mode="reflect")[0]
        assert torch.equal(found[:, : length + 4], expected)
    assert torch.isfinite(reflect(x, 4, torch.tensor([1, 2, 3]))).all()  # shorter than what it is mirrored into


@pytest.mark.parametrize(
    ("depth", "lone", "takers"),
    [(13, True, 6), (13, False, 6), (4, False, 2), (4, True, 1), (1, True, 0), (2, True, 0), (2, False, 1)],
)
def test_which_blocks_take_a_skip(depth: int, lone: bool, takers: int) -> None:
    transformer = Transformer(replace(ESTIMATOR, depth=depth, lone_middle=lone))
    asked: list[bool] = []
    for layer in transformer.layers:
        layer.forward = lambda x, t, r, m, skip: (asked.append(skip is not None), x)[1]  # type: ignore[method-assign]
    transformer(torch.zeros(1, 3, 16), torch.zeros(1, 1, 16), None)
    assert asked == [False] * (depth - takers) + [True] * takers


def test_without_skips_none_is_taken() -> None:
    torch.manual_seed(0)
    model = Estimator(replace(ESTIMATOR, skips=False))
    inputs = (torch.randn(1, 6, 7), torch.randn(1, 6, 7), torch.tensor([0.2]), torch.randn(1, 4), torch.randn(1, 7, 8))
    before = model(*inputs)
    for layer in model.transformer.layers:
        torch.nn.init.zeros_(layer.skip_in_linear.weight)
    assert torch.equal(before, model(*inputs))
