"""The fused activation: what the plain one gives, at every length and edge, and gradients where they are asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.vocoders.kernels import rows
from vocoders.bigvgan import Activation
from vocoders.kernels import LARGE, cpu, reference

ROOT = Path(__file__).resolve().parents[3]
CLOSE = 2e-6


@pytest.mark.parametrize("shape", rows.SHAPES)
def test_numba_gives_what_torch_gives(shape: tuple[int, int, int]) -> None:
    for seed in range(4):
        arguments = rows.case(shape, seed)
        assert rows.difference(cpu.activation(*arguments), reference.activation(*arguments)) < CLOSE


def test_large_angles_are_still_right() -> None:
    x, alpha, _, *filters = rows.case((1, 3, 500), loud=100.0)
    arguments = x, alpha.clamp(max=1.0), torch.zeros(3), *filters
    exact = reference.activation(*(part.double() for part in arguments))
    assert (cpu.activation(*arguments) - exact).abs().max() < 2 * (reference.activation(*arguments) - exact).abs().max()


def _with_triton(*command: str, **more: str) -> str:
    pytest.importorskip("triton", reason="the gpu extra")
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, timeout=115,
                          cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)} | more)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_triton_interpreted_gives_what_torch_gives() -> None:
    assert float(_with_triton("-m", "tests.vocoders.kernels.rows", TRITON_INTERPRET="1")) < CLOSE


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from vocoders.kernels.gpu import activation_block
kinds = {name: "*fp32" for name in ("x", "a", "over_b", "up", "down", "y")} | {"channels": "i32", "frames": "i32"}
made = triton.compile(ASTSource(activation_block, kinds, {"BLOCK": 512}), target=GPUTarget("cuda", 90, 32))
print(len(made.asm["cubin"]))
"""


@pytest.mark.slow
def test_triton_compiles_for_hopper_without_one(tmp_path: Path) -> None:
    assert int(_with_triton("-c", COMPILE, TRITON_CACHE_DIR=str(tmp_path))) > 1000


def test_the_module_uses_it_where_it_is_worth_it() -> None:
    layer = Activation(2)
    torch.nn.init.constant_(layer.act.alpha, 0.7)
    for frames in (LARGE // 2 - 1, LARGE // 2):
        x = torch.randn(1, 2, frames)
        with torch.no_grad():
            found = layer(x)
        expected = layer(x)
        assert expected.requires_grad and torch.allclose(found, expected.detach(), atol=1e-5)
        assert torch.equal(found, expected.detach()) == (frames < LARGE // 2)
