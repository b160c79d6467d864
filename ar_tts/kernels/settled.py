"""When to use a compiled kernel that rounds otherwise than its twin: all the time, or not in this process."""
from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

COMPILE_S = 15.0
"""Seconds of the processor that compiling all functions of a large kernel takes, once after an installation."""


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
