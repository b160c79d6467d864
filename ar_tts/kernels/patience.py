"""When to start a compiled kernel: starting Numba costs as much as thousands of steps of a plain twin.

Whoever speaks one sentence should not wait for it. The twin therefore serves until it has taken as long as a start
would; then the kernel is started in the background, and takes over as soon as it is there. Both do the same.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

START_S = 0.4
"""Seconds of the processor that importing Numba and reading a compiled kernel take."""


class Patient:
    """A function in two versions: `twin`, which is there, and what `load` returns."""

    def __init__(self, twin: Callable[..., Any], load: Callable[[], Callable[..., Any]]) -> None:
        self.twin, self._load = twin, load
        self._kernel: Callable[..., Any] | None = None
        self._spent_s = 0.0
        self._starting = False
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any) -> Any:
        """The kernel where it has started, else the twin."""
        if self._kernel is not None:
            return self._kernel(*arguments)
        began = time.perf_counter()
        result = self.twin(*arguments)
        self._spent_s += time.perf_counter() - began
        if self._spent_s > START_S and not self._starting:
            self._starting = True
            threading.Thread(target=self.start, name="start of a kernel").start()
        return result

    def start(self) -> None:
        """Start the kernel now, for servers and benchmarks; without Numba the twin stays."""
        self._starting = True
        with self._lock:
            if self._kernel is None:
                try:
                    self._kernel = self._load()
                except ImportError:
                    self._kernel = self.twin
