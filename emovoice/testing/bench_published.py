"""Codes a second of the published transformer by batch, and how much of the memory's speed that is.

`python -m emovoice.testing.bench_published` prints a table; `--into docs/performance.md` puts it there. Random weights
at the published size (24 layers, 1280 channels, 8194 codes), the published sampling, requests of 100 prompt rows of
which 32 tell the voice. A figure is the time by which a longer run takes longer, so that reading the prompt plays no
part in it; medians over rounds, in which the ways take turns. On CUDA the same steps are timed without graphs, too. It
needs 4 GB of memory on a processor, and some minutes; `--layers 2` is a quick look.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    import torch

    from ar_tts.unified import UnifiedVoice

MARKS = ("<!-- published: begin -->", "<!-- published: end -->")
BATCHES = (1, 2, 4, 8)
PROMPT_ROWS, OPENING = 100, 32
_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m emovoice.testing.bench_published", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", nargs="+", choices=_BYTES, default=None,
                        help="default: fp32 and int8 on a processor, bf16 elsewhere")  # fmt: skip
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--codes", type=int, default=None, help="of the shorter run (default: 12, on a GPU 200)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--into", metavar="FILE", help="a page between whose marks the table goes, too")
    chosen = parser.parse_args(arguments)
    on_cpu = chosen.device == "cpu"
    precisions = chosen.precision or (["fp32", "int8"] if on_cpu else ["bf16"])
    if not on_cpu and "int8" in precisions:
        parser.error("int8 is for a processor")
    if not 1 <= (chosen.codes or 1) <= 600:
        parser.error(f"--codes {chosen.codes}: allowed is 1 to 600")
    found = measure(chosen.device, precisions, chosen.layers, chosen.dim, chosen.codes or (12 if on_cpu else 200),
                    chosen.rounds)  # fmt: skip
    shown = table(found)
    print(shown)
    if chosen.into:
        from emovoice.writing import put_between

        put_between(chosen.into, MARKS, shown)
    return 0


def measure(device: str, precisions: list[str], layers: int, dim: int, codes: int, rounds: int) -> dict[str, Any]:
    """Way -> seconds of a step and bytes that it reads; seconds to read a prompt with and without its opening kept."""
    import torch

    before = os.getloadavg()
    ways: dict[str, tuple[Callable[[int], float], int]] = {}
    prompts: dict[str, dict[str, float]] = {}
    with torch.inference_mode():
        for precision in precisions:
            model = _model(layers, dim, device, precision)
            for batch in BATCHES:
                read = _read(model, batch, precision, codes)
                ways[f"{precision}, {batch}"] = _timed(model, batch, device), read
                if device != "cpu":
                    ways[f"{precision} without graphs, {batch}"] = _timed(model, batch, device, plain=True), read
            prompts[precision] = _prompts(model, device, rounds)
        steps: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, (run, _) in ways.items():
                steps[way].append((run(3 * codes) - run(codes)) / (2 * codes))
        speed = _memory_speed(device)
    found = {way: {"step_s": statistics.median(times), "bytes": ways[way][1]} for way, times in steps.items()}
    name = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else platform.machine()
    return {"ways": found, "prompts": prompts, "memory_speed": speed, "layers": layers, "dim": dim, "device": name,
            "threads": torch.get_num_threads(), "cores": os.cpu_count(), "torch": torch.__version__,
            "load": [round(x[0], 1) for x in (before, os.getloadavg())]}  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """For people, as markdown."""
    lines = ["| numbers | batch | codes a second | times one request | GB a second | of the memory's speed |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for way, row in found["ways"].items():
        what, _, batch = way.rpartition(", ")
        rate, speed = int(batch) / row["step_s"], row["bytes"] / row["step_s"]
        alone = 1 / found["ways"][f"{what}, 1"]["step_s"]
        share = speed / found["memory_speed"]
        lines.append(f"| {what} | {batch} | {rate:.1f} | {rate / alone:.2f} | {speed / 1e9:.1f} | {share:.0%} |")
    told = "; ".join(f"{kind}: {row['whole']:.3g} s, {row['kept']:.3g} s where the voice's rows are kept"
                     for kind, row in found["prompts"].items())  # fmt: skip
    lines += ["", f"Reading a prompt of {PROMPT_ROWS} rows, {OPENING} of them the voice's, takes {told}.", "",
              f"{found['layers']} layers of {found['dim']} channels, random weights; {found['device']},"
              f" {found['threads']} threads of {found['cores']} cores under a load of {found['load'][0]} to"
              f" {found['load'][1]}; memory {found['memory_speed'] / 1e9:.1f} GB a second; torch {found['torch']}."]
    return "\n".join(lines) + "\n"


def _model(layers: int, dim: int, device: str, precision: str) -> UnifiedVoice:
    import torch

    from ar_tts.int8 import quantise_decoder
    from emovoice.testing.bench_t2s import published

    model = published(layers, dim)
    if precision == "int8":
        quantise_decoder(model)
        return model
    return model.to(device, {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32))


def _timed(model: UnifiedVoice, batch: int, device: str, plain: bool = False) -> Callable[[int], float]:
    """How long `batch` requests of so many codes take; the first call captures what is to be captured."""
    from ar_tts.generate import Decoder, Request, write
    from ar_tts.sampling import CodeSampling, LengthTarget

    decoder = Decoder(model, batch)

    def run(codes: int) -> float:
        requests = [Request(_prompt(model), seed, LengthTarget(codes), OPENING) for seed in range(batch)]
        return _seconds(lambda: write(decoder, requests, CodeSampling(beams=1, max_codes=codes)), device)

    def warm(codes: int) -> float:
        if device != "cpu":
            run(codes)
        with _without_graphs() if plain else _as_it_is():
            return run(codes)

    return warm


@contextmanager
def _without_graphs() -> Iterator[None]:
    from ar_tts.slots import Replay

    with patch.object(Replay, "__call__", lambda replay, function, numbers, harmlessly: function(*numbers)):
        yield


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


def _prompts(model: UnifiedVoice, device: str, rounds: int) -> dict[str, float]:
    """Seconds of reading a prompt, with and without its opening kept."""
    from ar_tts.slots import Openings, Slots

    slots, prompt, kept = Slots(model.gpt, 1, PROMPT_ROWS), _prompt(model), Openings()

    def read(openings: Openings) -> Callable[[], object]:
        return lambda: slots.read(model, 0, prompt, openings.of(model, prompt, OPENING))

    ways: dict[str, Callable[[], object]] = {"whole": lambda: read(Openings())(), "kept": read(kept)}
    for way in ways.values():
        way()
    return {name: statistics.median(_seconds(way, device) for _ in range(2 * rounds)) for name, way in ways.items()}


def _seconds(run: Callable[[], object], device: str) -> float:
    import torch

    start = time.perf_counter()
    run()
    if device != "cpu":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _prompt(model: UnifiedVoice) -> torch.Tensor:
    import torch

    like = model.mel_pos_embedding.emb.weight
    rows = 0.02 * torch.randn(1, PROMPT_ROWS, like.shape[1], generator=torch.Generator().manual_seed(1))
    return rows.to(like)


def _read(model: UnifiedVoice, batch: int, precision: str, codes: int) -> int:
    """Bytes that a step reads of weights, and on average of keys and values in use: it takes the latter in buckets."""
    config = model.config
    weights = 12 * config.layers * config.model_dim**2 + config.model_dim * config.number_mel_codes
    positions = batch * (PROMPT_ROWS + 2 * codes) * 2 * config.layers * config.model_dim
    return _BYTES[precision] * weights + (4 if precision == "int8" else _BYTES[precision]) * positions


def _memory_speed(device: str) -> float:
    """Bytes a second that are read, on a GPU read and written."""
    import torch

    if device == "cpu":
        from emovoice.testing.bench_speech import memory_speed

        return memory_speed()
    whole = torch.empty(1 << 30, dtype=torch.uint8, device=device)
    other = torch.empty_like(whole)
    other.copy_(whole)
    return 2 * len(whole) / statistics.median(_seconds(lambda: other.copy_(whole), device) for _ in range(9))


if __name__ == "__main__":
    raise SystemExit(main())
