"""The rule that draws weights from names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from emovoice.testing.weights import drawn, fill


def test_the_same_name_gives_the_same_numbers_and_another_name_others() -> None:
    one, two = drawn("a.weight", (40, 30), "salt:", 7), drawn("a.weight", (40, 30), "salt:", 7)
    assert np.array_equal(one, two) and one.dtype == np.float32
    for other in (drawn("b.weight", (40, 30), "salt:", 7), drawn("a.weight", (40, 30), "other:", 7),
                  drawn("a.weight", (40, 30), "salt:", 8)):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1


def test_a_number_known_from_numpy_itself() -> None:
    generator = np.random.Generator(np.random.PCG64(0x03B4C26D + 3))  # crc32 of "hello world!"
    expected = generator.standard_normal((2, 8), dtype=np.float32) / np.float32(np.sqrt(8))
    assert np.array_equal(drawn("world!", (2, 8), "hello ", 3), expected)


@pytest.mark.parametrize(
    ("name", "shape", "centre", "spread"),
    [
        ("x.running_mean", (4000,), 0.0, 0.1),
        ("x.weight_g", (4000, 1, 1), 0.45, 0.045),
        ("x.weight_v", (400, 10, 4), 0.0, 1 / np.sqrt(40)),
        ("norm.weight", (4000,), 1.0, 0.1),
        ("x.gamma", (4000,), 1.0, 0.1),
        ("x.bias", (4000,), 0.0, 0.1),
        ("act.alpha", (4000,), 0.0, 0.1),
    ],
)
def test_each_kind_has_its_centre_and_spread(name: str, shape: tuple[int, ...], centre: float, spread: float) -> None:
    values = drawn(name, shape, "", 0, weight_g_gain=0.45)
    assert abs(values.mean() - centre) < 4 * spread / np.sqrt(values.size)
    assert abs(values.std() / spread - 1) < 0.05


def test_variances_are_positive() -> None:
    assert drawn("bn.running_var", (5000,), "", 0).min() >= 0.5


def test_fill_leaves_counters_and_what_is_computed() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("pe", torch.full((3, 2), 5.0))
            self.register_buffer("table", torch.full((3, 2), 5.0))

    module = nn.ModuleDict({"norm": nn.BatchNorm1d(3), "positions": Positions()})
    fill(module, "s:", 1)
    state = module.state_dict()
    assert state["norm.num_batches_tracked"] == 0 and (state["positions.pe"] == 5).all()
    assert (state["positions.table"] != 5).all()
    assert np.array_equal(state["norm.running_var"].numpy(), drawn("norm.running_var", (3,), "s:", 1))
