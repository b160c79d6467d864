"""Time of the fused kernels on this machine's processor, beside what they replace.

`python -m emovoice.testing.bench_kernels` prints JSON; `--table` prints a table instead, and `--into PAGE` puts that
table between the markers of docs/performance.md. The sampler stands beside the chain of logits processors of
`transformers` (repetition penalty, temperature, top-k, top-p, softmax, multinomial) with the published settings, at the
vocabularies of the published models and of `mini`; the solver step and the activation stand beside plain torch. The
ways take turns, one thread each, ten calls at a time. A figure is the median of the processor's time, which other
programs on the cores do not lengthen as they do the wall clock's: of calls that follow each other, and of calls before
which other work has emptied the caches, as a transformer does between two steps. The bar is read off the first. Kernels
on a GPU are not timed here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEGIN = "<!-- kernels: python -m emovoice.testing.bench_kernels --into docs/performance.md -->"
END = "<!-- /kernels -->"
BAR = 20.0
"""How many times the chain of `transformers` the sampler must reach."""
_HISTORY_TOKENS = 100
_AT_A_TIME = 10
_LONG_S = 0.01
_Ways = dict[str, Callable[[], object]]


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m emovoice.testing.bench_kernels", description=__doc__)
    parser.add_argument("--repeats", type=int, default=200, help="of each way; slow ones take fewer")
    parser.add_argument("--table", action="store_true", help="a Markdown table instead of JSON")
    parser.add_argument("--into", type=Path, help="a page whose section between the markers is replaced")
    chosen = parser.parse_args(arguments)
    found = measure(chosen.repeats)
    print(table(found) if chosen.table else json.dumps(found, indent=1))
    if chosen.into is not None:
        _fill(chosen.into, table(found))
    return 0


def measure(repeats: int) -> dict[str, Any]:
    """Microseconds by kernel and way, ratios to the first way, and what the machine was doing."""
    import numba
    import torch

    from emovoice import torchaudio_shim

    torchaudio_shim.install()
    import transformers

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    before = os.getloadavg()
    try:
        with torch.inference_mode():
            kernels = {name: _turns(ways, repeats) for name, ways in _kernels().items()}
    finally:
        torch.set_num_threads(threads)
    samplers = [found["ratio"]["numba"] for name, found in kernels.items() if name.startswith("sampler")]
    return {"kernels": kernels, "bar": BAR, "bar_met": min(samplers) >= BAR, "processor": _processor(),
            "cores": os.cpu_count(), "threads": 1, "load_average_before": before,
            "load_average_after": os.getloadavg(), "torch": torch.__version__, "numba": numba.__version__,
            "transformers": transformers.__version__, "python": platform.python_version()}  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    rows = ["| kernel | way | µs | times faster | µs after other work | times faster |", "|---|---|---|---|---|---|"]
    for name, kernel in found["kernels"].items():
        for way in kernel["ratio"]:
            cells = [f"{kernel[f'{what}{when}'][way]:.1f}" for when in ("", "_after_other_work")
                     for what in ("median_us", "ratio")]  # fmt: skip
            rows.append(f"| {name} | {way} | {' | '.join(cells)} |")
    load = " to ".join(f"{found[f'load_average_{when}'][0]:.1f}" for when in ("before", "after"))
    verdict = "met" if found["bar_met"] else "missed"
    return "\n".join([
        *rows, "",
        f"{found['processor']}, {found['cores']} cores under a load of {load}, one thread; torch {found['torch']}, "
        f"numba {found['numba']}, transformers {found['transformers']}. Medians of the processor's time; times "
        f"faster than the first way of each kernel. The bar of {found['bar']:.0f} times `transformers` is {verdict}.",
    ])  # fmt: skip


def _fill(page: Path, text: str) -> None:
    whole = page.read_text(encoding="utf-8")
    start, end = whole.index(BEGIN) + len(BEGIN), whole.index(END)
    page.write_text(f"{whole[:start]}\n{text}\n{whole[end:]}", encoding="utf-8")


def _kernels() -> dict[str, _Ways]:
    sizes = [(size, batch) for size in (8194, 1000) for batch in (1, 8)]
    ways = {f"sampler, {size} codes, batch {batch}": _samplers(size, batch) for size, batch in sizes}
    return ways | {"solver step, 100 bands, 400 frames": _steps(), "activation, 384 channels, 1376 samples": _snakes()}


def _turns(ways: _Ways, repeats: int) -> dict[str, dict[str, float]]:
    import torch

    evicting = torch.zeros(1 << 23)
    for run in ways.values():
        run()  # compiles
    found: dict[str, dict[str, float]] = {}
    for name, other_work in (("", None), ("_after_other_work", lambda: evicting.add_(1))):
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(max(1, repeats // _AT_A_TIME)):
            for way, run in ways.items():
                times[way] += _seconds(run, other_work)
        medians = {way: 1e6 * statistics.median(each) for way, each in times.items()}
        first = next(iter(medians.values()))
        found[f"median_us{name}"] = {way: round(median, 2) for way, median in medians.items()}
        found[f"ratio{name}"] = {way: round(first / median, 2) for way, median in medians.items()}
    return found


def _seconds(run: Callable[[], object], other_work: Callable[[], object] | None) -> list[float]:
    """Of a few calls one after another, of which slow ones get one."""
    times: list[float] = []
    while len(times) < _AT_A_TIME and sum(times) < _LONG_S:
        if other_work is not None:
            other_work()
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return times


def _samplers(size: int, batch: int) -> _Ways:
    import torch
    from transformers.generation import logits_process as lp

    from ar_tts.kernels import State, cpu, reference

    random = torch.Generator().manual_seed(size)
    logits = 3 * torch.randn(batch, size, generator=random)
    history = torch.randint(size, (batch, _HISTORY_TOKENS), generator=random)
    chain: Any = [lp.RepetitionPenaltyLogitsProcessor(10.0), lp.TemperatureLogitsWarper(0.8), lp.TopKLogitsWarper(30),
                  lp.TopPLogitsWarper(0.8)]  # fmt: skip

    def theirs() -> torch.Tensor:
        scores = logits
        for processor in chain:
            scores = processor(history, scores)
        return torch.multinomial(scores.softmax(-1), 1)

    plain, compiled = (State.new(size, range(batch), temperature=0.8, top_k=30, top_p=0.8, penalty=10.0) for _ in "ab")
    for state in (plain, compiled):
        state.counts.scatter_(1, history, 1)
    return {"transformers": theirs, "torch": lambda: reference.sample(logits, plain),
            "numba": lambda: cpu.sample(logits, compiled)}  # fmt: skip


def _steps() -> _Ways:
    """Guidance of two branches and a step of DPM-Solver++(2M)."""
    import torch

    from diffusion.kernels import cpu
    from diffusion.solvers import Mix, Step

    random = torch.Generator().manual_seed(0)
    x, anchor, previous, *outputs = torch.randn(5, 1, 100, 400, generator=random)
    stacked, step, mix = torch.stack(outputs), Step(0.4, 0.9, -0.3), Mix(torch.stack(outputs), (-0.9, 0.3), 0.8, -0.8)

    def eager() -> tuple[torch.Tensor, torch.Tensor]:
        one, two = stacked.unbind()
        d = 0.8 * (x - anchor) - 0.6 * (1.5 * one - 0.5 * two)
        return step.keep * x + step.move * d + (1 - step.keep) * anchor + step.before * previous, d

    to_out = [step.keep + step.move * mix.of_x, 1 - step.keep + step.move * mix.of_anchor, step.before, 0.0,
              *(step.move * weight for weight in mix.weights)]  # fmt: skip
    to_d = [mix.of_x, mix.of_anchor, 0.0, 0.0, *mix.weights]
    return {"torch": eager, "numba": lambda: cpu.advance(x, anchor, previous, None, stacked, to_out, to_d, None)}


def _snakes() -> _Ways:
    """One of the 18 activations in the second stage of the published vocoder, for one second of sound."""
    import torch

    from vocoders.bigvgan import lowpass
    from vocoders.kernels import cpu, reference

    random = torch.Generator().manual_seed(0)
    x, alpha, beta = torch.randn(1, 384, 1376, generator=random), *torch.randn(2, 384, generator=random)
    taps = lowpass()
    return {"torch": lambda: reference.activation(x, alpha, beta, taps, taps),
            "numba": lambda: cpu.activation(x, alpha, beta, taps, taps)}  # fmt: skip


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    raise SystemExit(main())
