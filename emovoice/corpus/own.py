"""A user's own recordings as a corpus folder: `emovoice corpus import`.

    DIR/metadata.csv    file,text[,speaker][,emotion][,intensity]      one recording a row, files relative to DIR
    OUT/manifest.jsonl  OUT/wavs/*.flac                                 as `emovoice corpus build` writes them

What the teacher knows exactly is found out here: phonemes by reading the text, durations by forced alignment with
the tokenizer's phones, pitch by its pitch head. Rows that cannot be used are told and passed over.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from emovoice import audio, text
from emovoice.corpus.align import align, durations
from emovoice.corpus.build import read_manifest
from emovoice.emotion import names
from emovoice.encoder.melody import CODE_SAMPLES, RATE_HZ, bin_to_pitch
from emovoice.engine import Engine
from emovoice.errors import AudioError, EmovoiceError, InputError, ModelError, OutputError
from emovoice.limits import Limits
from emovoice.text import symbols
from emovoice.writing import whole_file

METADATA = "metadata.csv"
NEEDED, OPTIONAL = ("file", "text"), ("speaker", "emotion", "intensity")
SECONDS = (0.5, 30.0)
MOST_PHONEMES = 400
"""What the table of text positions in `ar_tts` holds."""
LEAST_FIT = 0.4
"""A tokenizer after 13 minutes of training, on 66 corpus items, most of which it knew: 0.47 .. 0.99 with their own
text, 0.08 .. 0.49 (median 0.32) with another item's, of which this refuses about 17 in 20."""
PITCH_HZ = 80  # of the manifest's F0
_KIND, _MORE = "own", "fields without a name"
_HEADER_REMEDY = f"Begin it with the line: {','.join((*NEEDED, *OPTIONAL))} (the last three may be left out)."


@dataclass(frozen=True)
class Script:
    """A row of the metadata, checked. `intensity` is 0 for neutral."""

    path: Path
    text: str
    speaker: str
    emotion: str
    intensity: float


@dataclass(frozen=True)
class Options:
    """How to import. `least_fit` 0..1: how badly a recording may agree with its text (see `align`)."""

    model: str = "mini"
    device: str = "cpu"
    accent: text.Accent = "us"
    least_fit: float = LEAST_FIT


@dataclass
class Summary:
    """What came of the rows. `refused` holds one line each, `seconds` is the sound of the rows that were taken."""

    rows: int = 0
    imported: int = 0
    kept: int = 0
    seconds: float = 0.0
    texts: int = 0
    refused: list[str] = field(default_factory=list)

    @property
    def good(self) -> int:
        """Rows of the metadata that the corpus now holds."""
        return self.imported + self.kept


