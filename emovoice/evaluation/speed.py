"""Real-time factor, memory and start-up, each in a process of its own on two cores.

`python -m emovoice.evaluation.speed MODEL` is that process: texts as a JSON list on stdin, figures as JSON on
stdout.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emovoice.errors import ModelError
from emovoice.evaluation.material import Bar
from emovoice.evaluation.rows import Row, ratio_row, value_row

CORES = 2
SAY_RUNS = 3
_WARM_UP = 2
_LIMIT_S = 3600.0
# What the console script does, on as many cores as the bar is about.
_SAY = (
    "import os, sys\n"
    "if hasattr(os, 'sched_setaffinity'):\n"
    f"    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{CORES}])\n"
    "from emovoice.cli import main\n"
    "sys.exit(main())"
)
_SENTENCE = "The quick brown fox jumps over the lazy dog."


def measure(model: str, texts: Sequence[str], bars: Mapping[str, Bar]) -> list[Row]:
    """Rows of the suite: real-time factor and memory of a warm process, seconds of a first `emovoice say`.

    Raises:
        ModelError: one of the processes failed; says how.
    """
    warm = _run([sys.executable, "-m", "emovoice.evaluation.speed", model], json.dumps(list(texts)))
    figures: dict[str, Any] = json.loads(warm.splitlines()[-1])
    note = f"{figures['cores']} cores, {figures['threads']} threads, load average {os.getloadavg()[0]:.1f}"
    pairs = list(zip(figures["wall_s"], figures["audio_s"], strict=True))
    says = first_says(model, SAY_RUNS)
    return [
        ratio_row(pairs, bars["real_time_factor"], note=note),
        value_row(figures["peak_gb"], len(texts), bars["peak_memory"], note="1 GB = 10^9 bytes"),
        value_row(statistics.median(says), len(says), bars["first_say"], note=f"median; {note}"),
        value_row(
            figures["load_s"], 1, what="model loaded and first sentence spoken, in the warm process", unit="s"
        ),
    ]


def first_says(model: str, runs: int) -> list[float]:
    """Seconds from start to end of `emovoice say`, each in a fresh process; one more warms the disk."""
    seconds = []
    with tempfile.TemporaryDirectory(prefix="emovoice-") as folder:
        for number in range(runs + 1):
            out = str(Path(folder) / f"{number}.wav")
            started = time.perf_counter()
            _run([sys.executable, "-c", _SAY, "say", _SENTENCE, "-o", out, "--model", model], "")
            seconds.append(time.perf_counter() - started)
    return seconds[1:]


def _run(command: Sequence[str], given: str) -> str:
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            "a process that was timed did not end", field="command", value=command[1:3]
        ) from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ModelError(f"a process that was timed failed: {last}", field="exit", value=done.returncode)
    return done.stdout


def speak_all(engine: Any, texts: Sequence[str]) -> tuple[list[float], list[float]]:
    """Seconds taken and seconds spoken for each text, after two that do not count."""
    wall, audio = [], []
    for number, text in enumerate([*texts[:_WARM_UP], *texts]):
        started = time.perf_counter()
        spoken = engine.synthesize(text, None, emotion="neutral", intensity=0.0, duration_s=None, seed=0)
        if number >= min(_WARM_UP, len(texts)):
            wall.append(time.perf_counter() - started)
            audio.append(len(spoken.samples) / spoken.rate)
    return wall, audio


def peak_memory_gb() -> float:
    """The most memory that this process ever held, in 10^9 bytes.

    Not by `getrusage` on Linux: there a process inherits the peak of the one that started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e9
    import resource

    return (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    )


def main(model: str) -> None:
    """The timed process."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    texts = json.load(sys.stdin)
    started = time.perf_counter()
    from emovoice import Engine

    engine = Engine(model)
    engine.synthesize(_SENTENCE, None, emotion="neutral", intensity=0.0, duration_s=None, seed=0)
    load_s = time.perf_counter() - started
    wall, audio = speak_all(engine, texts)
    torch = sys.modules.get("torch")
    figures = {
        "wall_s": wall,
        "audio_s": audio,
        "load_s": load_s,
        "peak_gb": peak_memory_gb(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads() if torch else 1,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1])
