"""Codes per second of the published text-to-codes transformer on this machine, beside plain `transformers`.

`python -m emovoice.testing.bench_t2s` prints JSON. Both run the same random weights at the published size (24 layers,
1280 channels, 8194 codes) with the published sampling, once with one sequence and once with three beams. A figure is
one over the median time of a step; reading the prompt is left out. The ways take turns in each round. Wall seconds are
what a user waits; seconds of the processor still mean something, with one thread, where other work shares the cores.
It needs 4 GB of memory and about a minute; `--layers 2` is a quick look.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import torch

    from ar_tts.unified import UnifiedVoice

PROMPT_ROWS = 100
_Way: TypeAlias = "tuple[torch.nn.Module, Callable[[], object]]"  # the head that every step uses, and a run


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m emovoice.testing.bench_t2s", description=__doc__)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--codes", type=int, default=24, help="codes to write in each run")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=None, help="default: as torch decides")
    chosen = parser.parse_args(arguments)
    print(json.dumps(measure(chosen.layers, chosen.dim, chosen.codes, chosen.rounds, chosen.threads), indent=1))
    return 0


def measure(layers: int, dim: int, codes: int, rounds: int, threads: int | None = None) -> dict[str, Any]:
    """Codes per second by beams and way, ratios to `transformers`, and what the machine was doing.

    Peak memory is that of the process, with the weights in both precisions; both ways share the float ones.
    """
    import resource

    import torch

    from emovoice import torchaudio_shim

    torchaudio_shim.install()  # before the first import of a model class of transformers
    if threads is not None:
        torch.set_num_threads(threads)
    before = os.getloadavg()
    with torch.inference_mode():
        plain, rounded, theirs = _models(layers, dim)
        rates: dict[str, dict[str, dict[str, float]]] = {}
        for beams in (1, 3):
            ways = {"transformers": _theirs(theirs, beams, codes), "float32": _ours(plain, beams, codes),
                    "int8": _ours(rounded, beams, codes)}
            rates[f"beams={beams}"] = _rates(ways, rounds)
        kept = _kept(plain, rounded, codes)
    ratios = {beams: {clock: {way: round(rate / each["transformers"], 2) for way, rate in each.items()}
                      for clock, each in clocks.items()} for beams, clocks in rates.items()}
    return {"codes_per_s": rates, "times_transformers": ratios, "greedy_codes_kept_by_int8": kept, "layers": layers,
            "dim": dim, "prompt_rows": PROMPT_ROWS, "codes": codes, "threads": torch.get_num_threads(),
            "cores": os.cpu_count(), "load_average_before": before, "load_average_after": os.getloadavg(),
            "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)}


def published(layers: int, dim: int) -> UnifiedVoice:
    """The transformer of IndexTTS-2 with so many layers and channels, on random weights; its conditioners are tiny."""
    import torch

    from ar_tts.unified import ConditionerConfig, UnifiedConfig, unified_voice

    small = ConditionerConfig(output_size=8, linear_units=8, attention_heads=1, num_blocks=1)  # no part of decoding
    config = UnifiedConfig(model_dim=dim, layers=layers, heads=max(1, dim // 64), condition_module=small,
                           emo_condition_module=small)
    with torch.device("meta"):
        model = unified_voice(config).eval()
    random = torch.Generator().manual_seed(0)
    weights = {name: torch.ones(like.shape) if like.ndim == 1 and name.endswith("weight")
               else 0.02 * torch.randn(like.shape, generator=random) for name, like in model.state_dict().items()}
    model.load_state_dict(weights, assign=True)
    return model


def _models(layers: int, dim: int) -> tuple[UnifiedVoice, UnifiedVoice, Any]:
    """Ours in float32, ours in int8, and GPT-2 of transformers, on the same random weights."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from ar_tts.int8 import quantise_decoder
    from ar_tts.unified import unified_voice

    plain = published(layers, dim)
    weights, config = plain.state_dict(), plain.config
    with torch.device("meta"):
        rounded = unified_voice(config).eval()
        theirs = GPT2LMHeadModel(GPT2Config(
            vocab_size=config.number_mel_codes, n_positions=config.max_mel_tokens + config.max_text_tokens,
            n_embd=dim, n_layer=layers, n_head=config.heads, tie_word_embeddings=False, bos_token_id=None,
            eos_token_id=None)).eval()
    rounded.load_state_dict(weights, assign=True)
    quantise_decoder(rounded)
    blocks = {name.replace("gpt.", "transformer.", 1): value for name, value in weights.items()
              if name.startswith("gpt.")}
    positions = torch.zeros(theirs.config.n_positions, dim)
    theirs.load_state_dict(blocks | {"transformer.wte.weight": weights["mel_embedding.weight"],
                                     "transformer.wpe.weight": positions,
                                     "lm_head.weight": weights["mel_head.weight"]}, assign=True)
    return plain, rounded, theirs


def _prompt(dim: int) -> torch.Tensor:
    import torch

    return 0.02 * torch.randn(1, PROMPT_ROWS, dim, generator=torch.Generator().manual_seed(1))


def _ours(model: UnifiedVoice, beams: int, codes: int) -> _Way:
    from ar_tts.generate import Request, write
    from ar_tts.sampling import CodeSampling, LengthTarget

    prompt, length = _prompt(model.config.model_dim), LengthTarget(codes)
    return model.mel_head, lambda: write(model, [Request(prompt, 0, length)], CodeSampling(beams=beams))


def _theirs(model: Any, beams: int, codes: int) -> _Way:
    import torch

    prompt = _prompt(model.config.n_embd)
    published: dict[str, Any] = {"do_sample": True, "temperature": 0.8, "top_k": 30, "top_p": 0.8,
                                 "repetition_penalty": 10.0, "num_beams": beams}
    if beams > 1:
        published["length_penalty"] = 0.0
    mask = torch.ones(prompt.shape[:2], dtype=torch.long)
    return model.lm_head, lambda: model.generate(inputs_embeds=prompt, attention_mask=mask, max_new_tokens=codes,
                                                 use_cache=True, eos_token_id=None, pad_token_id=0, **published)


def _rates(ways: dict[str, _Way], rounds: int) -> dict[str, dict[str, float]]:
    """Clock -> way -> codes per second of that clock: one over the median time from one use of the head to the next."""
    clocks = {"wall": time.perf_counter, "processor": time.process_time}
    steps: dict[tuple[str, str], list[float]] = {(clock, way): [] for clock in clocks for way in ways}
    for _ in range(rounds):
        for way, (head, run) in ways.items():
            marks: list[list[float]] = []

            def mark(*_: object, to: list[list[float]] = marks) -> None:
                to.append([read() for read in clocks.values()])

            hook = head.register_forward_hook(mark)
            run()
            hook.remove()
            for clock, times in zip(clocks, zip(*marks)):
                steps[clock, way] += [after - before for before, after in pairwise(times)]
    return {clock: {way: round(1 / statistics.median(steps[clock, way]), 2) for way in ways} for clock in clocks}


def _kept(plain: UnifiedVoice, rounded: UnifiedVoice, codes: int) -> float:
    """Share of codes that are the likeliest in both precisions, after the same codes before them."""
    import torch

    prompt = _prompt(plain.config.model_dim)
    before = torch.randint(plain.config.number_mel_codes - 2, (1, codes), generator=torch.Generator().manual_seed(2))
    choices = [model.mel_head(model.latents(prompt, before)).argmax(-1) for model in (plain, rounded)]
    return round(float((choices[0] == choices[1]).float().mean()), 3)


if __name__ == "__main__":
    raise SystemExit(main())
