"""Sound that is made chunk by chunk, and what is measured while it is: what speaking and converting share."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from emovoice.audio import Audio
from emovoice.writing import peak_warnings


class Chunks(Iterator[np.ndarray], ABC):
    """Chunks of float32 samples `(N,)` or `(N, C)`, made as they are asked for; only the one at hand is in memory.

    A subclass makes them in `_made`, and says what there is to say in `_notes`.

    Attributes:
        rate: samples a second.
        channels: of the samples; 1 for `(N,)`.
        asked_s: the length asked for, or None.
    """

    def __init__(self, rate: int, asked_s: float | None, spent_s: float, channels: int = 1) -> None:
        self.rate, self.asked_s, self.channels = rate, asked_s, channels
        self._samples = 0
        self._peak = 0.0
        self._spent_s = spent_s
        self._chunks = self._made()

    @abstractmethod
    def _made(self) -> Iterator[np.ndarray]:
        """The chunks."""

    @abstractmethod
    def _notes(self) -> tuple[str, ...]:
        """Warnings so far, but for those about the level."""

    def __next__(self) -> np.ndarray:
        start = time.perf_counter()
        try:
            chunk = next(self._chunks)
        finally:
            self._spent_s += time.perf_counter() - start
        self._samples += len(chunk)
        self._peak = max(self._peak, float(np.abs(chunk).max(initial=0.0)))
        return chunk

    def close(self) -> None:
        """Make no more of them, and let go of what that took; for those who do not want the rest."""
        close = getattr(self._chunks, "close", None)
        if callable(close):
            close()

    @property
    def duration_s(self) -> float:
        """Seconds so far."""
        return self._samples / self.rate

    @property
    def real_time_factor(self) -> float:
        """Seconds spent making a second, so far; what is done between chunks does not count."""
        return self._spent_s / self.duration_s if self._samples else 0.0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What there is to say so far; complete after the last chunk."""
        return (*self._notes(), *peak_warnings(self._peak))

    def collect(self) -> Audio:
        """All that is left, as one `Audio`."""
        empty = np.zeros(0 if self.channels == 1 else (0, self.channels), np.float32)
        samples = np.concatenate([empty, *self])
        return Audio(samples, self.rate, self.asked_s, self.real_time_factor, self.warnings)
