"""Bundles: what is saved is what is loaded, and whatever is wrong with the files is a ModelError."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from emovoice import bundle as bundles
from emovoice.bundle import Bundle, BundleConfig
from emovoice.errors import ModelError

FILES = ("encoders", "t2s", "prior", "flow", "vocoder", "space", "convert", "prosody")


@pytest.fixture(scope="module")
def debug() -> Bundle:
    return bundles.load("debug")


@pytest.fixture
def saved(debug: Bundle, tmp_path: Path) -> Path:
    """The debug model's weights in files, as those of a trained model are."""
    whole = bundles.load("debug")
    whole.config = replace(whole.config, seed=None)
    bundles.save(whole, tmp_path / "model")
    return tmp_path / "model"


def outputs(bundle: Bundle) -> dict[str, torch.Tensor]:
    """Something that every part of a bundle takes part in."""
    wave = 0.1 * torch.randn(1, 9600, generator=torch.Generator().manual_seed(0))
    mel = bundle.front(wave)
    with torch.inference_mode():
        tokens = bundle.tokenizer(mel)
        timbre, emotion = bundle.reference(mel)
        codes = torch.arange(10)[None]
        content = bundle.flow.length_regulator(codes, 100.0 + codes, codes / 10, codes[..., None].repeat(1, 1, 3), 40)
        noise = torch.randn(1, 100, 40, generator=torch.Generator().manual_seed(1))
        spectrum = bundle.flow.sample(content, torch.cat([timbre, emotion], 1), noise, 2)
        text = torch.tensor([[0, 20, 30, 1]])
        codes_of = bundle.t2s(timbre, emotion, text, torch.tensor([4]), codes, codes, codes, codes.clamp(max=3)).codes
        return {"pitch": tokens.pitch_logits, "timbre": timbre, "emotion": emotion, "mel": spectrum,
                "codes": codes_of, "wave": bundle.vocoder(spectrum),
                "space": torch.from_numpy(bundle.space.at([0.1] * 8)),
                "cleaned": torch.from_numpy(bundle.space.clean(np.arange(256) / 256)),
                "content": bundle.convert.content(torch.eye(68)[None]),
                "moves": torch.from_numpy(bundle.moves.of(np.ones(256, np.float32)))}


def test_saved_and_loaded_it_is_the_same_within_half_precision(debug: Bundle, saved: Path) -> None:
    weights = {f"{name}.safetensors" for name in FILES}
    assert {path.name for path in saved.iterdir()} == {"config.json", "space.json", *weights}
    again = bundles.load(str(saved))
    for name, expected in outputs(debug).items():
        found = outputs(again)[name]
        assert found.dtype == torch.float32
        assert (found - expected).norm() < 0.02 * expected.norm(), name


def test_in_single_precision_it_is_the_same_to_the_last_bit(debug: Bundle, saved: Path) -> None:
    whole = bundles.load("debug")
    whole.config = replace(whole.config, seed=None)
    bundles.save(whole, saved, half=False)
    again = bundles.load(str(saved))
    assert all(torch.equal(found, outputs(debug)[name]) for name, found in outputs(again).items())
    assert not again.training and not any(p.requires_grad for p in again.parameters())


def test_weights_take_half_the_room(saved: Path) -> None:
    kinds = {tensor.dtype for name in FILES for tensor in load_file(saved / f"{name}.safetensors").values()}
    assert kinds == {torch.float16}


def test_debug_is_deterministic_and_leaves_the_random_state_alone() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one = bundles.load("debug")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    np.random.seed(8)
    other = bundles.load("debug")
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    assert np.array_equal(one.space.neutral, other.space.neutral)
    assert np.array_equal(one.space.directions, other.space.directions)


# ---- damage ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(saved: Path, name: str) -> None:
    (saved / f"{name}.safetensors").unlink()
    with pytest.raises(ModelError, match=f"{name}.safetensors"):
        bundles.load(str(saved))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 7, 40, 0.5, -1])
def test_a_truncated_file(saved: Path, name: str, kept: float) -> None:
    path = saved / f"{name}.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if kept == 0.5 else int(kept)])
    with pytest.raises(ModelError, match=f"{name}.safetensors"):
        bundles.load(str(saved))


def wrong_shape(tensors: dict[str, torch.Tensor]) -> None:
    name = max(tensors, key=lambda key: tensors[key].ndim)
    tensors[name] = tensors[name][:-1].contiguous()


def missing(tensors: dict[str, torch.Tensor]) -> None:
    tensors.popitem()


def unknown(tensors: dict[str, torch.Tensor]) -> None:
    tensors["surprise"] = torch.zeros(3)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [wrong_shape, missing, unknown])
def test_weights_that_do_not_fit(
    saved: Path, name: str, damage: Callable[[dict[str, torch.Tensor]], None]
) -> None:
    tensors = load_file(saved / f"{name}.safetensors")
    damage(tensors)
    save_file(tensors, saved / f"{name}.safetensors")
    with pytest.raises(ModelError, match="do not fit"):
        bundles.load(str(saved))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"name": "x"}', "\ufeff{}"],
)
def test_a_configuration_that_is_none(saved: Path, text: str) -> None:
    (saved / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError):
        bundles.load(str(saved))


@pytest.mark.parametrize(
    ("part", "change"),
    [
        (None, {"solver_stepps": 3}),
        (None, {"solver_steps": "3"}),
        (None, {"noise": None}),
        (None, {"t2s": 5}),
        ("t2s", {"dims": 32}),
        ("t2s", {"dim": "32"}),
        ("t2s", {"dim": 32.5}),
        ("t2s", {"dim": -32}),
        ("t2s", {"heads": 0}),
        ("t2s", {"reader": {"symbol": 68}}),
        ("tokenizer", {"levels": 8}),
        ("vocoder", {"layers": True}),
        ("vocoder", {"dim": 33}),
    ],
)
def test_a_wrong_configuration(saved: Path, part: str | None, change: dict[str, object]) -> None:
    config = json.loads((saved / "config.json").read_text(encoding="utf-8"))
    (config[part] if part else config).update(change)
    (saved / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError):
        bundles.load(str(saved))


def test_a_plain_emotion_space_and_no_conversion_is_a_model_as_well(saved: Path) -> None:
    tensors = load_file(saved / "space.safetensors")
    save_file({name: tensors[name] for name in ("neutral", "directions")}, saved / "space.safetensors")
    config = json.loads((saved / "config.json").read_text(encoding="utf-8")) | {"convert": None}
    (saved / "config.json").write_text(json.dumps(config), encoding="utf-8")
    plain = bundles.load(str(saved))
    assert plain.convert is None and plain.moves is None
    assert np.allclose(plain.space.at([0] * 8), tensors["neutral"].float().numpy())


def test_what_was_found_about_the_space_is_kept(saved: Path) -> None:
    whole = bundles.load(str(saved))
    whole.space.about = {"components": 8}
    whole.space.calibration[2] **= 2
    bundles.save_space(whole.space, saved)
    again = bundles.load(str(saved)).space
    assert again.about == {"components": 8} and np.allclose(again.calibration, whole.space.calibration, atol=1e-3)
    (saved / "space.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="page"):
        bundles.load(str(saved))


def test_no_such_model(tmp_path: Path) -> None:
    for model in ("nonsense", str(tmp_path), "a\nb"):
        with pytest.raises(ModelError, match="mini, debug"):
            bundles.find(model)


def test_a_configuration_survives_json(debug: Bundle) -> None:
    assert bundles.from_json(BundleConfig, json.loads(json.dumps(asdict(debug.config)))) == debug.config
