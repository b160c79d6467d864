"""Limits that hold by default, and clients that are slow, rude or gone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from emovoice.engine import Engine
from emovoice.errors import InputError
from emovoice.serve import tokens
from emovoice.serve.batching import Batcher, Closed, Full, Job, TooLate
from tests.serve.conftest import Live

TEXT = "One two three. Four five six. Seven eight nine."


class Held:
    """Makes the engine speak a sentence only when it is let."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.spoken: list[str] = []
        speak = type(engine.pipeline).speak

        def held(pipeline: object, sentence: Any, *arguments: object, **options: object) -> Iterator[object]:
            self.begun.release()
            assert self.go.wait(30)
            self.spoken.append(sentence.text)
            yield from speak(pipeline, sentence, *arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(type(engine.pipeline), "speak", held)


@pytest.fixture
def held(fake_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    found = Held(fake_engine, monkeypatch)
    yield found
    found.go.set()


def post(live: Live, text: str = "Hello.", **options: Any) -> httpx.Response:
    body = {"input": text, "response_format": "pcm"}
    return httpx.post(f"{live.url}/v1/audio/speech", json=body, timeout=30, **options)


def raw(live: Live) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(live.url.rsplit(":", 1)[1])), timeout=20)


def until(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_a_full_queue_is_told(serve: Callable[..., Live], fake_engine: Engine, held: Held) -> None:
    live = serve(fake_engine, slots=1, queue=1)
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(post(live))) for _ in range(2)]
    threads[0].start()
    assert held.begun.acquire(timeout=15)
    threads[1].start()
    assert until(lambda: live.service.batcher.waiting == 1)
    refused = post(live)
    assert refused.status_code == 429 and refused.json()["error"]["type"] == "rate_limit_error"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    held.go.set()
    for thread in threads:
        thread.join(20)
    assert [answer.status_code for answer in answers] == [200, 200] and post(live).status_code == 200


def test_a_client_that_leaves_stops_the_work(serve: Callable[..., Live], fake_engine: Engine, held: Held) -> None:
    live = serve(fake_engine)
    connection = raw(live)
    body = b'{"input": "%s", "response_format": "pcm"}' % TEXT.encode()
    head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    connection.sendall(head + body)
    assert held.begun.acquire(timeout=15)
    connection.close()
    time.sleep(0.3)  # for the server to see it
    held.go.set()
    assert until(lambda: live.service.batcher.active == 0)
    assert len(held.spoken) <= 1, "the sentences after the one at hand are not spoken"
    assert post(live).status_code == 200
    assert "emovoice_cancelled_total 1.0" in live.service.metrics.text().decode()


def test_a_client_that_leaves_half_way(live: Live) -> None:
    for _ in range(5):
        with httpx.stream("POST", f"{live.url}/v1/audio/speech", json={"input": TEXT * 20}) as answer:
            next(answer.iter_raw())
    assert until(lambda: live.service.batcher.active == 0) and post(live).status_code == 200


def test_time_is_limited(serve: Callable[..., Live], fake_engine: Engine, held: Held) -> None:
    """One that has begun is broken off; one that has not is told."""
    live = serve(fake_engine, slots=1, compute_s=0.3)
    ends: list[object] = []

    def long() -> None:
        try:
            ends.append(post(live, TEXT).status_code)
        except httpx.RemoteProtocolError:
            ends.append("broken off")

    threads = [threading.Thread(target=long)]
    threads[0].start()
    assert held.begun.acquire(timeout=15)
    threads.append(threading.Thread(target=lambda: ends.append(post(live))))
    threads[1].start()
    assert until(lambda: live.service.batcher.waiting == 1)
    time.sleep(0.5)
    held.go.set()
    for thread in threads:
        thread.join(20)
    late = next(end for end in ends if isinstance(end, httpx.Response))
    assert "broken off" in ends and late.status_code == 504 and late.json()["error"]["code"] == "timeout"


def test_a_body_that_is_too_large(serve: Callable[..., Live], fake_engine: Engine) -> None:
    live = serve(fake_engine, request_bytes=10_000)
    assert post(live, "x" * 20_000).status_code == 413

    def chunks() -> Iterator[bytes]:  # no length is announced
        for _ in range(50):
            yield b" " * 1000

    answer = httpx.post(f"{live.url}/v1/audio/speech", content=chunks())
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "request_too_large"


def test_a_body_that_comes_too_slowly(serve: Callable[..., Live], fake_engine: Engine) -> None:
    live = serve(fake_engine, upload_s=0.5)
    with raw(live) as connection:
        connection.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert b"408" in connection.recv(1000).split(b"\r\n")[0]
    assert post(live).status_code == 200


