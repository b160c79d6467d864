"""Trains the flow-matching decoder on crops of the corpus."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusion.flow import FlowConfig, FlowDecoder
from diffusion.prior import Prior
from emovoice.encoder.melody import bin_to_level, bin_to_pitch, level_to_bin, pitch_to_bin, scaled_level
from emovoice.encoder.phones import classes_of_text, windows
from emovoice.training.data import Utterance, pad
from emovoice.training.features import Features, Prompts
from emovoice.training.loop import Budget, Losses, Run
from vocoders.mel import LogMel

CROP_CODES = 48
FRAMES_PER_CODE = 3.75


@dataclass
class Batch:
    """B crops of K codes and T mel frames."""

    mel: Tensor  # (B, M, T)
    mask: Tensor  # (B, T)
    codes: Tensor  # (B, K)
    pitch_hz: Tensor  # (B, K)
    level: Tensor  # (B, K)
    phones: Tensor  # (B, K, 3)
    style: Tensor  # (B, S)

    def to(self, device: torch.device) -> Batch:
        """On another device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


def crop_start(u: Utterance, rng: np.random.Generator) -> int:
    """A random first code; crops start on whole groups of four codes, which are 15 mel frames."""
    return 4 * int(rng.integers(0, max(u.codes - CROP_CODES, 0) // 4 + 1))


class Crops:
    """Batches of labelled crops, on the CPU."""

    def __init__(self, features: Features, prompts: Prompts) -> None:
        self.features, self.prompts = features, prompts
        self.front = LogMel()
        self._mels: dict[str, np.ndarray] = {}

    def endless(self, items: list[Utterance], batch: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Random crops, longer items more often."""
        share = np.array([u.codes for u in items], float)
        share /= share.sum()
        while True:
            yield self.make_batch([items[i] for i in rng.choice(len(items), batch, p=share)], rng)

    def _mel(self, u: Utterance) -> np.ndarray:
        if u.id not in self._mels:
            assert u.samples is not None
            wave = torch.from_numpy(u.samples / 32768.0).float()[None]
            self._mels[u.id] = self.front(wave)[0].numpy().astype(np.float16)
        return self._mels[u.id]

    def make_batch(self, items: list[Utterance], rng: np.random.Generator, starts: list[int] | None = None) -> Batch:
        """A crop of each item, from the given codes or from random ones; see `crop_start`."""
        mel, mask, codes, pitch, level, phones, style = [], [], [], [], [], [], []
        for u, start in zip(items, starts or [crop_start(u, rng) for u in items], strict=True):
            stop = min(start + CROP_CODES, u.codes)
            first, frames = int(start * FRAMES_PER_CODE), int((stop - start) * FRAMES_PER_CODE)
            part = self._mel(u)[:, first : first + frames].T.astype(np.float32)
            mel.append(part)
            mask.append(np.ones(len(part), bool))
            codes.append(self.features.codes_of(u.id, rng)[start:stop])
            pitch.append(bin_to_pitch(pitch_to_bin(u.pitch_hz[start:stop])))
            level.append(scaled_level(bin_to_level(level_to_bin(u.level_db[start:stop]))).astype(np.float32))
            phones.append(windows(classes_of_text(u.text), u.pointer[start:stop]))
            style.append(np.concatenate([self.prompts.timbre(u, rng), self.prompts.emotion(u, rng)]))
        padded = [pad(column) for column in (mask, codes, pitch, level, phones)]
        parts = [pad(mel, -11.5).transpose(0, 2, 1), *padded, np.stack(style)]
        return Batch(*(torch.from_numpy(np.ascontiguousarray(p))for p in parts))


class _MelTraining(ABC):
    """What the flow and its prior share: crops in, one loss out, checked on held items under fixed noise."""

    def __init__(self, run: Run, crops: Crops, batch: int) -> None:
        self.run, self.crops, self.batch = run, crops, batch

    def train(self, items: list[Utterance], held: list[Utterance]) -> None:
        """Spend the budget."""
        rng = np.random.default_rng(self.run.step)
        fixed = self.crops.make_batch(held[:24], np.random.default_rng(0))

        def check() -> dict[str, float]:
            with torch.random.fork_rng():
                torch.manual_seed(0)
                return {f"held_{name}": float(value) for name, value in self.losses(fixed).items()}

        self.run.go(self.crops.endless(items, self.batch, rng), self.losses, check)

    @abstractmethod
    def losses(self, batch: Batch) -> Losses:
        """The loss of a batch, wherever it lies."""


class FlowTraining(_MelTraining):
    """Flow-matching loss; see diffusion.flow."""

    def __init__(self, folder: Path, budget: Budget, device: str, config: FlowConfig, crops: Crops,
                 prior: Prior | None = None, batch: int = 10) -> None:
        super().__init__(Run(folder, FlowDecoder(config), budget, device), crops, batch)
        self.prior = prior

    def losses(self, batch: Batch) -> Losses:
        """The flow-matching loss, from the prior's guess where there is a prior."""
        model: Any = self.run.model
        batch = batch.to(self.run.device)
        known, frames = (batch.codes, batch.pitch_hz, batch.level), batch.mel.shape[-1]
        content = model.length_regulator(*known, batch.phones, frames)
        guess = None
        if self.prior is not None:
            with torch.no_grad():
                guess = self.prior(*known, batch.phones, batch.style, frames)
        return {"flow": model.loss(batch.mel, content, batch.style, batch.mask, guess=guess)}


class PriorTraining(_MelTraining):
    """Mean absolute error of the regressor's mel, in the flow's scale."""

    def __init__(self, folder: Path, budget: Budget, device: str, config: FlowConfig, crops: Crops,
                 batch: int = 16) -> None:
        assert config.prior is not None
        super().__init__(Run(folder, Prior(config.prior), budget, device), crops, batch)
        self.config = config

    def losses(self, batch: Batch) -> Losses:
        """Mean absolute error over frames that count."""
        batch = batch.to(self.run.device)
        frames = batch.mel.shape[-1]
        mel = self.run.model(batch.codes, batch.pitch_hz, batch.level, batch.phones, batch.style, frames)
        error = (mel - (batch.mel - self.config.mel_mean) / self.config.mel_std).abs() * batch.mask[:, None]
        return {"mel": error.sum() / (batch.mask.sum() * mel.shape[1])}
