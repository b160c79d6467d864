"""The text-to-codes vectors are reproduced; a wrong number is found where it is; other sizes are built."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emovoice.errors import EmovoiceError, InputError, ModelError
from emovoice.testing.parity_t2s import compare_t2s

VECTORS = Path(__file__).resolve().parent.parent / "parity"
NAMES = ("t2s_v2", "t2s_v2_5")
REAL = {"cond", "emo_raw", "emovec", "emovec_merged_alpha_0_6", "prefix", "latent", "text_logits", "code_logits"}
CODES = {"greedy_codes_trained_positions", "greedy_codes_upstream_positions"}


def stored(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    with np.load(VECTORS / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return arrays, json.loads(arrays.pop("meta").tobytes())


@pytest.mark.parametrize("name", NAMES)
def test_published_vectors_are_reproduced(name: str) -> None:
    found = compare_t2s(*stored(name))
    assert set(found) == REAL | CODES
    assert {key: value for key, value in found.items() if value > (1e-4 if key in REAL else 0)} == {}


@pytest.mark.parametrize("name", NAMES)
def test_wrong_numbers_are_found_where_they_are(name: str) -> None:
    arrays, meta = stored(name)
    for key in REAL | CODES:
        arrays[key] = arrays[key].copy()
        arrays[key].flat[[1, 5]] += 1
    found = compare_t2s(arrays, meta)
    assert all(found[key] == pytest.approx(1, abs=1e-3) for key in REAL)
    assert all(found[key] == 2 for key in CODES)


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_is_another_model(name: str) -> None:
    arrays, meta = stored(name)
    found = compare_t2s(arrays, meta | {"seed": 1})
    assert min(found.values()) > 0.1


def test_other_sizes_are_built_from_the_configuration() -> None:
    """What they compute is not known here; that shapes follow the configuration is."""
    arrays, meta = stored("t2s_v2")
    module = {"output_size": 48, "linear_units": 32, "attention_heads": 3, "num_blocks": 1, "input_layer": "conv2d2",
              "perceiver_mult": 4}  # fmt: skip
    meta["config"] |= {"layers": 1, "model_dim": 96, "heads": 3, "number_mel_codes": 70, "condition_module": module,
                       "condition_num_latent": 5, "start_mel_token": 68, "stop_mel_token": 69}  # fmt: skip
    arrays |= {"cond": np.zeros((1, 5, 96), np.float32), "code_logits": np.zeros((1, 70, 18), np.float32),
               "emovec_merged_alpha_0_25": np.zeros((1, 96), np.float32)}  # fmt: skip
    found = compare_t2s(arrays, meta)
    assert {key for key, value in found.items() if math.isinf(value)} == {
        "emovec", "emovec_merged_alpha_0_6", "prefix", "latent"}  # fmt: skip


def test_a_stop_in_the_greedy_codes_is_one_of_them() -> None:
    arrays, meta = stored("t2s_v2")
    meta["config"]["stop_mel_token"] = 38  # the sixth code that this model writes
    arrays = {key: arrays[key] for key in ("spk", "emo", "text", "greedy_codes_trained_positions")}
    arrays["greedy_codes_trained_positions"] = arrays["greedy_codes_trained_positions"][:6]
    assert compare_t2s(arrays, meta) == {"greedy_codes_trained_positions": 0}


def test_only_what_is_in_the_file_is_compared() -> None:
    arrays, meta = stored("t2s_v2_5")
    assert set(compare_t2s({key: arrays[key] for key in ("campplus", "cond")}, meta)) == {"cond"}


@pytest.mark.parametrize(
    ("drop", "change", "kind", "words"),
    [
        (("campplus",), {}, InputError, "campplus"),
        (REAL | CODES, {}, InputError, "no output"),
        ((), {"condition_type": "gst"}, ModelError, "gst"),
        ((), {"heads": 7}, ModelError, "7 heads"),
        ((), {"spk_cond_mode": "x"}, ModelError, "spk_cond_mode"),
    ],
)
def test_bad_files_say_what_is_wrong(drop: Any, change: dict[str, Any], kind: type[EmovoiceError], words: str) -> None:
    arrays, meta = stored("t2s_v2_5")
    meta["config"] |= change
    with pytest.raises(kind, match=words):
        compare_t2s({key: value for key, value in arrays.items() if key not in drop}, meta)
