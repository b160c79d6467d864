"""Suites about what the encoders keep and what they let through; figures without bars.

    copy    wave -> codes, pitch, level, timbre, emotion -> wave: do words, melody and voice survive?
    leak    does the emotion vector tell who speaks, or the timbre vector how?
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from emovoice.errors import InputError, ModelError
from emovoice.evaluation.bench import Take
from emovoice.evaluation.measures import FEWEST_VOICED_FRAMES, cosine, semitones
from emovoice.evaluation.probes import Reading, read_out
from emovoice.evaluation.rows import Row, mean_row, ratio_row, value_row
from emovoice.evaluation.teacher import read_renders

if TYPE_CHECKING:
    from emovoice.evaluation.suites import Plan

STRONG = 0.6
"""Intensity from which an emotion is one that can be told."""
MOST_ITEMS = 3000
"""Of a corpus: enough for a probe, and a minute or two of listening."""
_REMEDY = "Give one with --corpus DIR, as `emovoice corpus build` or `import` makes it."


class Encoder(Protocol):
    """The part of `emovoice.pipeline.Pipeline` that is judged here."""

    sample_rate: int

    def embed(self, samples: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]:
        """(n,) float32 -> timbre vector, emotion vector."""

    def resynthesise(self, samples: np.ndarray, /) -> np.ndarray:
        """(n,) float32 -> (m,) float32, less than 40 ms shorter."""


def copy(plan: Plan) -> list[Row]:
    """Copy-synthesis of the prompts, and of the teacher's renders where a folder of them is given."""
    encoder = _encoder(plan)
    groups: dict[str, list[tuple[Path, str]]] = {}
    for prompt in plan.prompts:
        name = f"prompts of {'held-out' if prompt.held_out else 'trained'} voices"
        groups.setdefault(name, []).append((prompt.path, prompt.text))
    if plan.teacher is not None:
        groups["teacher renders"] = [(render.path, render.text) for render in read_renders(plan.teacher)]
    if not groups:
        return [value_row(float("nan"), 0, what="copy: no prompts and no renders")]
    version = _copy_version(encoder, next(iter(groups.values()))[0][0])
    rows: list[Row] = []
    for name, recordings in groups.items():
        pairs = [_copied(plan, encoder, version, *r) for r in plan.bench.each(recordings, f"copy {name}")]
        rows += _copy_rows(plan, name, pairs)
    return rows


def _encoder(plan: Plan) -> Encoder:
    if plan.encoder is None:
        raise ModelError("this model cannot be asked for its encoders", field="model", value=plan.model)
    return plan.encoder()


def _samples(path: Path) -> np.ndarray:
    """All of a recording, (n,) float32 mono at 24 kHz, as the encoders take it."""
    from emovoice.audio import read_whole

    return read_whole(path).samples


def _copy_version(encoder: Encoder, path: Path) -> str:
    """Names what makes copies by how it copies a recording, so that a copy of another model is never taken for it."""
    again = encoder.resynthesise(_samples(path))
    return hashlib.sha256(np.round(again * 2048).astype(np.int32).tobytes()).hexdigest()[:16]


def _copied(plan: Plan, encoder: Encoder, version: str, path: Path, text: str) -> tuple[Take, Take]:
    """A recording and its copy."""
    original = plan.bench.recording(path, text)
    copied = plan.bench.made_of(
        original, version, lambda: encoder.resynthesise(_samples(path)), encoder.sample_rate
    )
    return original, copied


def _copy_rows(plan: Plan, name: str, pairs: Sequence[tuple[Take, Take]]) -> list[Row]:
    bench = plan.bench
    rows = []
    told = [pair for pair in pairs if pair[0].text]
    if told:
        before = [bench.word_errors(original) for original, _ in told]
        after = [bench.word_errors(copied) for _, copied in told]
        rows.append(ratio_row(before, what=f"copy: WER of the originals, {name}"))
        rows.append(ratio_row(after, what=f"copy: WER of the copies, {name}"))
    melodies = [pitch_difference(bench.pitch_track(a), bench.pitch_track(b)) for a, b in pairs]
    alike = [cosine(bench.embedding(a), bench.embedding(b)) for a, b in pairs]
    rows.append(mean_row([m[0] for m in melodies], what=f"copy: pitch RMSE, {name}", unit="st", note="mean of items"))
    rows.append(mean_row([m[1] for m in melodies], what=f"copy: voiced frames that stay voiced, {name}", unit="%"))
    rows.append(mean_row(alike, what=f"copy: timbre similarity to the original, {name}"))
    return rows


