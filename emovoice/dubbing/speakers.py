"""Who speaks requests: one model in this process, several in processes of their own, or a Ray cluster.

Every model runs on one thread, so that a take has the same samples whoever speaks it; more cores are used by more
models. Results come in any order and are idempotent: a key names one sound.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Protocol

from emovoice.dubbing.speak import Request, Speaker, Taken
from emovoice.errors import ModelError

WORKER_BYTES = 700 * 2**20
"""Memory reckoned for one worker: `mini` peaks at about 500 MB (README), and needs room."""

_FEWEST_FOR_POOL = 6  # below, loading more models takes longer than it saves


class Speakers(Protocol):
    """What speaks requests."""

    def speak(self, requests: Sequence[Request]) -> Iterator[Taken]:
        """The takes of all requests, in the order they are done. Raises ModelError when a model cannot go on."""

    def close(self) -> None:
        """Let go of models and processes."""


class Here:
    """One model in this process, loaded when it is first needed."""

    def __init__(self, model: str, device: str) -> None:
        self._model, self._device = model, device
        self._speaker: Speaker | None = None

    def speak(self, requests: Sequence[Request]) -> Iterator[Taken]:
        for request in requests:
            with one_thread():
                self._speaker = self._speaker or Speaker.load(self._model, self._device)
                taken = self._speaker.say(request)
            yield taken

    def close(self) -> None:
        self._speaker = None


class Pool:
    """A model in each of several processes; few requests are spoken here instead."""

    def __init__(self, model: str, device: str, workers: int) -> None:
        self._here = Here(model, device)
        self._arguments, self._workers = (model, device), workers
        self._pool: ProcessPoolExecutor | None = None

    def speak(self, requests: Sequence[Request]) -> Iterator[Taken]:
        """Takes as they come, in any order. Raises ModelError where a worker dies."""
        if self._pool is None and len(requests) < _FEWEST_FOR_POOL:
            yield from self._here.speak(requests)
            return
        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold
            self._pool = ProcessPoolExecutor(self._workers, context, _begin, self._arguments)
        try:
            for done in as_completed([self._pool.submit(_say, request) for request in requests]):
                yield done.result()
        except BrokenProcessPool as error:
            raise ModelError("a worker died, perhaps for want of memory", field="workers", value=self._workers,
                             remedy="Run again with fewer --workers; finished takes are kept. In a script, call it"
                                    " under if __name__ == '__main__'.") from error

    def close(self) -> None:
        self._here.close()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def speakers(engine: str, model: str, device: str, workers: int | None) -> Speakers:
    """Speakers for an engine: "local", "ray" or "ray://address"."""
    if engine != "local":
        from emovoice.dubbing.ray_engine import Ray

        return Ray(engine, model, device, workers)
    count = workers or room_for()
    return Here(model, device) if count == 1 or device != "cpu" else Pool(model, device, count)


def room_for() -> int:
    """How many workers this machine has room for: one a core, as far as the memory goes."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        cores = os.cpu_count() or 1
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = 4 * 2**30
    return max(1, min(cores, (memory - 2**30) // WORKER_BYTES))


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread, and as it was afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_speaker: Speaker | None = None


def _begin(model: str, device: str) -> None:
    global _speaker
    import torch

    torch.set_num_threads(1)
    _speaker = Speaker.load(model, device)


def _say(request: Request) -> Taken:
    assert _speaker is not None
    return _speaker.say(request)
