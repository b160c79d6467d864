"""Trains the semantic tokenizer and the reference encoder."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from emovoice.encoder.melody import pitch_to_bin
from emovoice.encoder.reference import ReferenceConfig, ReferenceEncoder
from emovoice.encoder.tokenizer import MEL_HOP, SemanticTokenizer, TokenizerConfig
from emovoice.text.symbols import VOCAB_SIZE
from emovoice.training.data import Utterance, bucketed, pad, phone_classes
from emovoice.training.loop import Budget, Losses, Run
from vocoders.mel import LogMel

_IGNORE = -100
_GAIN_DB = 8.0
CODES_PER_BATCH = 900
ADVERSARY = 0.06  # strength of the reversed gradient at the end of its growth
STRETCHED_SHARE = 0.5  # of the tokenizer's batches
LONGEST_REFERENCE = 110  # codes, 4.4 s: enough to know a voice


def encoder_front(n_mels: int) -> LogMel:
    """The front end that both encoders share: 100 frames a second."""
    return LogMel(n_fft=1024, hop=MEL_HOP, n_mels=n_mels)


@dataclass
class Batch:
    """A padded batch: wave (B, n) at a random level, lengths in codes (B,), and what the trainer asked for."""

    wave: Tensor
    codes: Tensor
    labels: dict[str, Tensor]

    def to(self, device: torch.device) -> Batch:
        """On another device."""
        return Batch(self.wave.to(device), self.codes.to(device), {k: v.to(device) for k, v in self.labels.items()})


def waves(items: list[Utterance], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Padded float waves with a random gain and a little noise, and their lengths in codes."""
    out = []
    for u in items:
        assert u.samples is not None
        gain = 10 ** (rng.uniform(-_GAIN_DB, _GAIN_DB) / 20)
        noise = 10 ** (rng.uniform(-85, -50) / 20) * rng.standard_normal(len(u.samples))
        out.append((u.samples / 32768.0 * gain + noise).astype(np.float32))
    return torch.from_numpy(pad(out)), torch.tensor([u.codes for u in items])


