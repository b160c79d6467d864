"""A bounded queue, and workers that speak several requests in turn.

A worker holds up to `slots` requests and asks for the next chunk of each in every round, so that a short request does
not wait for a long one and the first chunk of a new one comes soon. `advance_each` makes those chunks one after the
other; a model that decodes a batch at once takes its place as `Batcher(advance=...)`, with the same arguments and
results, and nothing else changes.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger(__name__)

LONGEST_RETRY_S = 60
_FIRST_GUESS_S = 2.0  # how long a request takes, before any has been timed
_WEIGHT = 0.2  # of the newest in the running mean


class Full(Exception):
    """The queue takes no more. `retry_after_s`: when it is worth trying again."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"full, {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Closed(Exception):
    """The server is stopping."""


class TooLate(Exception):
    """A job's time was up."""


@dataclass(eq=False)
class Job:
    """Work in steps.

    Attributes:
        start: gives the iterator of steps; runs in a worker, and may raise what is wrong with the request.
        deliver: takes the result of each step, in the worker.
        finish: called once at the end, in the worker or in `Batcher.close`: None for success, or the error.
        deadline: `time.monotonic()` after which it is given up.
        cancelled: set it, and no further step is made.
    """

    start: Callable[[], Iterator[Any]]
    deliver: Callable[[Any], None]
    finish: Callable[[BaseException | None], None]
    deadline: float = math.inf
    cancelled: threading.Event = field(default_factory=threading.Event)
    steps: Iterator[Any] | None = None
    began: float = 0.0
    done: bool = False

    def end(self, error: BaseException | None) -> None:
        """Finish, once: closes the iterator, so that what it holds is let go."""
        if self.done:
            return
        self.done = True
        close = getattr(self.steps, "close", None)
        if callable(close):
            close()
        self.steps = None
        self.finish(error)


Outcome = tuple[Any, BaseException | None]
"""What a step gave: (result, None), or (None, StopIteration at the end or what went wrong)."""


def advance_each(steps: Sequence[Iterator[Any]]) -> Iterator[Outcome]:
    """The next step of each, one after the other."""
    for one in steps:
        try:
            yield next(one), None
        except StopIteration as end:
            yield None, end
        except Exception as error:
            yield None, error


class Batcher:
    """Workers and their queue.

    Args:
        workers: threads.
        slots: jobs that one worker advances in turn.
        queue: jobs that may wait beside those.
        advance: makes the next step of several jobs; yields an outcome for each, in their order.
        begin: what each worker does first, in its thread.
    """

    def __init__(
        self,
        workers: int = 1,
        slots: int = 4,
        queue: int = 32,
        advance: Callable[[Sequence[Iterator[Any]]], Iterator[Outcome]] = advance_each,
        begin: Callable[[], Any] = lambda: None,
    ) -> None:
        self.workers, self.slots, self.queue = workers, slots, queue
        self._advance, self._first = advance, begin
        self._waiting: deque[Job] = deque()
        self._active = 0
        self._closing = False
        self._mean_s = _FIRST_GUESS_S
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"emovoice-worker-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Jobs that no worker has taken yet."""
        return len(self._waiting)

    @property
    def active(self) -> int:
        """Jobs that a worker holds."""
        return self._active

    def submit(self, job: Job) -> None:
        """Take a job in. Raises Full or Closed."""
        for gone in self._without_cancelled():
            gone.end(Closed())
        with self._changed:
            if self._closing:
                raise Closed
            free = self.workers * self.slots - self._active
            if len(self._waiting) >= self.queue + max(0, free):
                raise Full(self._retry_after_s())
            self._waiting.append(job)
            self._changed.notify()

    def close(self, wait_s: float = 30.0) -> None:
        """Turn waiting jobs away, let those that have begun end, and stop the workers."""
        with self._changed:
            self._closing = True
            turned_away, self._waiting = list(self._waiting), deque()
            self._changed.notify_all()
        for job in turned_away:
            job.end(Closed())
        until = time.monotonic() + wait_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _without_cancelled(self) -> list[Job]:
        """Takes out of the queue those that nobody waits for any more."""
        with self._changed:
            gone = [job for job in self._waiting if job.cancelled.is_set()]
            self._waiting = deque(job for job in self._waiting if not job.cancelled.is_set())
            return gone

    def _retry_after_s(self) -> int:
        """Whole seconds until about half of the queue is gone."""
        ahead = (len(self._waiting) + self._active) / 2
        return min(LONGEST_RETRY_S, max(1, math.ceil(ahead * self._mean_s / self.workers)))

    def _work(self) -> None:
        self._first()
        held: list[Job] = []
        while True:
            taken = self._take(self.slots - len(held), wait=not held)
            if taken is None:
                return
            held = self._round([*held, *taken])

    def _take(self, room: int, wait: bool) -> list[Job] | None:
        """Up to `room` jobs; None when there is nothing left to do, ever."""
        with self._changed:
            while wait and not self._waiting:
                if self._closing:
                    return None
                self._changed.wait()
            taken = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
            self._active += len(taken)
            return taken

    def _round(self, held: list[Job]) -> list[Job]:
        """One step of each; returns those that go on."""
        for job in held:
            self._begin(job)
        running = [job for job in held if not job.done]
        steps = [job.steps for job in running if job.steps is not None]
        for job, (result, error) in zip(running, self._advance(steps)):
            self._settle(job, result, error)
        left = [job for job in running if not job.done]
        with self._changed:
            self._active -= len(held) - len(left)
        return left

    def _begin(self, job: Job) -> None:
        """Start a job that has not been, and drop one that nobody waits for any more."""
        try:
            if job.cancelled.is_set():
                job.end(Closed())
            elif time.monotonic() > job.deadline:
                job.end(TooLate())
            elif job.steps is None:
                job.began = time.monotonic()
                job.steps = job.start()
        except Exception as error:
            _end_quietly(job, error)

    def _settle(self, job: Job, result: Any, error: BaseException | None) -> None:
        try:
            if error is None:
                job.deliver(result)
            elif isinstance(error, StopIteration):
                taken_s = time.monotonic() - job.began
                self._mean_s += _WEIGHT * (taken_s / self.slots - self._mean_s)
                job.end(None)
            else:
                job.end(error)
        except Exception as failure:
            _end_quietly(job, failure)


def _end_quietly(job: Job, error: BaseException) -> None:
    """End a job whose own functions may fail: a worker outlives every job."""
    try:
        job.end(error)
    except Exception:
        log.exception("a job could not be ended")
        job.done = True
