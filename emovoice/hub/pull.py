"""Downloads a model: asks for the sizes and sums, checks the room, fetches, resumes and verifies.

A file grows as `<name>.<sum>.partial` in the folder's `.partial/` and gets its name only when its sum is right, so that
a broken download goes on where it stopped, also in another process, and never looks finished. Nothing is fetched
again that is there with the right sum.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from emovoice.errors import InputError, ModelError, OutputError
from emovoice.hub.check import RECORD, read_record, sha256_of
from emovoice.hub.registry import Model, Source, check_inside
from emovoice.writing import whole_file

PARTIAL = ".partial"
_SPARE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Wanted:
    """One file to have, as its repository describes it."""

    repository: str
    commit: str
    path: str
    to: str
    bytes: int
    sha256: str | None
    """Of the registry, else of the repository for large files."""
    blob: str
    """Git's sum of a small file; for a large one that of its pointer."""

    @property
    def sum(self) -> str:
        """The sum that the file is checked against."""
        return self.sha256 or self.blob


@dataclass(frozen=True)
class Pulled:
    """What became of one file."""

    path: str
    bytes: int
    sha256: str
    state: str
    """'fetched' or 'was there'."""


@dataclass(frozen=True)
class Plan:
    """What there is to fetch."""

    model: Model
    folder: Path
    files: tuple[Wanted, ...]

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files)


def plan(model: Model, folder: Path, *, revision: str | None = None, mirror: str | None = None) -> Plan:
    """Ask the repositories which files there are.

    Args:
        model: what to fetch.
        folder: where to.
        revision: branch, tag or commit of the model's own repository; None for the registry's.
        mirror: address of a server that speaks the hub's protocol; None for HF_ENDPOINT or the hub itself.

    Raises:
        InputError: the mirror is no address.
        ModelError: offline, not reachable, no such revision, or a file that is needed is not there.
    """
    endpoint = _endpoint(mirror)
    files = []
    for index, source in enumerate(model.sources):
        files += _listed(source, (revision if index == 0 else None) or source.revision, endpoint)
    return Plan(model, folder, tuple(files))


def fetch(plan: Plan, *, mirror: str | None = None, report: Callable[[Pulled], None] | None = None) -> list[Pulled]:
    """Download what is planned; see `plan` for `mirror`.

    Args:
        report: called with each file as it is done.

    Raises:
        ModelError: the connection failed, or a file came with another sum or size than was stated.
        OutputError: not enough room, or the folder cannot be written to.
    """
    endpoint, known, done = _endpoint(mirror), read_record(plan.folder), []
    _make_room(plan, known)
    for file in plan.files:
        row = _have(plan.folder, file, known) or _download(plan.folder, file, endpoint)
        known[file.to] = _entry(plan.folder, file, row)
        _write_record(plan, known)
        done.append(row)
        if report:
            report(row)
    _remove_empty(plan.folder / PARTIAL)
    return done


def present(model: Model, folder: Path) -> bool:
    """Whether all files that were once pulled are there still, without asking anyone. For use offline."""
    known = read_record(folder)
    needed = [file.to for source in model.sources for file in source.files if not file.optional]
    return bool(known) and all(any(fnmatchcase(path, pattern) for path in known) for pattern in needed) and all(
        (folder / path).is_file() and (folder / path).stat().st_size == entry.get("bytes")
        for path, entry in known.items()
    )


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids using the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _endpoint(mirror: str | None) -> str | None:
    address = mirror or os.environ.get("HF_ENDPOINT") or None
    if address is not None and not address.startswith(("https://", "http://")):
        raise InputError("this is no address of a server", field="mirror", value=address,
                         remedy="Give one such as https://hub.example.org")  # fmt: skip
    return address.rstrip("/") if address else None