def read_metadata(folder: Path) -> list[tuple[int, dict[str, str]]]:
    """Line numbers and fields of DIR/metadata.csv, as they are written there.

    Raises:
        InputError: no such file, not UTF-8 text, or a header without `file` and `text`.
    """
    path = folder / METADATA
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, restkey=_MORE, restval="", skipinitialspace=True, strict=True)
            header = [name.strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError as error:
        raise InputError(
            "no metadata.csv in the folder", field="dir", value=str(folder), remedy="List the recordings in it."
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the metadata cannot be read: {error}", field="file", value=str(path)) from error
    if not set(NEEDED) <= set(header):
        raise InputError("the header lacks a column", field="header", value=header, remedy=_HEADER_REMEDY)
    return rows


def script_of(row: dict[str, str], folder: Path) -> Script:
    """A row's fields, checked. Raises InputError."""
    if _MORE in row:
        raise InputError("more fields than the header has", remedy='Put a text that has commas into "quotes"')
    given = {name: row.get(name, "").strip() for name in (*NEEDED, *OPTIONAL)}
    if not given["file"]:
        raise InputError("no file is named")
    if not given["text"]:
        raise InputError("the text is empty")
    emotion = names.canonical(given["emotion"] or "neutral")
    intensity = names.check_intensity(_number(given["intensity"]), default=names.GIVEN_INTENSITY)
    if emotion == "neutral" or intensity == 0:
        emotion, intensity = "neutral", 0.0
    return Script(folder / given["file"], given["text"], given["speaker"] or _KIND, emotion, intensity)


def _number(written: str) -> float | None:
    try:
        return float(written) if written else None
    except ValueError:
        raise InputError("this is not a number", field="intensity", value=written) from None


class Labeller:
    """Finds durations and pitch of recordings, with the tokenizer of a model."""

    def __init__(self, options: Options) -> None:
        loaded = Engine(options.model, options.device).pipeline.bundle
        if loaded.config.tokenizer.phones < symbols.VOCAB_SIZE:
            raise ModelError("this model's tokenizer does not know all phonemes", field="model", value=options.model)
        self.options, self.front, self.tokenizer = options, loaded.front, loaded.tokenizer

    @torch.inference_mode()
    def hear(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) float32 at 24 kHz -> log-posteriors of phones (2K, C) at 50 Hz, pitch in Hz (K,), 0 where unvoiced."""
        usable = len(samples) // CODE_SAMPLES * CODE_SAMPLES
        wave = torch.from_numpy(np.ascontiguousarray(samples[:usable], np.float32))[None].to(self.options.device)
        tokens = self.tokenizer(self.front(wave))
        phones = tokens.phone_logits[0].float().log_softmax(-1).cpu().numpy()
        return phones, bin_to_pitch(tokens.pitch_logits[0].argmax(-1).cpu().numpy())

    def label(self, script: Script, samples: np.ndarray) -> dict[str, Any]:
        """The fields of a manifest row that have to be found out.

        Raises:
            InputError: a text that cannot be read, is too long, or is not what the recording says.
        """
        phonemes = " ".join(s.phonemes for s in text.read(script.text, accent=self.options.accent).sentences)
        if len(phonemes) > MOST_PHONEMES:
            raise InputError(f"the text has more than {MOST_PHONEMES} phonemes", field="phonemes", value=len(phonemes))
        phones, pitch_hz = self.hear(samples)
        found = align(phones, np.array([symbols.START, *symbols.encode(phonemes), symbols.STOP]))
        if found.fit < self.options.least_fit:
            raise InputError("the recording does not say its text", field="fit", value=round(found.fit, 3))
        return {
            "phonemes": phonemes,
            "durations": durations(found.frames),
            "f0_hz": [round(float(hz), 1) for hz in spread_pitch(pitch_hz)],
            "fit": round(found.fit, 4),
        }


def spread_pitch(pitch_hz: np.ndarray) -> np.ndarray:
    """(K,) pitch per code of 40 ms -> the same at 80 frames a second, so that `pitch_per_code` gives it back."""
    edges = np.round(np.arange(len(pitch_hz) + 1) * CODE_SAMPLES / RATE_HZ * PITCH_HZ).astype(int)
    return np.repeat(pitch_hz, np.diff(edges))


def import_folder(
    folder: Path,
    out: Path,
    options: Options,
    tell: Callable[[str], None] = lambda line: None,
    progress: Callable[[list[Any]], Iterable[Any]] = iter,
) -> Summary:
    """Bring every usable row of DIR/metadata.csv into the corpus folder `out`, which may hold others already.

    Resumable: rows that are there and have not changed are kept. Every file is written beside and then renamed.

    Args:
        tell: takes a line about each row that was refused or is worth a warning.
        progress: wraps the rows so that going through them is shown.

    Raises:
        InputError: metadata that cannot be read, or not one usable row.
        ModelError, OutputError: a model that cannot be loaded, a folder that cannot be written to.
    """
    rows = read_metadata(folder)
    labeller, shelf, summary = Labeller(options), Shelf(out), Summary(rows=len(rows))

    def refuse(line: int, file: str, error: EmovoiceError) -> None:
        summary.refused.append(f"line {line}, {file}: {_short(error)}")
        tell(summary.refused[-1])

    todo: dict[str, tuple[int, str, Script]] = {}
    for line, row in rows:
        try:
            script = script_of(row, folder)
            if _id(script) in todo:
                raise InputError("this file is listed twice")
            todo[_id(script)] = (line, row["file"], script)
        except InputError as error:
            refuse(line, row["file"], error)
    sources = {name: _fingerprint(script, options) for name, (_, _, script) in todo.items()}
    kept = shelf.keep(sources, options.least_fit)
    for name, (line, file, script) in progress(list(todo.items())):
        if name in kept:
            continue
        try:
            notes = _take(name, script, sources[name], labeller, shelf)
        except (InputError, AudioError) as error:
            refuse(line, file, error)
            continue
        summary.imported += 1
        for note in notes:
            tell(f"line {line}, {file}: {note}")
    summary.kept = len(kept)
    taken = [shelf.rows[name] for name in todo if name in shelf.rows]
    summary.seconds = round(math.fsum(row["seconds"] for row in taken), 3)
    summary.texts = len({row["text"] for row in taken})
    return summary


def _take(name: str, script: Script, source: str, labeller: Labeller, shelf: Shelf) -> tuple[str, ...]:
    """Import a row; warnings about its sound. Raises InputError or AudioError for one that cannot be used."""
    heard = audio.read_whole(script.path, limits=Limits(reference_s=SECONDS[1]))
    seconds = len(heard.samples) / RATE_HZ
    if seconds < SECONDS[0]:
        raise AudioError("the recording is too short", field="seconds", value=round(seconds, 3))
    labels = labeller.label(script, heard.samples)
    about = {"id": name, "group": shelf.group(script.text), "text": script.text, "kind": _KIND, "voice": script.speaker,
             "emotion": script.emotion, "intensity": script.intensity, "warp": 1.0}  # fmt: skip
    shelf.put(about | labels | {"seconds": round(seconds, 4), "source": source}, heard.samples)
    return heard.warnings


def _id(script: Script) -> str:
    """Of a recording, by where it lies."""
    return "own-" + hashlib.sha256(str(script.path.resolve()).encode()).hexdigest()[:16]


def _fingerprint(script: Script, options: Options) -> str:
    """Changes with the recording (its size and date), with what is said about it, and with how it is labelled."""
    try:
        found = script.path.stat()
        state = [found.st_size, found.st_mtime_ns]
    except (OSError, ValueError):  # reading it says what is wrong
        state = []
    told = [script.text, script.speaker, script.emotion, script.intensity, options.accent, options.model]
    return hashlib.sha256(json.dumps([*state, *told]).encode()).hexdigest()[:16]


def _short(error: EmovoiceError) -> str:
    """What and which value, on one line; the remedies are about single files given by hand."""
    where = "" if error.field in (None, "path") else f" ({error.field}={error.value!r})"
    return " ".join(f"{error.what}{where}".split())


class Shelf:
    """The corpus folder that is filled. Its manifest grows a line at a time; a line cut by a crash is dropped.

    Raises:
        OutputError: the folder cannot be made, read or written to.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.manifest = out, out / "manifest.jsonl"
        try:
            (out / "wavs").mkdir(parents=True, exist_ok=True)
            self.rows: dict[str, dict[str, Any]] = {row["id"]: row for row in read_manifest(self.manifest)}
            self._written = self.manifest.read_bytes() if self.manifest.exists() else b""
        except OSError as error:
            raise self._failure(error) from error
        self._groups = {row["text"]: row["group"] for row in self.rows.values() if row.get("kind") == _KIND}
        self._next_group = max((row["group"] for row in self.rows.values()), default=-1) + 1

    def keep(self, sources: Mapping[str, str], least_fit: float) -> set[str]:
        """Which of the named items are here, from this very source and good enough; others of them are taken away."""
        asked = {name: self.rows[name] for name in sources if name in self.rows}
        kept = {
            name
            for name, row in asked.items()
            if row.get("source") == sources[name] and row["fit"] >= least_fit and (self.out / row["file"]).is_file()
        }
        self.rows = {name: row for name, row in self.rows.items() if name in kept or name not in asked}
        content = "".join(map(_line, self.rows.values())).encode()
        if content != self._written:
            with whole_file(self.manifest) as file:
                file.write(content)
        return kept

    def group(self, text: str) -> int:
        """Recordings of one text share a group, so that none is trained on while another is held out."""
        if text not in self._groups:
            self._groups[text], self._next_group = self._next_group, self._next_group + 1
        return self._groups[text]

    def put(self, row: dict[str, Any], samples: np.ndarray) -> None:
        """Store an item: its sound first."""
        row["file"] = f"wavs/{row['id']}.flac"
        with whole_file(self.out / row["file"]) as file:
            soundfile.write(file, samples, RATE_HZ, format="FLAC", subtype="PCM_16")
        try:
            with self.manifest.open("a", encoding="utf-8") as lines:
                lines.write(_line(row))
        except OSError as error:
            raise self._failure(error) from error
        self.rows[row["id"]] = row

    def _failure(self, error: OSError) -> OutputError:
        return OutputError(
            f"the corpus folder cannot be used: {error.strerror}", field="out", value=str(self.out),
            remedy="Check that it is a folder that can be written to, and that the disk is not full.",
        )  # fmt: skip


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
