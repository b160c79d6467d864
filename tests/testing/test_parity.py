"""Each published vector is reproduced, a wrong number is noticed, and a file that is not one is refused."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from emovoice.errors import EmovoiceError, InputError, ModelError
from emovoice.testing.parity import difference, parity, read

VECTORS = Path(__file__).resolve().parent.parent / "parity"
OUTPUTS = {
    "codec_v2": {"codes": 0, "quantised": 1e-4, "vq2emb": 1e-4},
    "codec_v2_5": {"codes": 0, "quantised": 1e-4, "decoded": 1e-4},
    "campplus": {"embedding": 1e-4},
    "s2m": {"length_regulated": 1e-4, "gpt_layer": 1e-4, "estimator_out": 1e-4, "mel_4_steps": 1e-4,
            "mel_25_steps": 1e-3},
    "bigvgan": {"wave": 1e-4},
    "features": {"mel": 1e-4, "campplus_fbank": 1e-4, "w2v_input_features": 1e-4, "w2v_attention_mask": 0},
}  # fmt: skip
"""Tolerances as the vectors' README states them."""

Edit = Callable[[dict[str, np.ndarray], dict[str, Any]], None]


def stored(name: str, folder: Path, edit: Edit) -> Path:
    """A changed copy of a vector file."""
    arrays, meta = read(VECTORS / f"{name}.npz")
    edit(arrays, meta)
    path = folder / "changed.npz"
    np.savez(path, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
    return path


@pytest.mark.parametrize("name", OUTPUTS)
def test_published_vectors_are_reproduced(name: str) -> None:
    found = parity(VECTORS / f"{name}.npz")
    assert set(found) == set(OUTPUTS[name])
    assert {key: value for key, value in found.items() if value > OUTPUTS[name][key]} == {}


@pytest.mark.parametrize(
    ("name", "array"),
    # codes are an input of other outputs, which would change as well; they are counted below
    [(name, array) for name, arrays in OUTPUTS.items() for array in arrays if array != "codes"],
)
def test_a_wrong_number_is_found_where_it_is(name: str, array: str, tmp_path: Path) -> None:
    def off(arrays: dict[str, np.ndarray], _meta: dict[str, Any]) -> None:
        arrays[array].flat[3] += 1

    found = parity(stored(name, tmp_path, off))
    assert found.pop(array) == pytest.approx(1, abs=1e-2)
    assert all(value < 1e-2 for value in found.values())


@pytest.mark.parametrize("name", ["codec_v2", "codec_v2_5"])
def test_wrong_codes_are_counted(name: str, tmp_path: Path) -> None:
    def off(arrays: dict[str, np.ndarray], _meta: dict[str, Any]) -> None:
        arrays["codes"][0, :3] = (arrays["codes"][0, :3] + 1) % 64

    assert parity(stored(name, tmp_path, off))["codes"] == 3


@pytest.mark.parametrize("name", sorted(set(OUTPUTS) - {"features"}))
def test_another_seed_is_another_model(name: str, tmp_path: Path) -> None:
    found = parity(stored(name, tmp_path, lambda _arrays, meta: meta.update(seed=5)))
    assert all(value > 1e-3 for value in found.values())


@pytest.mark.parametrize("depth", [1, 2, 6])
def test_other_sizes_are_built_from_the_configuration(depth: int, tmp_path: Path) -> None:
    """What they compute is not known here; that they compute something of the right shape is."""

    def resize(arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        meta["config"]["DiT"].update(hidden_dim=96, num_heads=6, depth=depth)
        meta["config"]["wavenet"].update(hidden_dim=96, num_layers=2, kernel_size=3, dilation_rate=2)
        arrays["mel_7_steps"] = arrays.pop("mel_25_steps")

    found = parity(stored("s2m", tmp_path, resize))
    assert set(found) == {*OUTPUTS["s2m"], "mel_7_steps"} - {"mel_25_steps"}
    assert all(math.isfinite(value) for value in found.values())


def test_a_file_without_some_outputs_is_compared_in_the_others(tmp_path: Path) -> None:
    left_out = ("mel_25_steps", "latent", "gpt_layer")
    path = stored("s2m", tmp_path, lambda arrays, _meta: [arrays.pop(name) for name in left_out])
    assert set(parity(path)) == {"length_regulated", "estimator_out", "mel_4_steps"}


BAD: dict[str, tuple[str, Edit, type[EmovoiceError], str]] = {
    "unknown model": ("campplus", lambda a, m: m.update(model="Whisper"), InputError, "Whisper"),
    "no model": ("campplus", lambda a, m: m.pop("model"), InputError, "meta.model"),
    "no seed": ("campplus", lambda a, m: m.pop("seed"), InputError, "meta.seed"),
    "seed below 0": ("campplus", lambda a, m: m.update(seed=-1), InputError, "meta.seed"),
    "no input": ("campplus", lambda a, m: a.pop("fbank"), InputError, "fbank"),
    "no output": ("campplus", lambda a, m: a.pop("embedding"), InputError, "no output"),
    "another width": ("campplus", lambda a, m: m.update(feat_dim=40), InputError, "do not fit"),
    "no configuration": ("s2m", lambda a, m: m.pop("config"), InputError, "meta.config"),
    "text for a size": ("s2m", lambda a, m: m["config"]["DiT"].update(depth="13"), ModelError, "s2mel.DiT.depth"),
    "an unknown switch": ("s2m", lambda a, m: m["config"]["DiT"].update(is_causal=True), ModelError, "is_causal"),
    "odd heads": ("s2m", lambda a, m: m["config"]["DiT"].update(num_heads=5), ModelError, "num_heads"),
    "a size missing": ("codec_v2", lambda a, m: m["config"].pop("vocos_dim"), ModelError, "vocos_dim"),
    "another activation": ("bigvgan", lambda a, m: m.update(activation="snake"), ModelError, "activation"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_say_what_is_wrong(case: str, tmp_path: Path) -> None:
    name, edit, kind, words = BAD[case]
    with pytest.raises(kind, match=words.replace(".", r"\.")):
        parity(stored(name, tmp_path, edit))


def test_files_that_are_no_vectors_are_refused(tmp_path: Path) -> None:
    text, array, empty, pickled = (tmp_path / n for n in ("text.npz", "array.npz", "empty.npz", "pickled.npz"))
    text.write_text("hello")
    with array.open("wb") as file:
        np.save(file, np.zeros(3))
    np.savez(empty, x=np.zeros(3))
    np.savez(pickled, meta=np.array({"a": 1}, dtype=object))
    cut = tmp_path / "cut.npz"
    cut.write_bytes((VECTORS / "s2m.npz").read_bytes()[:5000])
    for path in (text, array, empty, pickled, cut, tmp_path / "absent.npz", tmp_path):
        with pytest.raises(InputError):
            parity(path)


@pytest.mark.parametrize("meta", [b"{", b"[1]", b"\xff\xfe"])
def test_meta_must_be_an_object(meta: bytes, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", meta=np.frombuffer(meta, np.uint8))
    with pytest.raises(InputError, match="meta"):
        parity(tmp_path / "x.npz")


def test_vectors_of_the_text_to_codes_model_go_to_their_own_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("emovoice.testing.parity_t2s")
    module.compare_t2s = lambda arrays, meta: {meta["variant"]: float(arrays["x"].sum())}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    meta = json.dumps({"model": "UnifiedVoice", "variant": "v2"}).encode()
    np.savez(tmp_path / "t2s.npz", x=np.ones(3), meta=np.frombuffer(meta, np.uint8))
    assert parity(tmp_path / "t2s.npz") == {"v2": 3.0}


def test_difference_counts_whole_numbers_and_measures_real_ones() -> None:
    assert difference(np.array([1, 2, 3]), np.array([1, 5, 9])) == 2
    assert difference(np.array([1.0, 2.5]), np.array([1.0, 2.0])) == 0.5
    assert difference(np.zeros(3), np.zeros(4)) == math.inf
    assert difference(np.array([np.nan]), np.array([0.0])) == math.inf
    assert difference(np.zeros((2, 0)), np.zeros((2, 0))) == 0


def test_nothing_is_left_in_the_global_random_state() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    parity(VECTORS / "codec_v2.npz")
    assert torch.equal(torch.rand(1), expected)
