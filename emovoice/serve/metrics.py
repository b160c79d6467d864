"""Figures for Prometheus: counts, lengths and times; never what was said."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_TIMES_S = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30, 60, 120)
_FACTORS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 4)


class Metrics:
    """The figures of one server.

    Args:
        waiting, active: say how many requests wait and how many are being spoken.
    """

    def __init__(self, waiting: Callable[[], float], active: Callable[[], float]) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("emovoice_requests", "Requests by route and status", ["route", "status"],
                                registry=registry)  # fmt: skip
        self.first_byte_s = Histogram("emovoice_first_byte_seconds", "From a request's arrival to its first sound",
                                      buckets=_TIMES_S, registry=registry)  # fmt: skip
        self.compute_s = Histogram("emovoice_compute_seconds", "From a request's arrival to its last sound",
                                   buckets=_TIMES_S, registry=registry)  # fmt: skip
        self.real_time_factor = Histogram("emovoice_real_time_factor", "Seconds of work for a second of speech",
                                          buckets=_FACTORS, registry=registry)  # fmt: skip
        self.audio_s = Counter("emovoice_audio_seconds", "Speech made", registry=registry)
        self.cancelled = Counter("emovoice_cancelled", "Requests whose client went away", registry=registry)
        self.refused = Counter("emovoice_refused", "Requests refused because the queue was full", registry=registry)
        Gauge("emovoice_waiting", "Requests that wait", registry=registry).set_function(waiting)
        Gauge("emovoice_active", "Requests that are being spoken", registry=registry).set_function(active)

    def text(self) -> bytes:
        """All of them in Prometheus's text format."""
        return generate_latest(self.registry)