def test_a_connection_that_says_nothing(
    serve: Callable[..., Live], fake_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emovoice.serve.run.HEADERS_S", 0.3)
    live = serve(fake_engine)
    with raw(live) as silent, raw(live) as slow:
        slow.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHos")
        assert silent.recv(10) == b"" and slow.recv(10) == b""


@pytest.mark.parametrize("garbage", [b"\x00\xff\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n", b"A" * 100_000, b"\r\n" * 50_000])
def test_garbage(live: Live, garbage: bytes) -> None:
    with raw(live) as connection:
        try:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(100)
        except ConnectionError:
            answer = b""
    assert answer == b"" or b"400" in answer.split(b"\r\n")[0]
    assert post(live).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:1"}, 200),
    ],
)
def test_pages_of_other_sites(live: Live, headers: dict[str, str], status: int) -> None:
    answer = post(live, headers=headers)
    assert answer.status_code == status and "access-control-allow-origin" not in answer.headers
    preflight = httpx.options(f"{live.url}/v1/audio/speech", headers={"Origin": "https://evil.example"})
    assert preflight.status_code == 403


def test_unknown_addresses_and_methods_answer_in_the_same_shape(live: Live) -> None:
    wrong = (("GET", "/v1/nothing", 404), ("GET", "/v1/audio/speech", 405), ("PUT", "/health", 405))
    for method, path, status in wrong:
        answer = httpx.request(method, f"{live.url}{path}")
        assert answer.status_code == status and set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_beyond_this_machine_only_with_tokens(host: str) -> None:
    with pytest.raises(InputError, match="needs tokens"):
        tokens.check_reach(host, (), open_to_all=False)
    tokens.check_reach(host, ("x" * 16,), open_to_all=False)
    tokens.check_reach(host, (), open_to_all=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.9.10"])
def test_this_machine_needs_none(host: str) -> None:
    tokens.check_reach(host, (), open_to_all=False)


def test_a_stop_lets_what_has_begun_end(serve: Callable[..., Live], fake_engine: Engine, held: Held) -> None:
    live = serve(fake_engine, slots=1)
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(post(live, TEXT))) for _ in range(2)]
    threads[0].start()
    assert held.begun.acquire(timeout=15)
    stopping = threading.Thread(target=live.stop)
    stopping.start()
    time.sleep(0.3)
    held.go.set()
    threads[0].join(20)
    stopping.join(40)
    assert answers[0].status_code == 200 and len(held.spoken) == 3 and not live.thread.is_alive()


# ---- the queue by itself -----------------------------------------------------------------------------------------




def test_requests_are_spoken_in_turn() -> None:
    """A short one does not wait for the end of a long one."""
    order: list[str] = []
    done = threading.Event()
    gate = threading.Event()

    def long() -> Iterator[str]:
        gate.wait(5)
        yield from ["long"] * 5

    batcher = Batcher(workers=1, slots=2, queue=4)
    batcher.submit(Job(long, order.append, lambda _: done.set()))
    batcher.submit(Job(lambda: iter(["short"]), order.append, lambda _: order.append("end of short")))
    gate.set()
    assert done.wait(5)
    batcher.close()
    assert order.index("end of short") < len(order) - 2 and order.count("long") == 5


def test_a_worker_outlives_everything_that_goes_wrong() -> None:
    errors: list[BaseException | None] = []
    done = threading.Semaphore(0)

    def finish(error: BaseException | None) -> None:
        errors.append(error)
        done.release()

    def fails() -> Iterator[int]:
        yield 1
        raise ValueError("step")

    def deliver(_: object) -> None:
        raise KeyError("deliver")

    batcher = Batcher(slots=4)
    batcher.submit(Job(lambda: 1 / 0, print, finish))  # type: ignore[arg-type, return-value]
    batcher.submit(Job(fails, lambda _: None, finish))
    batcher.submit(Job(fails, deliver, finish))
    batcher.submit(Job(fails, print, finish, deadline=time.monotonic() - 1))
    gone = Job(fails, print, finish)
    gone.cancelled.set()
    batcher.submit(gone)
    batcher.submit(Job(lambda: iter([1]), lambda _: None, finish))
    for _ in range(6):
        assert done.acquire(timeout=5)
    kinds = {type(error) for error in errors}
    assert kinds == {ZeroDivisionError, ValueError, KeyError, TooLate, Closed, type(None)}
    batcher.close()
    assert batcher.active == 0
    with pytest.raises(Closed):
        batcher.submit(Job(fails, print, finish))


def test_cancelled_requests_leave_the_queue() -> None:
    gate = threading.Event()
    batcher = Batcher(slots=1, queue=1)

    def waits() -> Iterator[int]:
        gate.wait(5)
        yield 1

    batcher.submit(Job(waits, lambda _: None, lambda _: None))
    assert until(lambda: batcher.active == 1)
    second = Job(waits, lambda _: None, lambda _: None)
    batcher.submit(second)
    with pytest.raises(Full):
        batcher.submit(Job(waits, lambda _: None, lambda _: None))
    second.cancelled.set()
    batcher.submit(Job(waits, lambda _: None, lambda _: None))
    gate.set()
    batcher.close()