def _listed(source: Source, revision: str, endpoint: str | None) -> list[Wanted]:
    """The files of a source that the repository has, each with its size and sum."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi(endpoint=endpoint, library_name="emovoice")
    with _network(source.repository, revision):
        commit = api.repo_info(source.repository, revision=revision).sha or revision
        tree = api.list_repo_tree(source.repository, recursive=True, revision=commit)
        there = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    wanted = []
    for file in source.files:
        matching = [path for path in there if fnmatchcase(path, file.path)]
        if not matching and not file.optional:
            raise ModelError(f"{file.path} is not in the repository", field="repository",
                             value=f"{source.repository}@{revision}", remedy="Try another --revision")  # fmt: skip
        for path in matching:
            to = path if "*" in file.path else file.to
            check_inside(to)
            entry = there[path]
            sha256 = file.sha256 or (entry.lfs.sha256 if entry.lfs else None)
            size = entry.lfs.size if entry.lfs else entry.size
            wanted.append(Wanted(source.repository, commit, path, to, size, sha256, entry.blob_id))
    return wanted


def _make_room(plan: Plan, known: dict[str, dict[str, Any]]) -> None:
    partial = plan.folder / PARTIAL
    missing = sum(
        file.bytes - _size(_partial(partial, file))
        for file in plan.files
        if _size(plan.folder / file.to) != file.bytes
    )
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(plan.folder).free
    except OSError as error:
        raise _unwritable(plan.folder, error) from error
    if free < missing + _SPARE_BYTES:
        raise OutputError(f"{missing / 1e9:.2f} GB are to be fetched and {free / 1e9:.2f} GB are free", field="folder",
                          value=str(plan.folder), remedy="Make room, or name another folder with --dir")  # fmt: skip


def _have(folder: Path, file: Wanted, known: dict[str, dict[str, Any]]) -> Pulled | None:
    """The file, if it is there with the right size and sum. One that was verified before is not read again."""
    path = folder / file.to
    if _size(path) != file.bytes:
        return None
    entry = known.get(file.to, {})
    if entry.get("mtime_ns") == path.stat().st_mtime_ns and entry.get("sum") == file.sum and "sha256" in entry:
        return Pulled(file.to, file.bytes, str(entry["sha256"]), "was there")
    sha256 = sha256_of(path)
    return Pulled(file.to, file.bytes, sha256, "was there") if _right(path, file, sha256) else None


def _download(folder: Path, file: Wanted, endpoint: str | None) -> Pulled:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    partial, path = _partial(folder / PARTIAL, file), folder / file.to
    url = hf_hub_url(file.repository, file.path, revision=file.commit, endpoint=endpoint)
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        if _size(partial) > file.bytes:
            partial.unlink()
        resumed = _size(partial) > 0
        # Not hf_hub_download: that throws away what it has when the process ends.
        with open(partial, "ab") as out, _network(file.repository, file.commit):
            headers = build_hf_headers(library_name="emovoice") | {"Accept-Encoding": "identity"}
            http_get(url, out, resume_size=out.tell(), headers=headers, expected_size=file.bytes,
                     displayed_filename=file.to)  # fmt: skip
            out.flush()
            os.fsync(out.fileno())
        sha256 = sha256_of(partial)
        if not _right(partial, file, sha256):
            partial.unlink()
            if resumed:  # what was there before may have been the wrong part
                return _download(folder, file, endpoint)
            raise ModelError(
                f"{file.to} came with another sum than was stated, and was thrown away", field="sum", value=sha256,
                remedy="Pull again; if it happens again, do not use this mirror",
            )  # fmt: skip
        os.replace(partial, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    return Pulled(file.to, file.bytes, sha256, "fetched")


def _right(path: Path, file: Wanted, sha256: str) -> bool:
    """Whether the sum is that of the registry or the repository. Small files carry only git's own."""
    if file.sha256:
        return sha256 == file.sha256
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == file.blob


def _partial(folder: Path, file: Wanted) -> Path:
    """Where the file grows. The sum is in the name, so that another version is not continued by mistake."""
    return folder / f"{file.to.replace('/', '--')}.{file.sum[:16]}.partial"


def _entry(folder: Path, file: Wanted, row: Pulled) -> dict[str, Any]:
    return {
        "repository": file.repository, "commit": file.commit, "path": file.path, "bytes": file.bytes,
        "sha256": row.sha256, "sum": file.sum, "mtime_ns": (folder / file.to).stat().st_mtime_ns,
    }  # fmt: skip


def _write_record(plan: Plan, known: dict[str, dict[str, Any]]) -> None:
    licences = {repository: licence.name for repository, licence in plan.model.licences}
    record = {"model": plan.model.name, "licences": licences, "files": known}
    with whole_file(plan.folder / RECORD) as file:
        file.write(json.dumps(record, indent=1).encode() + b"\n")


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # something is left to resume, or there was nothing
        pass


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"the folder cannot be written to: {error.strerror or error}", field="path", value=str(path),
                       remedy="Check the disk and the folder's permissions, or name another with --dir")  # fmt: skip


@contextmanager
def _network(repository: str, revision: str) -> Iterator[None]:
    """Turns what can go wrong on the way to a repository into a ModelError that says what to do."""
    from huggingface_hub import errors

    shown = f"{repository}@{revision}"
    again = "What was fetched so far is kept: run the same command again to go on"
    try:
        with _quiet_library():
            yield
    except errors.OfflineModeIsEnabled as error:
        raise ModelError("HF_HUB_OFFLINE forbids using the network", field="repository", value=shown,
                         remedy="Unset it, or copy the folder from a machine that has it") from error  # fmt: skip
    except errors.GatedRepoError as error:
        raise ModelError("the repository asks for its terms to be accepted on its own page", field="repository",
                         value=shown, remedy="Accept them there, then set HF_TOKEN") from error  # fmt: skip
    except errors.RevisionNotFoundError as error:
        raise ModelError("there is no such revision", field="repository", value=shown,
                         remedy="Leave --revision out for the usual one") from error  # fmt: skip
    except errors.RepositoryNotFoundError as error:
        raise ModelError("there is no such repository, or it is not public", field="repository", value=shown,
                         remedy="Check the mirror; set HF_TOKEN if it is private") from error  # fmt: skip
    except errors.HfHubHTTPError as error:
        raise ModelError(f"the server refused: {_first_line(error)}", field="repository", value=shown,
                         remedy=again) from error  # fmt: skip
    except _transport_errors() as error:
        raise ModelError(f"the server cannot be reached: {_first_line(error)}", field="repository", value=shown,
                         remedy=f"Check the network, HF_ENDPOINT or --mirror. {again}") from error  # fmt: skip
    except OSError as error:
        if error.errno is not None:
            raise  # the disk, not the network
        raise ModelError(f"the download stopped early: {_first_line(error)}", field="repository", value=shown,
                         remedy=again) from error  # fmt: skip


def _transport_errors() -> tuple[type[Exception], ...]:
    """What the HTTP library of huggingface_hub raises; its versions use different ones."""
    from importlib import import_module

    found: list[type[Exception]] = []
    for name, kind in (("httpx2", "TransportError"), ("httpx", "TransportError"), ("requests", "RequestException")):
        try:
            found.append(getattr(import_module(name), kind))
        except ImportError:
            continue
    return tuple(found)


@contextmanager
def _quiet_library() -> Iterator[None]:
    """Keep huggingface_hub from warning about tries that it repeats by itself; its progress bars stay."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160].rstrip(".")
