"""First-byte time and throughput of a server with one, two, four, eight clients, measured from outside."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import httpx

from emovoice.errors import ModelError

TEXTS = (
    "I told you, she is coming home tonight.",
    "The train leaves at nine, and nobody has packed a bag yet. Will you hurry?",
    "No.",
    "When the rain stopped, they walked down to the harbour and counted the boats. There were seven of them.",
)
MARKS = ("<!-- bench: begin -->", "<!-- bench: end -->")
_START_S = 300.0
_RATE_HZ = 24_000


@dataclass(frozen=True)
class Round:
    """One number of clients.

    Attributes:
        clients, requests: how many, and how many in all.
        first_byte_s: median and 95th percentile of the seconds to the first byte of sound.
        speech_s_per_s: seconds of speech that all clients together get in a second.
        failures: requests that were not answered with sound; 0 unless something is wrong.
        load: the machine's load average beside it, at the start and the end.
    """

    clients: int
    requests: int
    first_byte_s: tuple[float, float]
    speech_s_per_s: float
    failures: int
    load: tuple[float, float]


@contextmanager
def served(model: str, device: str, workers: int) -> Iterator[str]:
    """A server in a process of its own, on a free port of this machine. Raises ModelError if it does not start."""
    command = [sys.executable, "-m", "emovoice", "serve", "--port", "0", "--json", "--model", model, "--device", device,
               "--workers", str(workers), "--limit", f"compute_s={_START_S}"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise ModelError("the server did not start", field="model", value=model)
            yield str(json.loads(line)["url"])
        finally:
            process.terminate()


def measure(url: str, clients: Sequence[int], requests_each: int) -> Iterator[Round]:
    """Rounds, one for each number of clients; every client sends its requests one after the other."""
    _request(url, "Ready.", 0)
    for count in clients:
        before, started = _load(), time.perf_counter()
        with ThreadPoolExecutor(count) as pool:
            given = [(url, TEXTS[i % len(TEXTS)], i) for i in range(count * requests_each)]
            answers = list(pool.map(lambda job: _request(*job), given))
        wall_s = time.perf_counter() - started
        good = [answer for answer in answers if answer is not None]
        firsts = sorted(first for first, _ in good) or [float("nan")]
        p95 = firsts[min(len(firsts) - 1, round(0.95 * (len(firsts) - 1)))]
        yield Round(
            clients=count,
            requests=len(answers),
            first_byte_s=(round(statistics.median(firsts), 3), round(p95, 3)),
            speech_s_per_s=round(sum(speech for _, speech in good) / wall_s, 2),
            failures=len(answers) - len(good),
            load=(before, _load()),
        )


def _request(url: str, text: str, seed: int) -> tuple[float, float] | None:
    """Seconds to the first byte of sound, and seconds of speech; None for an answer without sound."""
    body = {"input": text, "response_format": "pcm", "seed": seed}
    started, first, size = time.perf_counter(), 0.0, 0
    with httpx.stream("POST", f"{url}/v1/audio/speech", json=body, timeout=_START_S) as answer:
        if answer.status_code != 200:
            return None
        for piece in answer.iter_raw():
            first = first or time.perf_counter() - started
            size += len(piece)
    return first, size / 2 / _RATE_HZ


def table(rounds: Sequence[Round], model: str, workers: int) -> str:
    """A markdown table, with what was loaded and what else the machine did."""
    rows = ["| clients | requests | first byte, median | first byte, 95 % | speech a second | failed | load beside |",
            "|---|---|---|---|---|---|---|"]  # fmt: skip
    for one in rounds:
        median, p95 = one.first_byte_s
        rows.append(f"| {one.clients} | {one.requests} | {median:.2f} s | {p95:.2f} s | {one.speech_s_per_s:.2f} s |"
                    f" {one.failures} | {one.load[0]:.1f} to {one.load[1]:.1f} |")  # fmt: skip
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    beside = "load is the average of the last minute, the server's own included"
    return "\n".join([*rows, f"\n`{model}`, {workers} worker{'s' * (workers > 1)}, {cores} cores; {beside}."])


def record(rounds: Sequence[Round]) -> list[dict[str, object]]:
    """The same as data."""
    return [asdict(one) for one in rounds]


def _load() -> float:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0
