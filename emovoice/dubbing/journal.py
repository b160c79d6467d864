"""What is finished, kept so that a crash at any moment loses nothing and repeats nothing.

A job's folder holds `takes/<key>.wav` and `journal.jsonl`. A take is written beside, forced to disk and renamed; then
one line about it is appended and forced to disk. The key is a hash of everything that matters to the sound. A line that
a crash tore, or a file that is not what its line says, does not count.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from emovoice import provenance
from emovoice.errors import OutputError
from emovoice.writing import encode_wav24, whole_file

SCHEMA = 1
"""Raised when the same request would sound different."""


def key_of(**parts: Any) -> str:
    """A key from named values of basic types: the same on every machine."""
    text = json.dumps({"schema": SCHEMA, **parts}, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Journal:
    """The takes of one job. Use it in a `with` block: it holds a lock, so that two processes cannot share a job.

    Raises:
        OutputError: the folder cannot be used, or another process works on it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.takes = folder / "takes"
        self._path = folder / "journal.jsonl"
        self._lines: dict[str, dict[str, Any]] = {}
        self._verified: set[str] = set()

    def __enter__(self) -> Journal:
        try:
            self.takes.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.folder / "lock", "a")
        except OSError as error:
            raise _unusable(self.folder, error) from error
        _lock(self._lock.fileno(), self.folder)
        for leftover in (*self.folder.glob(".emovoice-*.partial"), *self.takes.glob(".emovoice-*.partial")):
            leftover.unlink(missing_ok=True)
        self._read()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.close()

    def path(self, key: str) -> Path:
        """Where the take of a key is, or will be."""
        return self.takes / f"{key}.wav"

    def get(self, key: str) -> dict[str, Any] | None:
        """What is known about a finished take; None when it has to be spoken (again)."""
        line = self._lines.get(key)
        if line is None or key in self._verified:
            return line
        if _digest(self.path(key)) != line.get("sha256"):
            del self._lines[key]
            return None
        self._verified.add(key)
        return line

    def add(self, key: str, record: Mapping[str, Any], samples: np.ndarray, rate: int) -> dict[str, Any]:
        """Keep a take: float32 mono `(N,)`. Returns its record, with its length and checksum.

        Raises:
            OutputError: the disk is full, or the folder went away.
        """
        peak = float(np.abs(samples).max(initial=0.0))
        if peak > 1:
            samples = samples / peak
        with whole_file(self.path(key)) as file:
            encode_wav24(file, samples, rate, provenance.tags(process="dub"))
        line = {"key": key, "samples": len(samples), "rate": rate, "scaled": 1 / peak if peak > 1 else 1.0,
                "sha256": _digest(self.path(key)), **record}  # fmt: skip
        return self._append(key, line)

    def _append(self, key: str, line: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(line, sort_keys=True) + "\n"
        try:
            with open(self._path, "ab") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unusable(self._path, error) from error
        self._lines[key] = line
        self._verified.add(key)
        return line

    def _read(self) -> None:
        """Whole lines of the journal; a torn last one is cut off, so that what is appended begins a line."""
        if not self._path.exists():
            return
        data = self._path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with open(self._path, "r+b") as file:
                file.truncate(whole)
        for text in data[:whole].splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and isinstance(line.get("key"), str):
                self._lines[line["key"]] = line


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _lock(descriptor: int, folder: Path) -> None:
    """Lock until the process ends, however it ends; where the system has no such locks, without one."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise OutputError("another process is working on this dub", field="folder", value=str(folder),
                          remedy="Wait for it, or write to another output.") from error


def _unusable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"the folder of the job cannot be used: {error.strerror or error}", field="path",
                       value=str(path), remedy="Check that the disk is not full and the folder can be written to.")
