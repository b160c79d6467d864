"""Whether cost grows with a text's length no faster than the text, and memory not at all: `emovoice bench long`.

A model is loaded once and streams texts of rising length; chunks are let go as they come. Seconds are of the processor.
Memory is the most that the process held while the text was spoken, the model included.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emovoice.evaluation.speed import peak_memory_gb
from emovoice.testing.bench_speech import footer, machine, text_of

if TYPE_CHECKING:
    from emovoice.engine import Engine

MARKS = ("<!-- long: begin -->", "<!-- long: end -->")
_WARM_S = 20.0


@dataclass(frozen=True)
class Streamed:
    """One text.

    Attributes:
        characters: of the text.
        speech_s: how long it is.
        first_cpu_s: seconds of the processor until the first chunk.
        cpu_factor: seconds of the processor for a second of speech.
        peak_gb: the most memory that the process held meanwhile, 10^9 bytes.
    """

    characters: int
    speech_s: float
    first_cpu_s: float
    cpu_factor: float
    peak_gb: float


def streamed(engine: Engine, text: str) -> Streamed:
    """Speak a text and keep nothing of it."""
    forget_peak()
    samples, first_s, start = 0, 0.0, time.process_time()
    for chunk in engine.stream(text):
        first_s = first_s or time.process_time() - start
        samples += len(chunk)
    spent_s, speech_s = time.process_time() - start, samples / engine.pipeline.sample_rate
    return Streamed(len(text), round(speech_s, 2), round(first_s, 4), round(spent_s / speech_s, 4),
                    round(peak_memory_gb(), 4))


def forget_peak() -> None:
    """Let the most memory ever held be what is held now, where the system can: on Linux. Elsewhere it only rises, so
    that texts of rising length still show what each adds."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def measure(model: str, device: str, minutes: Sequence[float]) -> dict[str, Any]:
    """Texts of about so many minutes, the shortest first, and once more at the end: what has grown by then and is still
    there is of the process and how much it has spoken, not of a text's length."""
    from emovoice.engine import Engine
    from emovoice.limits import DEFAULT_LIMITS

    before = os.getloadavg()[0]
    engine = Engine(model, device, limits=replace(DEFAULT_LIMITS, text_chars=10**9))
    warm = streamed(engine, text_of(_WARM_S))  # tells how fast it speaks, too
    pace = warm.speech_s / warm.characters
    rows = [streamed(engine, text_of(60 * length, pace)) for length in sorted(minutes)]
    again = streamed(engine, text_of(60 * min(minutes), pace))
    return {"model": model, "device": device, "texts": [asdict(row) for row in rows], "again": asdict(again),
            "machine": machine(before)}


def table(found: dict[str, Any]) -> str:
    """For people, as markdown."""
    lines = ["| speech | characters | first sound, of the processor | cost of a second | cost in all | peak memory |",
             "|---|---|---|---|---|---|"]
    rows, again = found["texts"], found["again"]
    for row in (*rows, again):
        lines.append(f"| {row['speech_s'] / 60:.1f} min | {row['characters']:,} | {1000 * row['first_cpu_s']:.0f} ms "
                     f"| {row['cpu_factor']:.3f} s | {row['cpu_factor'] * row['speech_s']:.1f} s "
                     f"| {row['peak_gb']:.3f} GB |")
    cost = rows[-1]["cpu_factor"] / rows[0]["cpu_factor"]
    grown, beyond = (1000 * (rows[-1]["peak_gb"] - row["peak_gb"]) for row in (rows[0], again))
    told = (f"From the shortest to the longest, a second of speech costs {cost:.2f} times as much, and memory grows by "
            f"{grown:.0f} MB. The last line is the shortest once more: the longest took {beyond:.0f} MB more than it.")
    return "\n".join([*lines, "", told, "", footer(found)]) + "\n"
