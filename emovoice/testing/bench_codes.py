"""Codes a second: the compiled decoder alone and in batches, beside torch and `transformers`, on this machine.

`python -m emovoice.testing.bench_codes` prints a table; `--into docs/performance.md` puts it there. Every request of a
batch has the same text and a seed of its own, and reading the prompt is part of it. The ways take turns. Seconds of the
processor still mean something where other work shares the cores; medians over rounds.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

MARKS = ("<!-- codes: begin -->", "<!-- codes: end -->")
BATCHES = (1, 2, 4, 8)
BAR = 2.5
"""How many times the codes of one request eight together must write in a second of the wall clock, with all cores."""
_TEXTS = 10


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m emovoice.testing.bench_codes", description=__doc__)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--into", metavar="FILE", help="a page between whose marks the table goes, too")
    parser.add_argument("--words", type=int, default=0, metavar="N",
                        help="judge the words of N held-out texts as well, with and without 8 bits (emovoice[judges])")
    chosen = parser.parse_args(arguments)
    shown = table(measure(chosen.model, chosen.rounds, chosen.words))
    print(shown)
    if chosen.into:
        from emovoice.writing import put_between

        put_between(chosen.into, MARKS, shown)
    return 0


def measure(model: str, rounds: int, words: int = 0) -> dict[str, Any]:
    """Codes a second of every way, what they read from memory, and what 8 bits change, also of so many texts' words."""
    import torch

    from ar_tts import decoding
    from emovoice.engine import Engine
    from emovoice.evaluation.material import held_out_texts
    from emovoice.testing.bench_speech import memory_speed, plain_transformers

    before, threads = os.getloadavg(), torch.get_num_threads()
    torch.set_num_threads(1)
    engine = Engine(model)
    engine.pipeline.prepare()
    t2s = engine.pipeline.bundle.t2s
    texts = [_request(engine, text) for text in held_out_texts(_TEXTS)]
    longest = max(texts, key=lambda each: each.text.shape[1])
    many = [replace(longest, seed=seed) for seed in range(max(BATCHES))]

    def plain() -> int:
        return sum(1 for _ in decoding.torch_steps(t2s, longest.timbre, longest.emotion, longest.text))

    def batch(which: Any, size: int, threads: int = 1) -> Callable[[], int]:
        return lambda: sum(map(len, decoding.decode_batch(which, many[:size], threads)))

    other = deepcopy(t2s)
    decoding.use_bytes(other)
    ways: dict[str, Callable[[], int]] = {"torch": plain}
    ways |= {f"compiled, {n}": batch(t2s, n) for n in BATCHES} | {f"8 bits, {n}": batch(other, n) for n in BATCHES}
    ways[f"compiled, a thread a core, {max(BATCHES)}"] = batch(t2s, max(BATCHES), os.cpu_count() or 1)
    found = {"transformers": {"cpu": plain_transformers(engine, rounds)}} | _turns(ways, rounds)
    sizes = {name: _bytes(t2s, in_bytes) for name, in_bytes in (("compiled", False), ("8 bits", True))}
    agreement = _agreement(t2s, texts) | ({"words": words, "lost": _words_lost(engine, words)} if words else {})
    torch.set_num_threads(threads)
    return {"model": model, "ways": found, "bytes": sizes, "memory_speed": memory_speed(), **agreement,
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(),
                        "torch": torch.__version__, "load": [round(x[0], 1) for x in (before, os.getloadavg())]}}


def table(found: dict[str, Any]) -> str:
    """For people, as markdown."""
    ways, machine = found["ways"], found["machine"]
    lines = ["| decoder | batch | codes a second of the processor | times torch | of the wall clock |",
             "|---|---|---|---|---|"]
    slow = ways["torch"]["cpu"]
    for name, row in ways.items():
        what, _, size = name.rpartition(", ") if ", " in name else (name, "", "")
        wall = f"{row['wall']:.0f}" if "wall" in row else ""
        lines.append(f"| {what} | {size or 1} | {row['cpu']:.0f} | {row['cpu'] / slow:.1f} | {wall} |")
    grown = {what: ways[f"{what}, 8"]["cpu"] / ways[f"{what}, 1"]["cpu"] for what in found["bytes"]}
    wide = ways[f"compiled, a thread a core, {max(BATCHES)}"]["wall"] / ways["compiled, 1"]["wall"]
    verdict = "met" if wide >= BAR else "missed"
    reads = {what: found["bytes"][what] * ways[f"{what}, 1"]["cpu"] / 1e9 for what in grown}
    most = found["memory_speed"] / 1e9
    lines += ["", f"Eight together write {grown['compiled']:.2f} times what one does in a thread"
                  f" ({grown['8 bits']:.2f} in 8 bits), and {wide:.2f} times with a thread a core: the bar of {BAR} is"
                  f" {verdict}. Against torch, which decodes one at a time, eight in one thread write"
                  f" {ways['compiled, 8']['cpu'] / slow:.1f} times as much.", "",
              f"One request reads {found['bytes']['compiled'] / 1e6:.1f} MB of weights a step,"
              f" {reads['compiled']:.1f} GB a second, in 8 bits {found['bytes']['8 bits'] / 1e6:.1f} MB,"
              f" {reads['8 bits']:.1f} GB a second; looking through 256 MB, a thread reads {most:.1f} GB a second.", "",
              f"Compiled and torch write the same codes for {found['same']} of {_TEXTS} held-out texts. With weights of"
              f" 8 bits, told the same codes so far, {found['agree']:.1%} of the next codes are the same,"
              f" {found['agree_pitch']:.1%} of the likeliest pitches; left to themselves the texts get"
              f" {found['length']:+.1%} longer.", "",
              f"`{found['model']}`; {machine['processor']}, {machine['cores']} cores under a load of"
              f" {machine['load'][0]} to {machine['load'][1]}, one thread; torch {machine['torch']}."]
    if "lost" in found:
        full, rounded = found["lost"]
        lines[-2:-2] = ["", f"Of the words of {found['words']} held-out texts the recogniser loses {rounded:.1%} with 8"
                            f" bits, {full:.1%} without."]
    return "\n".join(lines) + "\n"


