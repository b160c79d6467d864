"""Builds a corpus folder: `manifest.jsonl`, `scores.jsonl` and `wavs/*.flac`, resumable at any moment."""
from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from emovoice.corpus.correlates import correlates
from emovoice.corpus.plan import Item, plan
from emovoice.corpus.render import Rendering, render
from emovoice.corpus.teacher import RATE_HZ, Teacher
from emovoice.corpus.texts import Line
from emovoice.text.symbols import SYMBOLS

PHONEME_LIMITS = (8, 240)


@dataclass(frozen=True)
class Studio:
    """Where things are, and what is to be rendered. `seed` decides everything random."""

    out: Path
    cache: Path
    voices: Path
    seed: int
    audible: bool = True


_worker: dict[str, Any] = {}


def _open_worker(studio: Studio) -> None:
    from hibari.g2p import G2P

    _worker["studio"] = studio
    _worker["teacher"] = Teacher(studio.cache, studio.voices)
    _worker["g2p"] = {british: G2P(british=british) for british in (False, True)}


def phonemes_of(text: str, voice: str, g2p: dict[bool, Any]) -> str:
    """Phonemes in our alphabet, in the accent of `voice` (names starting with b are British)."""
    return "".join(c for c in g2p[voice.startswith("b")](text) if c in SYMBOLS)


def render_item(item: Item) -> dict[str, Any] | None:
    """Render and store one item; returns its manifest row, or None where the text is too short or too long."""
    studio: Studio = _worker["studio"]
    phonemes = phonemes_of(item.text, item.voice, _worker["g2p"])
    if not PHONEME_LIMITS[0] <= len(phonemes) <= PHONEME_LIMITS[1]:
        return None
    rng = np.random.default_rng((studio.seed, item.group, ord(item.id[-1])))
    how = correlates(item.emotion, item.intensity, rng)
    made = render(_worker["teacher"], phonemes, item.voice, how, rng, item.warp, studio.audible)
    row = asdict(item) | {"phonemes": phonemes} | _labels(made)
    if studio.audible:
        row |= {"file": f"wavs/{item.id}.flac", "seconds": round(len(made.samples) / RATE_HZ, 4)}
        _store(studio.out / row["file"], made.samples)
    return row


def _labels(made: Rendering) -> dict[str, Any]:
    return {"durations": made.durations.tolist(), "f0_hz": [round(float(f), 1) for f in made.f0_hz],
            "energy": [round(float(e), 3) for e in made.energy]}


def _store(path: Path, samples: np.ndarray) -> None:
    beside = path.with_suffix(".partial")
    soundfile.write(beside, samples, RATE_HZ, format="FLAC", subtype="PCM_16")
    beside.rename(path)


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """Rows of a manifest; a last line that was cut by a crash is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def build(studio: Studio, lines: list[Line], *, hours: float = 0.0, scores: int = 0,
          workers: int = 2) -> dict[str, float]:
    """Render until the folder holds `hours` of sound (audible studio) or `scores` items (silent one).

    Resumes: items in the manifest are not rendered again. Returns items and hours in the folder.
    """
    (studio.out / "wavs").mkdir(parents=True, exist_ok=True)
    manifest = studio.out / ("manifest.jsonl" if studio.audible else "scores.jsonl")
    done = read_manifest(manifest)
    count, seconds = len(done), sum(row.get("seconds", 0.0) for row in done)
    seen = {row["id"] for row in done}
    todo = (item for item in plan(lines, studio.seed) if item.id not in seen)
    target, unit, so_far = (hours * 3600, "s", seconds) if studio.audible else (scores, "item", count)
    bar = tqdm(total=round(target), initial=round(so_far), unit=unit, smoothing=0.05)
    with bar, closing(_batches(studio, todo, workers)) as batches:
        while (seconds if studio.audible else count) < target:
            for row in next(batches):
                _append(manifest, row)
                seconds, count = seconds + row.get("seconds", 0.0), count + 1
                bar.update(row.get("seconds", 1.0))
    return {"items": count, "hours": seconds / 3600}


def _append(manifest: Path, row: dict[str, Any]) -> None:
    """Add a row; one that a crash cut short is left behind on a line of its own."""
    with manifest.open("a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _batches(studio: Studio, todo: Iterator[Item], workers: int) -> Generator[Iterator[dict[str, Any]], None, None]:
    """Endless batches of rows in plan order; no more than one batch is ever under way."""
    with multiprocessing.get_context("spawn").Pool(workers, _open_worker, (studio,)) as pool:
        while True:
            yield (row for row in pool.imap(render_item, list(islice(todo, 8 * workers))) if row)
