"""Trains the text-to-codes transformer on recordings and scores (no sound: durations and melody only) together.

A last stage on recordings alone was tried and left out: with 0.8 h of them it overfitted at once.
"""
from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ar_tts.model import Prediction, TextToCodes, TextToCodesConfig
from ar_tts.reader import MOVES
from emovoice.encoder.melody import level_to_bin, pitch_to_bin
from emovoice.training.data import Utterance, bucketed, pad
from emovoice.training.encoders import soft_cross_entropy
from emovoice.training.features import Features, Prompts
from emovoice.training.loop import Budget, Losses, Run

FREE_SHARE = 0.3  # of items whose length is not told (IndexTTS2, section 3.1)
BLANK_SHARE = 0.1  # of steps whose written code, pitch and level are hidden from the next one
ROWS_PER_BATCH = 1500
_READ_AT_ONCE = 16
_IGNORE = -100


@dataclass
class Batch:
    """B items of K + 1 steps (the last one stops); -100 marks steps without a label."""

    text: Tensor
    timbre: Tensor
    emotion: Tensor
    lengths: Tensor
    pointer: Tensor
    seen_codes: Tensor
    seen_pitch: Tensor
    seen_level: Tensor
    advance: Tensor
    codes: Tensor
    pitch: Tensor
    level: Tensor


def rows_of(u: Utterance) -> int:
    """What an item costs: its rows in the transformer."""
    return u.codes + len(u.text)


class TextToCodesTraining:
    """Cross-entropy of moves, codes, pitch and level."""

    def __init__(self, folder: Path, budget: Budget, device: str, config: TextToCodesConfig, features: Features,
                 prompts: Prompts) -> None:
        self.run = Run(folder, TextToCodes(config), budget, device)
        self.config, self.features, self.prompts = config, features, prompts

    def train(self, items: list[Utterance], scores: list[Utterance], held: list[Utterance]) -> None:
        """Spend the budget; the check is the loss on `held`."""
        rng = np.random.default_rng(self.run.step)
        spoken = [u for u in scores if self.prompts.can_speak(u)]
        fixed = self.make_batch(held[:24], np.random.default_rng(0))
        batches = bucketed(items + spoken, rows_of, ROWS_PER_BATCH, rng)
        made = (self.make_batch(batch, rng) for batch in batches)

        def check() -> dict[str, float]:
            return {f"held_{k.strip('_')}": float(v) for k, v in self.losses(fixed).items()}

        self.run.go(made, self.losses, check)

    def make_batch(self, items: list[Utterance], rng: np.random.Generator) -> Batch:
        """Pad and label; a score has neither codes nor levels, they are hidden and not learned."""
        stop, blank = self.config.stop_code, self.config.stop_code
        symbols = self.config.reader.symbols  # type: ignore[union-attr]
        names = ("pointer", "seen", "sp", "sl", "advance", "codes", "pitch", "level")
        columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for u in items:
            known = u.samples is not None
            codes = self.features.codes[u.id] if known else np.full(u.codes, blank)
            hide = rng.random(u.codes) < BLANK_SHARE
            pitch, level = pitch_to_bin(u.pitch_hz), level_to_bin(u.level_db) if known else np.zeros(u.codes, np.int64)
            pointer = np.append(u.pointer, len(u.text))
            end = [stop]
            columns["pointer"].append(pointer)
            columns["seen"].append(np.append(np.where(hide, blank, codes), end))
            columns["sp"].append(np.append(np.where(hide, 0, pitch), 0))
            columns["sl"].append(np.append(np.where(hide, 0, level), 0))
            columns["advance"].append(np.diff(pointer, prepend=0).clip(0, MOVES - 1))
            columns["codes"].append(np.append(codes if known else np.full(u.codes, _IGNORE), end))
            columns["pitch"].append(np.append(pitch, _IGNORE))
            columns["level"].append(np.append(level if known else np.full(u.codes, _IGNORE), _IGNORE))
        fill = {"pointer": 0, "seen": stop, "sp": 0, "sl": 0}
        stacked = [pad(v, fill.get(k, _IGNORE)) for k, v in columns.items()]
        lengths = np.array([0 if rng.random() < FREE_SHARE else u.codes for u in items])
        parts = [pad([u.text for u in items], symbols), np.stack([self.prompts.timbre(u, rng) for u in items]),
                 np.stack([self.prompts.emotion(u, rng) for u in items]), lengths, *stacked]
        return Batch(*(torch.from_numpy(p).to(self.run.device) for p in parts))

    def losses(self, batch: Batch) -> Losses:
        """Means over labelled steps."""
        out = self._predict(batch)

        def entropy(logits: Tensor, labels: Tensor) -> Tensor:
            rows = logits.flatten(0, 1).float()
            total = F.cross_entropy(rows, labels.flatten(), ignore_index=_IGNORE, reduction="sum")
            return total / (labels != _IGNORE).sum().clamp(min=1)  # a batch of scores has no levels at all

        sung = batch.pitch != _IGNORE
        return {"advance": 2 * entropy(out.advance, batch.advance), "code": entropy(out.codes, batch.codes),
                "pitch": soft_cross_entropy(out.pitch[sung], batch.pitch[sung]),
                "level": 0.5 * entropy(out.level, batch.level)}

    @torch.no_grad()
    def spoken_codes(self, items: list[Utterance], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Item id -> codes (K,) that the transformer would write where pointer, pitch and level are the recording's.

        Read twice, the second time after its own codes instead of the recording's. Dropout and hidden steps stay on:
        what it has learned by heart it would otherwise write without the mistakes it makes on new texts.
        """
        out: dict[str, np.ndarray] = {}
        self.run.model.train()
        for start in range(0, len(items), _READ_AT_ONCE):
            part = items[start : start + _READ_AT_ONCE]
            batch = self.make_batch(part, rng)
            for _ in range(2):
                batch.seen_codes = self._predict(batch).codes[..., : self.config.codes].argmax(-1)
            written = batch.seen_codes.cpu().numpy()
            out |= {u.id: row[: u.codes] for u, row in zip(part, written, strict=True)}
        return out

    def _predict(self, batch: Batch) -> Prediction:
        return self.run.model(batch.timbre, batch.emotion, batch.text, batch.lengths, batch.seen_codes,
                              batch.seen_pitch, batch.seen_level, batch.pointer)


def longest(items: list[Utterance], scores: list[Utterance]) -> tuple[int, int]:
    """Most symbols and most codes of any item: what the position tables must hold."""
    return max(len(u.text) for u in chain(items, scores)), max(u.codes for u in chain(items, scores))