def _words_lost(engine: Any, count: int) -> tuple[float, float]:
    """Word error rates of held-out texts in the default voice, as the weights are and with 8 bits each."""
    from emovoice.evaluation.judges import Recogniser
    from emovoice.evaluation.material import held_out_texts
    from emovoice.evaluation.words import errors, words

    recogniser, rates = Recogniser(), []
    for in_bytes in (False, True):
        engine.pipeline.prepare(in_bytes)
        wrong = total = 0
        for text in held_out_texts(count):
            spoken = engine.synthesize(text)
            wrong += errors(words(text), words(recogniser.hear(spoken.samples, spoken.rate)))
            total += len(words(text))
        rates.append(wrong / total)
    engine.pipeline.prepare(False)
    return rates[0], rates[1]


def _request(engine: Any, text: str) -> Any:
    """The first sentence of a text in the default voice."""
    import numpy as np
    import torch

    from ar_tts.decoding import Request
    from emovoice.text.symbols import START, STOP, encode

    voice = engine.voice()
    (sentence, *_), _ = engine.pipeline.read(text, voice.accent)
    how = engine.pipeline.emotion_vector([0.0] * 8).astype(np.float32)
    who, felt = (torch.from_numpy(np.array(vector))[None] for vector in (voice.timbre, how))
    return Request(who, felt, torch.tensor([[START, *encode(sentence.phonemes), STOP]]))


def _turns(ways: dict[str, Callable[[], int]], rounds: int) -> dict[str, dict[str, float]]:
    """Codes per second of the processor and of the wall clock."""
    for run in ways.values():
        run()
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            codes = run()
            spent[name].append((codes / (time.process_time() - cpu), codes / (time.perf_counter() - wall)))
    medians = {name: [statistics.median(column) for column in zip(*each, strict=True)] for name, each in spent.items()}
    return {name: {"cpu": round(cpu, 1), "wall": round(wall, 1)} for name, (cpu, wall) in medians.items()}


def _bytes(model: Any, in_bytes: bool) -> int:
    from ar_tts.stepping import Weights

    return Weights(model, in_bytes).bytes


def _agreement(model: Any, texts: Sequence[Any]) -> dict[str, float]:
    """Texts for which compiled and torch write the same, and what 8 bits change."""
    import torch

    from ar_tts import decoding
    from ar_tts.stepping import in_bytes

    decoding.use_bytes(model, False)
    exact = decoding.decode_batch(model, texts)
    plain = [list(decoding.torch_steps(model, each.timbre, each.emotion, each.text)) for each in texts]
    decoding.use_bytes(model)
    free = decoding.decode_batch(model, texts)
    decoding.use_bytes(model, False)
    other = in_bytes(model)
    same: dict[str, list[torch.Tensor]] = {"codes": [], "pitch": []}
    with torch.inference_mode():
        for each, written in zip(texts, exact, strict=True):
            columns = [torch.tensor([[getattr(step, name) for step in written]])
                       for name in ("code", "pitch", "level", "pointer")]
            said = [vars(which(each.timbre, each.emotion, each.text, torch.tensor([each.length]), *columns))
                    for which in (model, other)]
            for part, found in same.items():
                found.append(said[0][part][0].argmax(-1) == said[1][part][0].argmax(-1))
    length = sum(map(len, free)) / sum(map(len, exact)) - 1
    return {"same": sum(a == b for a, b in zip(exact, plain, strict=True)), "length": length,
            "agree": _share(same["codes"]), "agree_pitch": _share(same["pitch"])}


def _share(parts: Iterable[Any]) -> float:
    import torch

    return float(torch.cat(list(parts)).float().mean())


if __name__ == "__main__":
    raise SystemExit(main())
