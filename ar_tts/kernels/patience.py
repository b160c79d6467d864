"""When to start a compiled kernel: starting Numba costs as much as thousands of steps of a plain twin.

Whoever speaks one sentence should not wait for it. The twin therefore serves until it has taken as long as a start
would; then the kernel is started in the background, and takes over as soon as it is there. Both do the same.
"""
from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

START_S = 0.4
"""Seconds of the processor that importing Numba and reading a compiled kernel take."""
COMPILE_S = 15.0
"""Seconds of the processor that compiling all functions of a large kernel takes, once after an installation."""


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


class Settled:
    """Compiled code that a process uses from its first request on, or not at all.

    A kernel that rounds otherwise than its twin must not take over between two requests of one seed. It is used where
    it was compiled before; otherwise the twin serves this process, and when that has taken as long as compiling would,
    the kernel is compiled in the background for the next one. `start` is for those who would rather wait at once.

    Args:
        stages: imports and compiles, piece by piece; ImportError where it cannot be had.
        sources: the files that are compiled, and names of functions in each.
    """

    def __init__(self, stages: Callable[[], Iterable[object]], sources: Sequence[tuple[Path, str]]) -> None:
        self._stages, self._sources = stages, sources
        self._chosen: bool | None = None
        self._spent_s, self._compiling, self._beginning = 0.0, False, False
        self._lock = threading.Lock()

    def ready(self) -> bool:
        """Whether the kernel is used; the first answer stays, unless `start` is called."""
        if self._chosen is None:
            with self._lock:
                if self._chosen is None:
                    self._chosen = compiled_before(self._sources) and self._load()
        return self._chosen

    def begin(self) -> None:
        """Load it in the background where it was compiled before; `ready` waits for that."""
        if self._chosen is None and not self._beginning and compiled_before(self._sources):
            self._beginning = True
            threading.Thread(target=self.ready, name="start of a kernel").start()

    def decline(self) -> None:
        """Stay with the twin: too little will be asked for to make up for the start."""
        with self._lock:
            self._chosen = bool(self._chosen)

    def start(self) -> bool:
        """Load or compile it now; False without Numba."""
        with self._lock:
            if not self._chosen:
                self._chosen = self._load()
        return self._chosen

    def spend(self, seconds: float) -> None:
        """The twin took so long."""
        self._spent_s += seconds
        if self._spent_s > COMPILE_S and not self._compiling:
            self._compiling = True
            threading.Thread(target=self._load, name="compiling for next time").start()

    def _load(self) -> bool:
        try:
            for _ in self._stages():
                if not threading.main_thread().is_alive():  # the process wants to end; the pieces so far are kept
                    return False
        except ImportError:
            return False
        return True


def compiled_before(sources: Iterable[tuple[Path, str]]) -> bool:
    """Whether Numba has kept these functions since their files were last changed; asked without importing Numba."""
    own = os.environ.get("NUMBA_CACHE_DIR")
    for path, name in sources:
        folders = [path.parent / "__pycache__"] if own is None else Path(own).glob(f"{path.parent.name}_*")
        changed = path.stat().st_mtime
        kept = (file for folder in folders for file in folder.glob(f"{path.stem}.{name}-*.nbi"))
        if not any(file.stat().st_mtime >= changed for file in kept):
            return False
    return True
