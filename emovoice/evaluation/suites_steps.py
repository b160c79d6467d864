"""The suite of solver steps: what each number of steps from codes to mel gives and costs, in an embedded model.

Codes are the same at every number, so that items are compared with themselves: `less` rows are differences to the
number that the model comes with. 0 steps is the prior's guess alone. Seconds are of the processor, for the whole way
from text to wave, numbers of steps taking turns.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from emovoice.errors import ModelError
from emovoice.evaluation.bench import Item, Take
from emovoice.evaluation.measures import cosine
from emovoice.evaluation.rows import Row, mean_row, ratio_row

if TYPE_CHECKING:
    from emovoice.engine import Engine
    from emovoice.evaluation.suites import Plan

STEPS = (0, 1, 2, 4, 8)
MARKS = ("<!-- steps: begin -->", "<!-- steps: end -->")
_TIMED = 8
_OWN = "as the model comes"
_WER, _DNSMOS, _ALIKE, _COST = "WER", "DNSMOS", "similarity", "cost"


def steps_of(engine: Engine) -> int:
    """How many steps its model comes with. Raises ModelError for models without a bundle."""
    bundle = getattr(engine.pipeline, "bundle", None)
    if bundle is None:
        raise ModelError("the suite 'steps' is about embedded models", field="model", value=engine.pipeline.name,
                         remedy="A published model takes its steps with --option solver_steps=N.")
    return int(bundle.config.solver_steps)


def with_steps(engine: Engine, steps: int) -> Engine:
    """The same engine and weights with another number of steps."""
    other, pipeline = copy.copy(engine), copy.copy(engine.pipeline)
    bundle = copy.copy(pipeline.bundle)  # type: ignore[attr-defined]
    bundle.config = replace(bundle.config, solver_steps=steps)
    pipeline.bundle, other.pipeline = bundle, pipeline  # type: ignore[attr-defined]
    return other


def steps(plan: Plan) -> list[Row]:
    """Words, artefacts, likeness and cost at each number of steps, and differences to the model's own number."""
    if plan.engine is None:
        raise ModelError("this model cannot be asked for other steps", field="model", value=plan.model)
    engine = plan.engine()
    own, bench = steps_of(engine), plan.bench
    engines = {number: with_steps(engine, number) for number in sorted({*STEPS, own})}
    prompts = {p.voice: p for p in plan.prompts}
    voices = {name: engine.voice_from(prompts[name].path, name=name, accent=prompts[name].accent) if name else None
              for name in plan.voices}
    items = plan.items()
    takes = {number: [_take(plan, item, other, number, voices[item.voice])
                      for item in bench.each(items, f"{number} steps")] for number, other in engines.items()}
    words = {n: [bench.word_errors(take) for take in found] for n, found in takes.items()}
    scores = {n: [bench.dnsmos(take) for take in found] for n, found in takes.items()}
    alike = {n: [_likeness(plan, take, item) for take, item in zip(found, items, strict=True)]
             for n, found in takes.items()}
    costs = _costs(engines, items[:_TIMED], voices)
    rows = []
    for number in engines:
        note = _OWN if number == own else ""
        rows += [
            ratio_row(words[number], what=_what(number, _WER), note=note),
            mean_row(scores[number], what=_what(number, _DNSMOS)),
            mean_row(alike[number], what=_what(number, _ALIKE)),
            mean_row(costs[number], what=_what(number, _COST), unit="s/s"),
        ]
        if number != own:
            wrong = [(a - b, of) for (a, of), (b, _) in zip(words[number], words[own], strict=True)]
            rows += [
                ratio_row(wrong, what=_what(number, _WER, own)),
                mean_row(np.subtract(scores[number], scores[own]).tolist(), what=_what(number, _DNSMOS, own)),
                mean_row(np.subtract(alike[number], alike[own]).tolist(), what=_what(number, _ALIKE, own)),
            ]
    return rows


def table(report: Mapping[str, Any]) -> str:
    """Of a report with this suite: a line for each number of steps, for people, as markdown."""
    suite = report["suites"]["steps"]
    rows = {row["what"]: row for row in suite["rows"]}
    own = next(int(row["what"].split()[1]) for row in suite["rows"] if row["note"] == _OWN)
    lines = [f"| steps | WER | less {own} steps | DNSMOS | less {own} steps | similarity | less {own} steps | cost |",
             "|---|---|---|---|---|---|---|---|"]
    for number in sorted({int(row["what"].split()[1]) for row in suite["rows"]}):
        cells = []
        for figure, scale in ((_WER, 100), (_DNSMOS, 1), (_ALIKE, 1)):
            cells += [_shown(rows[_what(number, figure)], scale),
                      _shown(rows.get(_what(number, figure, own)), scale, sign="+")]
        lines.append(f"| {number} | {' | '.join(cells)} | {_shown(rows[_what(number, _COST)], 1)} |")
    load = f"{suite['texts']} texts, load {suite['load_average'][0]:g}, {suite['when'][:10]}"
    return "\n".join([*lines, "", f"`{report['model']}` ({report['fingerprint']}); {load}. In brackets 95 % "
                      f"intervals, WER in %, cost in seconds of the processor for a second of speech."]) + "\n"


def _take(plan: Plan, item: Item, engine: Engine, number: int, voice: Any) -> Take:
    """Named after what the model as it is says, so that another model's is never taken for it."""
    def make() -> np.ndarray:
        return np.asarray(engine.synthesize(item.text, voice, "neutral", 0.0, seed=item.seed).samples)

    return plan.bench.made_of(plan.bench.take(item), f"{number} solver steps", make, engine.pipeline.sample_rate)


def _likeness(plan: Plan, take: Take, item: Item) -> float:
    if not item.voice:
        return float("nan")
    return cosine(plan.bench.embedding(take), plan.bench.embedding(plan.bench.prompt(item.voice)))


def _costs(engines: Mapping[int, Engine], items: Sequence[Item], voices: Mapping[str, Any]) -> dict[int, list[float]]:
    """Seconds of the processor for a second of speech by number of steps, after one text that does not count."""
    found: dict[int, list[float]] = {number: [] for number in engines}
    for index, item in enumerate([items[0], *items]):
        for number, engine in engines.items():
            start = time.process_time()
            made = engine.synthesize(item.text, voices[item.voice], "neutral", 0.0, seed=item.seed)
            if index:
                found[number].append((time.process_time() - start) / (len(made.samples) / made.rate))
    return found


def _what(number: int, figure: str, own: int | None = None) -> str:
    return f"steps: {number} {figure}" + ("" if own is None else f", less that of {own}")


def _shown(row: Mapping[str, Any] | None, scale: float, sign: str = "") -> str:
    if row is None or row["value"] is None:
        return "–"
    digits = 1 if scale == 100 else 3
    text = f"{scale * row['value']:{sign}.{digits}f}"
    if row["ci"] is None:
        return text
    low, high = (f"{scale * end:{sign}.{digits}f}" for end in row["ci"])
    return f"{text} ({low} .. {high})"
