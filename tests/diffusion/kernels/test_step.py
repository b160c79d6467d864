"""The fused solver step: the same bits in every implementation, and the sum in double precision."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diffusion import solvers
from diffusion.kernels import cpu, patience, reference
from diffusion.schedule import Schedule
from tests.diffusion.kernels import steps

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("number", range(steps.CASES))
def test_numba_gives_what_torch_gives(number: int) -> None:
    for shape in ((3, 5, 700), (1, 1, 1), (1, 2, 5000)):
        arguments = steps.case(number, shape)
        assert steps.equal(cpu.advance(*arguments), reference.advance(*arguments))


@pytest.mark.parametrize("number", [1, 3, 7, 9, 13])
def test_single_precision_is_near_double(number: int) -> None:
    arguments = steps.case(number)
    double = [part.double() if isinstance(part, torch.Tensor) and part.is_floating_point() else part
              for part in arguments]  # fmt: skip
    out, exact = reference.advance(*arguments)[0], reference.advance(*double)[0]
    assert (out - exact).abs().max() < 1e-5
    if arguments[-1] is not None:
        assert (out[~arguments[-1].expand_as(out)] == 0).all()


def _with_triton(*command: str, **more: str) -> str:
    pytest.importorskip("triton", reason="the gpu extra")
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, timeout=115,
                          cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)} | more)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_triton_interpreted_gives_what_torch_gives() -> None:
    assert int(_with_triton("-m", "tests.diffusion.kernels.steps", TRITON_INTERPRET="1")) == steps.CASES


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from diffusion.kernels.gpu import advance_block
kinds = dict.fromkeys("x anchor previous xi outputs coefficients out d".split(), "*fp32") | {"known": "*i1"}
kinds |= dict.fromkeys("size per_item frames".split(), "i32")
kinds = {name: kinds[name] for name in advance_block.arg_names if name in kinds}
fixed = {"N": 3, "X": True, "ANCHOR": True, "PREVIOUS": True, "NOISE": True, "MASKED": True, "WANTED": True,
         "BLOCK": 1024}
made = triton.compile(ASTSource(advance_block, kinds, fixed), target=GPUTarget("cuda", 90, 32),
                      options={"enable_fp_fusion": False})
print(len(made.asm["cubin"]), "fma.rn" in made.asm["ptx"])
"""


@pytest.mark.slow
def test_triton_compiles_for_hopper_without_one(tmp_path: Path) -> None:
    size, fused = _with_triton("-c", COMPILE, TRITON_CACHE_DIR=str(tmp_path)).split()
    assert int(size) > 1000 and fused == "False"


@pytest.mark.parametrize("solver", solvers.SOLVERS)
def test_a_mix_steps_as_its_value_does(solver: str) -> None:
    schedule, random = Schedule(), torch.Generator().manual_seed(0)
    x, anchor, previous, xi, *outputs = (torch.randn(2, 4, 9, generator=random, dtype=torch.float64) for _ in range(7))
    mix = solvers.Mix(torch.stack(outputs), (0.5, -2.0, 1.0), 0.7, -0.7)
    d = mix.value(x, anchor)
    assert torch.allclose(d, 0.7 * (x - anchor) + 0.5 * outputs[0] - 2 * outputs[1] + outputs[2])
    for step in solvers.planned(solver, schedule, 5)[1]:
        out, kept = mix.step(step, x, anchor, previous, xi, history=True)
        assert kept is not None and torch.allclose(kept, d)
        assert torch.allclose(out, solvers.take(step, x, d, anchor, previous, xi))


def test_copies_of_what_the_leaf_packages_may_not_share_are_equal() -> None:
    assert Path(patience.__file__).read_text() == (ROOT / "ar_tts/kernels/patience.py").read_text()
