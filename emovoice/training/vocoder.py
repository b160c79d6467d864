"""Trains the vocoder: multi-resolution mel loss first, then with discriminators (hinge losses and feature matching)."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion.flow import FlowConfig
from diffusion.prior import Prior
from emovoice.encoder.melody import CODE_SAMPLES, RATE_HZ
from emovoice.torchaudio_shim import install
from emovoice.training.data import Utterance
from emovoice.training.discriminators import Discriminators, discriminator_loss, feature_loss, generator_loss
from emovoice.training.flow import CROP_CODES, Crops, crop_start
from emovoice.training.loop import Budget, Losses, Run
from vocoders.harmonic import pitch_loss, pitch_of

SEGMENT = 8192
_HOP = 256
_FRAMES = SEGMENT // _HOP
_MIDDLES_S = (np.arange(_FRAMES) + 0.5) * _HOP / RATE_HZ
RESOLUTIONS = ((512, 128, 40), (1024, 256, 100), (2048, 512, 128))


@dataclass(frozen=True)
class VocoderRecipe:
    """`alone` is the share of the budget before the discriminators join."""

    batch: int = 10
    alone: float = 0.12
    mel_weight: float = 15.0
    feature_weight: float = 2.0
    discriminator_rate: float = 4e-4


@dataclass
class Cut:
    """Waves (B, 8192), their pitch (B, 32), and the mel (B, M, 32) to make them from; None for the waves' own."""

    wave: Tensor
    pitch_hz: Tensor
    mel: Tensor | None = None


def segments(items: list[Utterance], batch: int, seed: int) -> Iterator[Cut]:
    """Endless batches of random cuts, at a random level."""
    rng = np.random.default_rng(seed)
    sounds = [(u, u.samples) for u in items if u.samples is not None and len(u.samples) > SEGMENT]
    share = np.array([len(samples) for _, samples in sounds], float)
    share /= share.sum()
    while True:
        cuts, pitch = [], []
        for i in rng.choice(len(sounds), batch, p=share):
            u, samples = sounds[i]
            start = rng.integers(len(samples) - SEGMENT)
            gain = 10 ** (rng.uniform(-6, 6) / 20)
            cuts.append(np.clip(samples[start : start + SEGMENT] / 32768.0 * gain, -1, 1))
            pitch.append(u.f0_at(start / RATE_HZ + _MIDDLES_S))
        yield Cut(_stack(cuts), _stack(pitch))


def _stack(rows: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(rows).astype(np.float32))


def guessed_segments(items: list[Utterance], batch: int, seed: int, crops: Crops, prior: Prior) -> Iterator[Cut]:
    """Endless batches of cuts with the mel that the prior makes of their labels: what the vocoder is given in use."""
    rng, scale = np.random.default_rng(seed), FlowConfig()
    long_enough = [u for u in items if u.codes >= CROP_CODES]
    while True:
        chosen = [long_enough[i] for i in rng.integers(len(long_enough), size=batch)]
        starts = [crop_start(u, rng) for u in chosen]
        labels = crops.make_batch(chosen, rng, starts).to(next(prior.parameters()).device)
        frames = labels.mel.shape[-1]
        with torch.no_grad():
            guess = prior(labels.codes, labels.pitch_hz, labels.level, labels.phones, labels.style, frames)
        first = int(rng.integers(frames - _FRAMES))
        waves, pitch = [], []
        for u, start in zip(chosen, starts, strict=True):
            assert u.samples is not None
            begin = start * CODE_SAMPLES + first * _HOP
            waves.append(u.samples[begin : begin + SEGMENT] / 32768.0)
            pitch.append(u.f0_at(begin / RATE_HZ + _MIDDLES_S))
        mel = guess * scale.mel_std + scale.mel_mean
        yield Cut(_stack(waves), _stack(pitch), mel[..., first : first + _FRAMES])


class VocoderTraining:
    """The losses of generator and discriminators on one batch."""

    def __init__(self, folder: Path, budget: Budget, device: str, recipe: VocoderRecipe = VocoderRecipe()) -> None:
        install()
        from vocoders.mel import LogMel
        from vocoders.vocos import Vocoder, VocosConfig

        self.recipe = recipe
        self.run = Run(folder, Vocoder(VocosConfig()), budget, device)
        self.front = LogMel().to(device)
        self.mels = nn.ModuleList(LogMel(n_fft=n, hop=h, n_mels=m) for n, h, m in RESOLUTIONS).to(device)
        self.discriminators = Discriminators().to(device)
        self.optimiser = torch.optim.AdamW(self.discriminators.parameters(), recipe.discriminator_rate, (0.8, 0.95))
        self._state = folder / "discriminators.pt"
        if self._state.exists():
            state = torch.load(self._state, map_location=device, weights_only=True)
            self.discriminators.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])

    def train(self, items: list[Utterance], crops: Crops | None = None, prior: Prior | None = None) -> None:
        """Spend the budget. With a prior, every other batch is made from its mel instead of the recording's."""
        batches: Iterator[Cut] = segments(items, self.recipe.batch, seed=self.run.step)
        if crops is not None and prior is not None:
            guessed = guessed_segments(items, self.recipe.batch, self.run.step, crops, prior)
            batches = (cut for pair in zip(batches, guessed, strict=False) for cut in pair)
        self.run.go(batches, self.losses, after=self._save_sometimes)
        self._save()

    def losses(self, cut: Cut) -> Losses:
        """Generator losses; where the discriminators have joined, they take their own step first."""
        wave = cut.wave.to(self.run.device)
        mel = self.front(wave) if cut.mel is None else cut.mel.to(self.run.device)
        model: Any = self.run.model
        logits = model.pitch(mel)
        known = cut.pitch_hz.to(self.run.device)
        # The pulses are trained at the true pitch: the head's first guesses would teach the filters to distrust them.
        fake = model(mel, torch.where(known > 0, known, pitch_of(logits).detach()))
        parts = {"mel": self.recipe.mel_weight * self._mel_distance(wave, fake), "pitch": pitch_loss(logits, known)}
        if self.run.seconds < self.recipe.alone * 60 * self.run.budget.minutes:
            return parts
        judged, real_features = self._discriminator_step(wave, fake.detach())
        self.discriminators.requires_grad_(False)
        scores, features = self.discriminators(fake)
        self.discriminators.requires_grad_(True)
        return parts | {"adv": generator_loss(scores), "_disc": judged,
                        "match": self.recipe.feature_weight * feature_loss(real_features, features)}

    def _mel_distance(self, wave: Tensor, fake: Tensor) -> Tensor:
        return torch.stack([F.l1_loss(mel(fake), mel(wave)) for mel in self.mels]).mean()

    def _discriminator_step(self, wave: Tensor, fake: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
        """One step; returns the loss and the features of the real wave, which the generator is to match."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.discriminator_rate * self.run.rate() / self.run.budget.learning_rate
        scores, features = self.discriminators(wave)
        loss = discriminator_loss(scores, self.discriminators(fake)[0])
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.discriminators.parameters(), 10.0)
        self.optimiser.step()
        return loss.detach(), features

    def _save_sometimes(self) -> None:
        if self.run.step % 500 == 0:
            self._save()

    def _save(self) -> None:
        state = {"model": self.discriminators.state_dict(), "optimiser": self.optimiser.state_dict()}
        torch.save(state, self._state.with_suffix(".partial"))
        self._state.with_suffix(".partial").rename(self._state)