def pitch_difference(original_hz: np.ndarray, copy_hz: np.ndarray) -> tuple[float, float]:
    """Two pitch tracks (F,) and (G,) of one hop, 0 where unvoiced -> RMSE in semitones over the frames that are voiced
    in both, and the share of the original's voiced frames that they are. NaN with fewer than 8 such frames."""
    frames = min(len(original_hz), len(copy_hz))
    a, b = original_hz[:frames], copy_hz[:frames]
    both = (a > 0) & (b > 0)
    voiced = int(np.count_nonzero(a > 0))
    share = float(both.sum() / voiced) if voiced >= FEWEST_VOICED_FRAMES else float("nan")
    if both.sum() < FEWEST_VOICED_FRAMES:
        return float("nan"), share
    return float(np.sqrt(np.mean((semitones(a[both]) - semitones(b[both])) ** 2))), share


def leak(plan: Plan) -> list[Row]:
    """Linear probes on held-out texts: who speaks by the emotion vector and how by the timbre vector, beside what the
    right vectors tell."""
    if plan.corpus is None:
        raise InputError("the suite 'leak' needs a corpus", field="corpus", value=None, remedy=_REMEDY)
    encoder = _encoder(plan)
    rows = _some_items(plan.corpus)
    timbre, emotion, speakers, kinds, texts = [], [], [], [], []
    for row in plan.bench.each(rows, "leak"):
        who, how = encoder.embed(_samples(plan.corpus / row["file"]))
        timbre.append(who)
        emotion.append(how)
        speakers.append(_speaker(row))
        kinds.append(_kind(row))
        texts.append(row["text"])
    vectors = {"timbre": np.stack(timbre), "emotion": np.stack(emotion)}
    told = [i for i, kind in enumerate(kinds) if kind]
    return [
        *_probe_rows("speaker", "emotion", "timbre", vectors, speakers, texts),
        *_probe_rows(
            "emotion",
            "timbre",
            "emotion",
            {name: array[told] for name, array in vectors.items()},
            [kinds[i] for i in told],
            [texts[i] for i in told],
        ),
    ]


def _some_items(folder: Path) -> list[dict[str, Any]]:
    """Rows of a corpus, of at most 3000 items; all items of the texts that are taken, which a seed picks.

    Raises:
        InputError: no items.
    """
    from emovoice.corpus.build import read_manifest

    rows = read_manifest(folder / "manifest.jsonl")
    if not rows:
        raise InputError("there are no items in the corpus folder", field="corpus", value=str(folder), remedy=_REMEDY)
    texts = sorted({row["text"] for row in rows})
    rank = dict(zip(texts, np.random.default_rng(0).permutation(len(texts)).tolist(), strict=True))
    return sorted(rows, key=lambda row: (rank[row["text"]], row["id"]))[:MOST_ITEMS]


def _speaker(row: dict[str, Any]) -> str:
    """As the reference encoder was taught: a warped voice is another speaker."""
    from emovoice.training.data import utterance

    return utterance(row, None).speaker


def _kind(row: dict[str, Any]) -> str:
    """One of nine, or "" for an emotion too weak to be told."""
    if row["emotion"] == "neutral":
        return "neutral"
    return str(row["emotion"]) if row["intensity"] >= STRONG else ""


def _probe_rows(
    what: str,
    wrong: str,
    right: str,
    vectors: dict[str, np.ndarray],
    labels: Sequence[str],
    texts: Sequence[str],
) -> list[Row]:
    """Rows of one label: read from the vector that should not tell it, from the one that should, and by chance."""
    leaked, known = read_out(vectors[wrong], labels, texts), read_out(vectors[right], labels, texts)
    note = f"linear probe, mean of {leaked.classes} classes, held-out texts"
    if not len(leaked.right):
        return [value_row(float("nan"), 0, what=f"leak: {what} from the {wrong} vector", note="too few items")]
    return [
        _reading_row(f"leak: {what} from the {wrong} vector", leaked, f"{note}; {leak_share(leaked, known)}"),
        _reading_row(f"leak: {what} from the {right} vector", known, note),
        value_row(leaked.chance, len(leaked.right), what=f"leak: {what} by chance", unit="%"),
    ]


def _reading_row(what: str, reading: Reading, note: str) -> Row:
    right = [(float(hit * weight), float(weight)) for hit, weight in zip(reading.right, reading.weight, strict=True)]
    return ratio_row(right, what=what, note=note)


def leak_share(leaked: Reading, known: Reading) -> str:
    """In words: how far from chance to what the right vector tells the wrong one gets."""
    room = known.accuracy - leaked.chance
    if room <= 0:
        return "the right vector tells no more than chance"
    return f"{100 * (leaked.accuracy - leaked.chance) / room:.0f} % of the way from chance to the right vector"
