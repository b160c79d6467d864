"""Where the time of speaking goes on this machine: first sound, real-time factor, stages, memory, beside other engines.

`emovoice bench speech` prints it. A model is loaded once and speaks texts of about 1, 3, 10 and 30 seconds, as a stream
that is played while it is made: `underruns` counts chunks that come after the sound before them has been played. Every
text is spoken `rounds` times and medians are given, of wall seconds and of seconds of the processor; the latter still
mean something where other work shares the cores. Then the stages of one text, each by itself, and what the transformer
reads from memory in a second against what the machine can read. `transformers` on a transformer of the same size
runs beside in the same process, and other engines that are installed take turns with it: see `bench_others`.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from emovoice.engine import Engine
    from emovoice.testing.bench_others import Other

_SENTENCES = (
    "She is here.",
    "The train to the coast leaves at nine o'clock.",
    "When the rain stopped, they walked down to the harbour and counted the boats.",
    "Nobody had told him that the meeting was cancelled, and so he waited for an hour in the cold hall.",
    "There were seven of them, and not one had a name.",
    "In the evening the wind turned, and the sails came back over the water one after another.",
    "He asked himself whether it had been worth the trouble.",
    "The old man laughed, took the letter, and put it into the drawer with all the others.",
)
MARKS = ("<!-- speech: begin -->", "<!-- speech: end -->")
_SECONDS_PER_CHARACTER = 0.052
_READ_BYTES = 2**28
_BESIDE_S = 10.0  # the text that others speak, too


@dataclass(frozen=True)
class Spoken:
    """One text, medians over rounds.

    Attributes:
        speech_s: how long it is.
        first_s, first_cpu_s: until the first chunk.
        factor, cpu_factor: seconds of work for a second of speech.
        underruns: chunks that would have come too late, over all rounds.
    """

    speech_s: float
    first_s: float
    first_cpu_s: float
    factor: float
    cpu_factor: float
    underruns: int


def text_of(seconds: float, seconds_per_character: float = _SECONDS_PER_CHARACTER) -> str:
    """A text that takes about so long, at least a sentence."""
    text, number = _SENTENCES[0], 1
    while True:
        longer = f"{text} {_SENTENCES[number % len(_SENTENCES)]}"
        if (len(text) + len(longer)) / 2 * seconds_per_character > seconds:  # further off
            return text
        text, number = longer, number + 1


def spoken(engine: Engine, seconds: float, rounds: int) -> Spoken:
    """Speak a text of about `seconds` several times."""
    text = text_of(seconds)
    return _medians([_said(engine.stream, engine.pipeline.sample_rate, text) for _ in range(rounds)])


def side_by_side(engine: Engine, others: Sequence[Other], seconds: float, rounds: int) -> dict[str, Spoken]:
    """The engine and others with one text, in turns, each once before without being counted."""
    ways: dict[str, tuple[Callable[[str], Iterable[np.ndarray]], int]]
    ways = {"emovoice": (engine.stream, engine.pipeline.sample_rate)}
    ways |= {other.name: (other.stream, other.rate) for other in others}
    text = text_of(seconds)
    rows: dict[str, list[Sequence[float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, (stream, rate) in ways.items():
            row = _said(stream, rate, text if number else _SENTENCES[1])
            rows[name] += [row] if number else []
    return {name: _medians(found) for name, found in rows.items()}


def _said(stream: Callable[[str], Iterable[np.ndarray]], rate: int, text: str) -> Sequence[float]:
    """The values of `Spoken` of a text that is played while it is made."""
    wall, cpu = time.perf_counter(), _processor_s()
    first: tuple[float, float] | None = None
    played_s, underruns = 0.0, 0  # after the first chunk came
    for chunk in stream(text):
        now_s = time.perf_counter() - wall
        if first is None:
            first = (now_s, _processor_s() - cpu)
        underruns += now_s - first[0] > played_s + 1e-9
        played_s += len(chunk) / rate
    assert first is not None
    spent = (time.perf_counter() - wall, _processor_s() - cpu)
    return (played_s, *first, spent[0] / played_s, spent[1] / played_s, underruns)


def _medians(rows: Sequence[Sequence[float]]) -> Spoken:
    *columns, underruns = zip(*rows, strict=True)
    speech_s, first_s, first_cpu_s, factor, cpu_factor = (round(statistics.median(column), 4) for column in columns)
    return Spoken(speech_s, first_s, first_cpu_s, factor, cpu_factor, int(sum(underruns)))


def _processor_s() -> float:
    """Of this process, and of those that it has waited for."""
    import resource

    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def stages(engine: Engine, seconds: float = 6.0, rounds: int = 3) -> dict[str, float]:
    """Seconds of the processor for a second of speech by stage, of an embedded model, each run by itself."""
    from emovoice.encoder.melody import CODE_SAMPLES
    from emovoice.encoder.phones import classes_of_text
    from emovoice.text.symbols import START, STOP, encode

    pipeline, voice = engine.pipeline, engine.voice()
    who, how = np.array(voice.timbre), pipeline.emotion_vector([0.0] * 8)
    (sentence, *_), _ = pipeline.read(text_of(0.5 * seconds), voice.accent)
    phonemes = sentence.phonemes
    steps = list(pipeline._written(phonemes, who, how, 0, 0))
    speech_s = len(steps) * CODE_SAMPLES / pipeline.sample_rate
    renderer = pipeline._renderer(classes_of_text(np.array([START, *encode(phonemes), STOP])), who, how, 3.75, 0)
    frames = -(-15 * len(steps) // 4)
    mel = renderer._mel_of(steps, frames)
    ways: dict[str, Callable[[], object]] = {
        "text": lambda: pipeline.read(sentence.text, voice.accent),
        "codes": lambda: list(pipeline._written(phonemes, who, how, 0, 0)),
        "mel": lambda: renderer._mel_of(steps, frames),
        "wave": lambda: pipeline.bundle.vocoder(mel),
    }
    found = {name: round(_cpu_s(way, rounds) / speech_s, 4) for name, way in ways.items()}
    return found | {"codes_per_s": round(25 / found["codes"], 1)}


def memory_speed() -> float:
    """Bytes that one thread reads in a second of the processor, by looking for the largest number in 256 MB."""
    ones = np.ones(_READ_BYTES // 4, np.float32)
    return _READ_BYTES / _cpu_s(ones.max, 3)


def read_share(engine: Engine, codes_per_s: float) -> dict[str, float]:
    """Gigabytes of weights that writing codes reads in a second, and their share of what the memory gives; more than
    that where they stay in the caches."""
    from ar_tts.stepping import Weights

    weights = Weights(engine.pipeline.bundle.t2s).bytes
    reads, most = weights * codes_per_s, memory_speed()
    return {"weights_mb": round(weights / 1e6, 1), "gb_per_s": round(reads / 1e9, 2),
            "memory_gb_per_s": round(most / 1e9, 2), "share": round(reads / most, 3)}


def plain_transformers(engine: Engine, rounds: int = 3, codes: int = 60) -> float:
    """Codes per second of the processor that `transformers` writes with a GPT-2 of the same size, greedily."""
    import torch

    from emovoice import torchaudio_shim

    torchaudio_shim.install()
    from transformers import GPT2Config, GPT2LMHeadModel

    config = engine.pipeline.bundle.config.t2s
    theirs = GPT2LMHeadModel(GPT2Config(
        vocab_size=config.codes + 2, n_positions=config.max_codes + config.max_text, n_embd=config.dim,
        n_layer=config.layers, n_head=config.heads, bos_token_id=None, eos_token_id=None)).eval()
    prompt = torch.zeros(1, 60, config.dim)
    mask = torch.ones(prompt.shape[:2], dtype=torch.long)

    def write() -> object:
        with torch.inference_mode():
            return theirs.generate(inputs_embeds=prompt, attention_mask=mask, max_new_tokens=codes,
                                   min_new_tokens=codes, do_sample=False, eos_token_id=None, pad_token_id=0)

    return round(codes / _cpu_s(write, rounds), 1)


def measure(model: str, device: str, lengths_s: Sequence[float], rounds: int) -> dict[str, Any]:
    """Everything, with the machine and its load beside."""
    import torch

    from emovoice.engine import Engine
    from emovoice.evaluation.speed import peak_memory_gb
    from emovoice.testing import bench_others

    before = os.getloadavg()[0]
    started = time.perf_counter()
    engine = Engine(model, device)
    engine.pipeline.prepare()
    engine.synthesize(_SENTENCES[0])
    ready_s = time.perf_counter() - started
    texts = {f"{seconds:g}": asdict(spoken(engine, seconds, rounds)) for seconds in lengths_s}
    peak_gb = peak_memory_gb()
    parts = stages(engine, rounds=rounds)
    others = bench_others.installed(torch.get_num_threads())
    versions = {"emovoice": f"{model}, torch {torch.__version__}"} | {other.name: other.version for other in others}
    beside = side_by_side(engine, others, _BESIDE_S, rounds)
    return {
        "model": model, "device": device, "ready_s": round(ready_s, 2), "texts": texts, "stages": parts,
        "transformer": read_share(engine, parts["codes_per_s"]),
        "transformers_codes_per_s": plain_transformers(engine, rounds),
        "engines": {name: {"version": versions[name]} | asdict(row) for name, row in beside.items()},
        "peak_gb": round(peak_gb, 3), "machine": machine(before),
    }


def machine(load_before: float) -> dict[str, Any]:
    """What figures depend on, and the load before and now."""
    import platform

    import torch

    return {"system": platform.platform(), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
            "torch": torch.__version__, "python": platform.python_version(),
            "load_before": round(load_before, 2), "load_after": round(os.getloadavg()[0], 2)}


def footer(found: dict[str, Any]) -> str:
    """A line about the machine of a record."""
    about = found["machine"]
    threads = f"{about['threads']} thread{'s' * (about['threads'] > 1)}"
    return (f"`{found['model']}` on {found['device']}; {about['system']}, {about['cores']} cores, {threads}, torch "
            f"{about['torch']}, Python {about['python']}; load {about['load_before']} before, {about['load_after']} "
            "after.")


def table(found: dict[str, Any]) -> str:
    """For people, as markdown."""
    stages_of, memory = found["stages"], found["transformer"]
    lines = ["| text | speech | first sound | of the processor | real-time factor | of the processor | underruns |",
             "|---|---|---|---|---|---|---|"]
    for asked, row in found["texts"].items():
        wall, cpu = (f"{1000 * row[name]:.0f} ms" for name in ("first_s", "first_cpu_s"))
        lines.append(f"| {asked} s | {row['speech_s']:.1f} s | {wall} | {cpu} | {row['factor']:.3f} "
                     f"| {row['cpu_factor']:.3f} | {row['underruns']} |")
    split = ", ".join(f"{name} {stages_of[name]:.3f}" for name in ("text", "codes", "mel", "wave"))
    codes, theirs = stages_of["codes_per_s"], found["transformers_codes_per_s"]
    reads = f"{memory['weights_mb']} MB of weights, {memory['gb_per_s']} GB a second, {memory['share']:.1f} times the"
    lines += ["", f"Seconds of the processor for a second of speech, stage by stage: {split}.", "",
              f"Codes: {codes:.0f} a second; `transformers` with a GPT-2 of the same size (no pointer, no pitch, no"
              f" level): {theirs:.0f}. A code reads {reads} {memory['memory_gb_per_s']} GB that one thread gets from"
              " memory.", "",
              f"Model loaded and first sentence spoken: {found['ready_s']} s. Peak memory: {found['peak_gb']} GB."]
    lines += ["", f"The same text of about {_BESIDE_S:g} s by engines that are installed here, in turns, each with as"
                  " many threads:", "",
              "| engine | first sound | of the processor | real-time factor | of the processor | version |",
              "|---|---|---|---|---|---|"]
    for name, row in found["engines"].items():
        wall, cpu = (f"{1000 * row[key]:.0f} ms" for key in ("first_s", "first_cpu_s"))
        lines.append(f"| {name} | {wall} | {cpu} | {row['factor']:.3f} | {row['cpu_factor']:.3f} | {row['version']} |")
    return "\n".join([*lines, "", footer(found)]) + "\n"


def _cpu_s(run: Callable[[], object], rounds: int) -> float:
    """Median seconds of the processor, after one run that is not counted."""
    run()
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        spent.append(time.process_time() - start)
    return statistics.median(spent)
