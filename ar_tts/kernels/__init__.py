"""One step of sampling for all rows of a batch: `sample`, and the `State` that it reads and writes.

reference.py says in plain torch what a step is; host.py (numpy), cpu.py (Numba) and gpu.py (Triton) draw the same
tokens, the last two in one pass.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from ar_tts.kernels import host, reference
from ar_tts.kernels.patience import Patient
from ar_tts.kernels.settled import Settled
from ar_tts.kernels.state import State

Sampler = Callable[[Tensor, State], None]


def sample(logits: Tensor, state: State) -> None:
    """Draw a token for each row of logits (R, V) that is not done, and write it into the state.

    See reference.py for the rules. On CUDA nothing waits for the device.
    """
    if logits.is_cuda:
        _on_cuda()(logits, state)
    else:
        on_cpu(logits, state)


def _compiled() -> Sampler:
    from ar_tts.kernels import cpu

    cpu.sample(torch.zeros(1, 1), State.new(1, [0]))  # compiles, or reads what was compiled before
    return cpu.sample


on_cpu = Patient(host.sample, _compiled)


def _network() -> Iterator[None]:
    from ar_tts.kernels import steps

    yield from steps.compile_all()


_HERE = Path(__file__).parent
network = Settled(_network, [(_HERE / "steps.py", "take_in"), (_HERE / "steps.py", "advance")])
"""The compiled network of a decoding step, see steps.py."""


@cache
def _on_cuda() -> Sampler:
    try:
        from ar_tts.kernels import gpu
    except ImportError:  # no Triton
        return reference.sample
    return gpu.sample


__all__ = ["Sampler", "State", "network", "on_cpu", "sample"]
