"""Models that can be downloaded: repositories, files, licences, and which file holds which part. Data, no network."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from emovoice.errors import InputError, ModelError

VARIABLE = "EMOVOICE_MODELS"
"""Environment variable: the folder that downloaded models are kept in."""


@dataclass(frozen=True)
class Licence:
    """What binds whoever uses a file."""

    name: str
    url: str
    confirm: bool
    """Whether its conditions have to be accepted before anything is downloaded."""
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class File:
    """One file of a repository, or all that match a pattern with `*`."""

    path: str
    """In the repository."""
    to: str
    """In the model's folder; for a pattern the files keep the paths they have in the repository."""
    about_bytes: int
    """Roughly, for the list; the repository tells the true size."""
    sha256: str | None
    """Hexadecimal; None where it was not known."""
    optional: bool = False


@dataclass(frozen=True)
class Source:
    """A repository and what is taken from it."""

    repository: str
    revision: str
    licence: Licence
    files: tuple[File, ...]
    note: str = ""


@dataclass(frozen=True)
class PartFiles:
    """Where the tensors of one part are, and which there have to be."""

    files: tuple[str, ...]
    """Published file names in the model's folder; the first that exists is taken."""
    shapes: str
    """Name of a list in `shapes`."""
    always_fp32: bool = False
    convert: bool = True
    """False for what another library reads by itself."""


@dataclass(frozen=True)
class Model:
    """A published model."""

    name: str
    title: str
    tokenizer: str
    """The file with the vocabulary; it also tells the models apart."""
    sources: tuple[Source, ...]
    parts: dict[str, PartFiles]

    @property
    def about_bytes(self) -> int:
        """Roughly what has to be downloaded."""
        return sum(file.about_bytes for source in self.sources for file in source.files)

    @property
    def licences(self) -> tuple[tuple[str, Licence], ...]:
        """(repository, licence) of each source."""
        return tuple((source.repository, source.licence) for source in self.sources)


@cache
def models() -> dict[str, Model]:
    """The models of `checkpoints/registry.json` by name."""
    raw = json.loads(files("checkpoints").joinpath("registry.json").read_text(encoding="utf-8"))
    licences = {
        key: Licence(entry["name"], entry["url"], entry["confirm"], tuple(entry["conditions"]))
        for key, entry in raw["licences"].items()
    }
    return {name: _model(name, entry, licences) for name, entry in raw["models"].items()}


def model(name: str) -> Model:
    """The model of that name. Raises InputError for others."""
    if name not in models():
        raise InputError(
            "no such model can be downloaded", field="model", value=name, remedy=f"Use one of {', '.join(models())}"
        )
    return models()[name]


def folder_of(name: str) -> Path:
    """Where a downloaded model is kept when no folder is named; it need not exist.

    That is a folder of the model's name in the one that the variable EMOVOICE_MODELS names, or in the user's data
    folder.
    """
    if home := os.environ.get(VARIABLE):
        return Path(home) / name
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "emovoice" / "models" / name


def guess(folder: Path) -> Model:
    """Which model a folder holds, by its vocabulary file. Raises ModelError for no folder and none of them."""
    if not folder.is_dir():
        raise ModelError(
            "there is no such folder", field="folder", value=str(folder), remedy="Run 'emovoice models pull' first"
        )
    found = [model for model in models().values() if (folder / model.tokenizer).is_file()]
    if len(found) != 1:
        names = " or ".join(f"{model.tokenizer} ({model.name})" for model in models().values())
        what = "more than one vocabulary file is here" if found else "this folder holds no published model"
        raise ModelError(what, field="folder", value=str(folder),
                         remedy=f"It should hold {names}; name the model with --model")  # fmt: skip
    return found[0]


def _model(name: str, raw: dict[str, Any], licences: dict[str, Licence]) -> Model:
    sources = tuple(
        Source(
            entry["repository"],
            entry["revision"],
            licences[entry["licence"]],
            tuple(_file(file) for file in entry["files"]),
            entry.get("note", ""),
        )
        for entry in raw["sources"]
    )
    parts = {
        part: PartFiles(
            tuple(entry["files"]), entry["shapes"], entry.get("always_fp32", False), entry.get("convert", True)
        )
        for part, entry in raw["parts"].items()
    }
    return Model(name, raw["title"], raw["tokenizer"], sources, parts)


def _file(raw: dict[str, Any]) -> File:
    file = File(raw["path"], raw["to"], raw["about_bytes"], raw["sha256"], raw.get("optional", False))
    check_inside(file.to)
    return file


def check_inside(path: str) -> None:
    """Raise ModelError for a path that would leave the folder it is joined to: a listing comes from outside."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith(("/", "~")) or ".." in parts or "\\" in path or ":" in path or "\0" in path:
        raise ModelError("a file name leads out of the folder", field="path", value=path,
                         remedy="Do not use this mirror")  # fmt: skip
