"""What the routes share: one engine, its workers and voices, the figures, and what is known about requests."""

from __future__ import annotations

import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from emovoice.engine import Engine
from emovoice.serve import failures, work
from emovoice.serve.batching import Batcher, Closed, Full, Job, TooLate
from emovoice.serve.failures import ApiError
from emovoice.serve.metrics import Metrics
from emovoice.serve.settings import Settings
from emovoice.serve.voices import VoiceStore

log = logging.getLogger(__name__)

_KEPT_REPORTS = 1000


class Service:
    """What the routes share: the engine, its workers, the voices, the figures.

    Args:
        engine: loaded.
        settings: see `Settings`.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        limits = settings.limits
        self.engine, self.settings, self.limits = engine, settings, limits
        self.model = engine.pipeline.name
        # a thread learns how many cores it may use when it asks; oneDNN does not ask
        self.batcher = Batcher(limits.workers, limits.slots, limits.queue, begin=torch.get_num_threads)
        self.voices = VoiceStore(settings.voices_dir, limits.voices, limits.voices_bytes)
        self.metrics = Metrics(lambda: self.batcher.waiting, lambda: self.batcher.active)
        self.started = int(time.time())
        self.stopping = False
        self._reports: OrderedDict[str, tuple[str, work.Report]] = OrderedDict()

    # ---- work ----------------------------------------------------------------------------------------------------

    def open(
        self,
        owner: str,
        format: str,
        chunks: Callable[[work.Report], Any],
        process: str,
        sse: bool = False,
        warnings: Iterable[str] = (),
        also: Callable[[], None] = lambda: None,
    ) -> work.Work:
        """Queue a request for sound. `also` is called when it has ended. Raises ApiError (429, 503)."""
        report = work.Report(f"req_{secrets.token_hex(12)}", format=format, warnings=[*warnings])

        def ended(report: work.Report, error: BaseException | None) -> None:
            also()
            self._count(report, error)

        opened = work.Work(
            report,
            chunks,
            sse=sse,
            tags=work.tags(self.engine, process),
            with_watermark=self.settings.watermark,
            deadline_s=self.limits.compute_s,
            on_end=ended,
        )
        try:
            self.submit(opened.job)
        except ApiError:
            also()
            raise
        self._reports[report.id] = (owner, report)
        while len(self._reports) > _KEPT_REPORTS:
            self._reports.popitem(last=False)
        return opened

    def submit(self, job: Job) -> None:
        """Queue a job. Raises ApiError (429, 503)."""
        try:
            self.batcher.submit(job)
        except Full as full:
            self.metrics.refused.inc()
            raise failures.busy(full.retry_after_s) from full
        except Closed as closed:
            raise failures.stopping() from closed

    async def run(self, call: Callable[[], Any]) -> Any:
        """What `call` gives, computed by a worker in its turn. Raises ApiError."""
        outbox, found = work.Outbox(), list[Any]()

        def steps() -> Iterator[Any]:
            yield call()

        job = Job(steps, found.append, lambda error: outbox.put(None, error),
                  deadline=time.monotonic() + self.limits.compute_s)  # fmt: skip
        self.submit(job)
        try:
            _, error = await outbox.get()
        finally:
            job.cancelled.set()
        if error is not None:
            raise as_answer(error)
        return found[0]

    def report(self, id: str, owner: str) -> work.Report:
        """What is known about a request. Raises ApiError (404)."""
        kept = self._reports.get(id)
        if kept is None or kept[0] != owner:
            raise failures.not_found("request", "request_not_found")
        return kept[1]

    def _count(self, report: work.Report, error: BaseException | None) -> None:
        metrics = self.metrics
        if isinstance(error, Closed):
            metrics.cancelled.inc()
        if report.first_chunk_s is not None:
            metrics.first_byte_s.observe(report.first_chunk_s)
        if error is None and report.compute_s is not None:
            metrics.compute_s.observe(report.compute_s)
            if report.duration_s:
                metrics.real_time_factor.observe(report.compute_s / report.duration_s)
        metrics.audio_s.inc(report.duration_s)
        answer = as_answer(error) if error is not None else None
        level = logging.ERROR if answer is not None and answer.status == 500 else logging.INFO
        log.log(level, "%s %s %.2f s of sound in %.2f s%s", report.id, report.format, report.duration_s,
                report.compute_s or 0, f": {type(error).__name__}" if error else "",
                exc_info=error if answer is not None and answer.status == 500 else None)  # fmt: skip


def as_answer(error: BaseException) -> ApiError:
    """The answer for what ended a job."""
    if isinstance(error, Closed):
        return failures.stopping()
    if isinstance(error, TooLate):
        return ApiError(504, "the request took too long", "server_error", code="timeout")
    return failures.of(error)