def stretched(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """(B, M, T) -> (B, M, T), bands moved by up to a tenth as another throat would (Jaitly & Hinton 2013)."""
    batch, bands, _ = mel.shape
    factors = torch.from_numpy(rng.uniform(0.9, 1.1, (batch, 1))).to(mel)
    place = (torch.arange(bands, device=mel.device) * factors).clamp(max=bands - 1)
    low = place.long().clamp(max=bands - 2)
    return torch.lerp(_bands(mel, low), _bands(mel, low + 1), (place - low)[..., None])


def with_gaps(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """(B, M, T) -> (B, M, T) with two gaps in frequency and four in time, filled with the mean (Park 2019)."""
    batch, bands, frames = mel.shape
    out, fill = mel.clone(), mel.mean((1, 2))
    for b in range(batch):
        for axis, limit, widest in ((0, bands, 12), (0, bands, 12), *((1, frames, 8),) * 4):
            width = int(rng.integers(widest))
            start = int(rng.integers(max(limit - width, 1)))
            out[b].narrow(axis, start, min(width, limit)).fill_(fill[b])
    return out


def _bands(mel: Tensor, index: Tensor) -> Tensor:
    return mel.gather(1, index[..., None].expand(-1, -1, mel.shape[-1]))


class TokenizerTraining:
    """Phone and pitch classification."""

    def __init__(self, folder: Path, budget: Budget, device: str, config: TokenizerConfig | None = None) -> None:
        config = config or TokenizerConfig(phones=VOCAB_SIZE)
        self.run = Run(folder, SemanticTokenizer(config), budget, device)
        self.front = encoder_front(config.n_mels).to(device)
        self.rng = np.random.default_rng(self.run.step)

    def train(self, items: list[Utterance], held: list[Utterance]) -> None:
        """Spend the budget; the checks are phone and pitch accuracy on `held`."""
        rng = np.random.default_rng(self.run.step)
        batches = (self._batch(b, rng) for b in bucketed(items, lambda u: u.codes, CODES_PER_BATCH, rng))
        fixed = [self._batch(held[i : i + 12], np.random.default_rng(0)) for i in range(0, min(len(held), 36), 12)]
        self.run.go(batches, self.losses, lambda: self._check(fixed))

    def _batch(self, items: list[Utterance], rng: np.random.Generator) -> Batch:
        wave, codes = waves(items, rng)
        phones = torch.from_numpy(pad([phone_classes(u) for u in items], _IGNORE))
        pitch = torch.from_numpy(pad([pitch_to_bin(u.pitch_hz) for u in items], _IGNORE))
        return Batch(wave, codes, {"phones": phones, "pitch": pitch}).to(self.run.device)

    def losses(self, batch: Batch) -> Losses:
        """Cross-entropy of phones at 50 Hz and of pitch at 25 Hz, the latter softened over neighbouring bins."""
        mel, pitch_weight = self.front(batch.wave), 0.5
        if self.run.model.training:
            mel = with_gaps(mel, self.rng)
            if self.rng.random() < STRETCHED_SHARE:
                mel, pitch_weight = stretched(mel, self.rng), 0.0  # the pitch has moved, nobody knows how far
        tokens = self.run.model(mel)
        phones = batch.labels["phones"]
        pitch, known = batch.labels["pitch"], batch.labels["pitch"] != _IGNORE
        logits = tokens.pitch_logits[known]
        return {"phone": F.cross_entropy(tokens.phone_logits.flatten(0, 1), phones.flatten(), ignore_index=_IGNORE),
                "pitch": pitch_weight * soft_cross_entropy(logits, pitch[known]),
                "_phone_right": (tokens.phone_logits.argmax(-1) == phones)[phones != _IGNORE].float().mean()}

    def _check(self, batches: list[Batch]) -> dict[str, float]:
        right = [self.losses(b)["_phone_right"].item() for b in batches]
        close, used = [], set()
        for batch in batches:
            tokens = self.run.model(self.front(batch.wave))
            voiced = batch.labels["pitch"] > 0
            off = (tokens.pitch_logits.argmax(-1) - batch.labels["pitch"])[voiced].abs()
            close.append((off <= 2).float().mean().item())
            used |= set(tokens.codes.flatten().tolist())
        return {"held_phone_right": float(np.mean(right)), "held_pitch_close": float(np.mean(close)),
                "codes_used": len(used)}


def soft_cross_entropy(logits: Tensor, bins: Tensor, width: float = 1.0) -> Tensor:
    """Cross-entropy against a small bell around the true bin; bin 0 (unvoiced) stays sharp."""
    positions = torch.arange(logits.shape[-1], device=logits.device)
    bell = torch.exp(-0.5 * ((positions - bins[..., None]) / width) ** 2)
    sharp = F.one_hot(bins, logits.shape[-1]).float()
    bell[..., 0] = 0
    target = torch.where((bins > 0)[..., None], bell / bell.sum(-1, keepdim=True).clamp(min=1e-6), sharp)
    return -(target * logits.float().log_softmax(-1)).sum(-1).mean()


class ReferenceTraining:
    """Speaker classification, emotion regression, and both adversaries."""

    def __init__(self, folder: Path, budget: Budget, device: str, speakers: list[str]) -> None:
        config = ReferenceConfig(speakers=len(speakers))
        self.speakers = {name: i for i, name in enumerate(speakers)}
        self.run = Run(folder, ReferenceEncoder(config), budget, device)
        self.front = encoder_front(config.n_mels).to(device)

    def train(self, items: list[Utterance], held: list[Utterance]) -> None:
        """Spend the budget; the checks are speaker accuracy and the error of emotion weights on `held`."""
        rng = np.random.default_rng(self.run.step)
        drawn = bucketed(items, lambda u: min(u.codes, LONGEST_REFERENCE), CODES_PER_BATCH, rng)
        batches = (self._batch(b, rng) for b in drawn)
        fixed = [self._batch(held[i : i + 12], np.random.default_rng(0)) for i in range(0, min(len(held), 36), 12)]
        self.run.go(batches, self.losses, lambda: self._check(fixed))

    def _batch(self, items: list[Utterance], rng: np.random.Generator) -> Batch:
        wave, codes = waves(items, rng)
        codes = codes.clamp(max=LONGEST_REFERENCE)
        wave = wave[:, : int(codes.max()) * 960]
        speaker = torch.tensor([self.speakers[u.speaker] for u in items])
        weights = torch.from_numpy(np.stack([u.weights for u in items]))
        return Batch(wave, codes, {"speaker": speaker, "weights": weights}).to(self.run.device)

    def losses(self, batch: Batch) -> Losses:
        """See ReferenceEncoder.losses; the adversaries' strength grows over the first half of the budget."""
        model: Any = self.run.model
        timbre, emotion = model(self.front(batch.wave), batch.codes * 4)
        strength = ADVERSARY * min(1.0, 2 * self.run.seconds / (60 * self.run.budget.minutes))
        return model.losses(timbre, emotion, batch.labels["speaker"], batch.labels["weights"], strength)

    def _check(self, batches: list[Batch]) -> dict[str, float]:
        model: Any = self.run.model
        right, error, truth = [], [], []
        for batch in batches:
            timbre, emotion = model(self.front(batch.wave), batch.codes * 4)
            cosine = F.normalize(timbre, dim=-1) @ F.normalize(model.speaker_head.weight, dim=-1).T
            right.append((cosine.argmax(-1) == batch.labels["speaker"]).float().mean().item())
            error.append((model.emotion_head(emotion).float() - batch.labels["weights"]).pow(2).mean().item())
            truth.append(batch.labels["weights"].pow(2).mean().item())
        share = float(np.mean(error) / np.mean(truth))
        return {"held_speaker_right": float(np.mean(right)), "held_emotion_error_share": share}


def embed_all(front: LogMel, reference: ReferenceEncoder, tokenizer: SemanticTokenizer, items: list[Utterance],
              device: str = "cpu") -> Iterator[tuple[Utterance, np.ndarray, np.ndarray, np.ndarray]]:
    """Yields (item, codes (K,), timbre, emotion), computed as a user's recording would be."""
    for u in items:
        assert u.samples is not None
        with torch.inference_mode():
            mel = front(torch.from_numpy(u.samples / 32768.0).float()[None].to(device))
            codes = tokenizer(mel).codes[0]
            timbre, emotion = reference(mel)
        yield u, codes.cpu().numpy(), timbre[0].cpu().numpy(), emotion[0].cpu().numpy()
