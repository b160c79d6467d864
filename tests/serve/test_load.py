"""Many clients at once, on loopback and bounded: nothing fails, nothing is mixed up, memory stays where it is."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from ar_tts.kernels import network, on_cpu
from emovoice.engine import Engine
from tests.serve.conftest import Live

CLIENTS, REQUESTS = 8, 500
SEEDS = 25
TEXT = "Hi."


def bytes_of(engine: Engine, seed: int) -> bytes:
    samples = engine.synthesize(TEXT, seed=seed).samples
    return np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def memory_mb() -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def run_load(live: Live, expected: dict[int, bytes], requests: int) -> list[str]:
    """What went wrong with `requests` requests of CLIENTS clients; each asks for another seed every time."""
    wrong: list[str] = []
    numbers = iter(range(requests))
    lock = threading.Lock()

    def client() -> None:
        with httpx.Client(timeout=120) as connection:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                seed = number % len(expected)
                body = {"input": TEXT, "seed": seed, "response_format": "pcm"}
                answer = connection.post(f"{live.url}/v1/audio/speech", json=body)
                if answer.status_code != 200:
                    wrong.append(f"request {number}: {answer.status_code} {answer.text[:100]}")
                elif answer.content != expected[seed]:
                    wrong.append(f"request {number}: not the bytes of seed {seed}")

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(110)
    return wrong + ["a client hangs" for thread in threads if thread.is_alive()]


def rude(live: Live, stop: threading.Event, act: Callable[[socket.socket], None]) -> threading.Thread:
    """A client that does `act` with new connections until it is stopped."""

    def again() -> None:
        while not stop.wait(0.05):
            try:
                with socket.create_connection(("127.0.0.1", int(live.url.rsplit(":", 1)[1])), timeout=10) as connection:
                    act(connection)
            except OSError:
                pass

    thread = threading.Thread(target=again, daemon=True)
    thread.start()
    return thread


def leaves_half_way(connection: socket.socket) -> None:
    body = b'{"input": "%s", "response_format": "pcm"}' % (b"One two three. " * 10)
    connection.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body))
    connection.sendall(body)
    connection.recv(1000)


def sends_garbage(connection: socket.socket) -> None:
    connection.sendall(random.Random(0).randbytes(5000))
    connection.recv(1000)


def uploads_slowly(connection: socket.socket) -> None:
    """1 MB in a second, of an upload that says it has 8 MB."""
    head = b"POST /v1/audio/voices HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    connection.sendall(head + b"Content-Length: 8000000\r\n\r\n--x\r\nContent-Disposition: form-data; "
                       b'name="audio_sample"; filename="a.wav"\r\n\r\n')  # fmt: skip
    for _ in range(10):
        connection.sendall(b"\0" * 100_000)
        time.sleep(0.1)


def test_eight_clients_with_rude_company(serve: Callable[..., Live], fake_engine: Engine) -> None:
    """On stand-ins, so that the server is what is loaded, and with two workers."""
    live = serve(fake_engine, workers=2, queue=64)
    expected = {seed: bytes_of(fake_engine, seed) for seed in range(SEEDS)}
    assert len(set(expected.values())) == SEEDS
    stop = threading.Event()
    company = [rude(live, stop, act) for act in (leaves_half_way, sends_garbage, uploads_slowly)]
    assert run_load(live, expected, 100) == []
    before = memory_mb()
    assert run_load(live, expected, REQUESTS) == []
    grown = memory_mb() - before
    stop.set()
    for thread in company:
        thread.join(15)
    assert grown < 30, f"{grown:.0f} MB more after {REQUESTS} requests"
    assert live.service.batcher.waiting == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_eight_clients_on_the_debug_model(serve: Callable[..., Live], engine_factory: Callable[..., Engine]) -> None:
    network.start()
    on_cpu.start()  # compiled code is loaded once, and is no growth
    engine = engine_factory()
    live = serve(engine, queue=64)
    expected = {seed: bytes_of(engine, seed) for seed in range(SEEDS)}
    assert len(set(expected.values())) == SEEDS
    assert run_load(live, expected, 50) == []
    assert run_load(live, expected, 50) == []
    before, started = memory_mb(), time.monotonic()
    assert run_load(live, expected, REQUESTS) == []
    print(f"{REQUESTS} requests in {time.monotonic() - started:.1f} s")
    assert memory_mb() - before < 60
