"""Says what of a published model is missing, damaged or of the wrong shape. Reads headers only, unless told to hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from emovoice.errors import ModelError
from emovoice.hub import convert, published, shapes
from emovoice.hub.registry import File, Model, guess

RECORD = "emovoice-pull.json"
"""What `pull` writes into the folder: size, SHA-256 and origin of each file."""


@dataclass(frozen=True)
class FileState:
    """One published file."""

    path: str
    state: str
    """'ok', 'not there' (and needed by nobody), 'missing', 'wrong size' or 'wrong sum'."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.state in ("ok", "not there")


@dataclass(frozen=True)
class PartState:
    """One part: the file that is read for it, and how its tensors differ from the list."""

    part: str
    path: str
    converted: bool
    """Whether it can be loaded as it is."""
    dtypes: tuple[str, ...]
    report: shapes.Report | None
    error: str = ""
    """Why it cannot be read; "" when it can."""

    @property
    def ok(self) -> bool:
        """Whether it is readable and complete."""
        return self.report is not None and self.report.ok


@dataclass(frozen=True)
class Checked:
    """All there is to say about a folder."""

    model: str
    folder: Path
    files: tuple[FileState, ...]
    parts: tuple[PartState, ...]

    @property
    def ok(self) -> bool:
        """Whether the model is complete."""
        return all(file.ok for file in self.files) and all(part.ok for part in self.parts)

    @property
    def unconverted(self) -> tuple[str, ...]:
        """Parts that have to be converted before they can be loaded."""
        return tuple(part.part for part in self.parts if part.ok and not part.converted)

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "model": self.model, "folder": str(self.folder), "ok": self.ok, "unconverted": list(self.unconverted),
            "files": [{"path": file.path, "state": file.state} for file in self.files],
            "parts": [_part_json(part) for part in self.parts],
        }  # fmt: skip


def check(folder: Path, model: Model | None = None, *, hashes: bool = False) -> Checked:
    """Look at every file and every tensor of a folder.

    Args:
        folder: a model's folder, as published, converted or both.
        model: which one; None to find out.
        hashes: also read all files through and compare their SHA-256 with those known.

    Raises:
        ModelError: there is no such folder, or it cannot be told which model it holds.
    """
    model = model or guess(folder)
    if not folder.is_dir():
        raise ModelError("there is no such folder", field="folder", value=str(folder),
                         remedy=f"Run 'emovoice models pull {model.name}'")  # fmt: skip
    known = read_record(folder)
    replaced = {
        name for part, files in model.parts.items() if convert.target(folder, part).is_file() for name in files.files
    }
    files = [
        _file_state(folder, file, known, hashes, file.to in replaced)
        for source in model.sources
        for file in source.files
    ]
    return Checked(model.name, folder, tuple(files), tuple(_part_state(folder, model, part) for part in model.parts))


def read_record(folder: Path) -> dict[str, dict[str, Any]]:
    """What `pull` knew about the files; empty when there is no such record."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return {str(path): dict(entry) for path, entry in record["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal. Raises ModelError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise published.unreadable(path, error) from error
    return digest.hexdigest()


def _file_state(folder: Path, file: File, known: dict[str, dict[str, Any]], hashes: bool, replaced: bool) -> FileState:
    if "*" in file.to:
        recorded = [path for path in known if fnmatchcase(path, file.to)]
        states = [_one_state(folder, path, known[path], None, hashes) for path in recorded]
        bad = next((state for state in states if state != "ok"), None)
        there = any(path.is_file() for path in folder.glob(file.to))
        return FileState(file.to, bad or ("ok" if there else "not there" if file.optional else "missing"))
    path = folder / file.to
    if not path.is_file():
        return FileState(file.to, "not there" if file.optional or replaced else "missing")
    return FileState(file.to, _one_state(folder, file.to, known.get(file.to, {}), file.sha256, hashes))


def _one_state(folder: Path, path: str, entry: dict[str, Any], sha256: str | None, hashes: bool) -> str:
    file = folder / path
    if not file.is_file():
        return "missing"
    if "bytes" in entry and file.stat().st_size != entry["bytes"]:
        return "wrong size"
    wanted = sha256 or entry.get("sha256")
    return "wrong sum" if hashes and wanted and sha256_of(file) != wanted else "ok"


def _part_state(folder: Path, model: Model, part: str) -> PartState:
    files = model.parts[part]
    done = convert.target(folder, part)
    path = done if done.is_file() else convert.source(folder, model, part)
    if path is None:
        return PartState(part, files.files[0], False, (), None, "missing")
    shown = path.relative_to(folder).as_posix()
    try:
        header = published.header(path)
    except ModelError as error:
        return PartState(part, shown, False, (), None, error.what)
    report = shapes.compare(header.shapes, shapes.expected(files.shapes), header.ignored)
    return PartState(part, shown, path.suffix == ".safetensors", header.dtypes, report)


def _part_json(part: PartState) -> dict[str, Any]:
    row: dict[str, Any] = {
        "part": part.part, "path": part.path, "ok": part.ok, "converted": part.converted,
        "dtypes": list(part.dtypes), "error": part.error,
    }  # fmt: skip
    if (report := part.report) is not None:
        wrong = [{"tensor": name, "shape": shape, "wanted": wanted} for name, shape, wanted in report.wrong]
        row |= {"tensors": report.found, "of": report.expected, "missing": list(report.missing), "wrong": wrong,
                "extra": report.extra, "recomputed": report.recomputed}  # fmt: skip
    return row
