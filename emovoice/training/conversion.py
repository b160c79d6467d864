"""Trains what conversion needs: content means, directions, prosody moves, the score network, and the calibration.

Shapes: B batch, K codes, T mel frames, P phones, M mel bands, D emotion, S timbre.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

from diffusion.emoreg import EmoReg, EmoRegConfig, Known
from emovoice.conversion.converter import HOP, at, pitch_at
from emovoice.emotion.directions import Directions
from emovoice.emotion.names import EMOTIONS
from emovoice.emotion.prosody import ProsodyMoves, changes
from emovoice.encoder.melody import CODE_SAMPLES, bin_to_level, bin_to_pitch, level_to_bin, pitch_to_bin, scaled_level
from emovoice.encoder.phones import classes_of_text
from emovoice.encoder.tokenizer import SemanticTokenizer
from emovoice.training.data import Utterance, pad
from emovoice.training.encoders import encoder_front
from emovoice.training.features import Features, Prompts
from emovoice.training.loop import Budget, Losses, Run
from vocoders.mel import LogMel

CROP_CODES = 48
OWN_VECTORS = 0.5  # share of items told their own timbre and emotion vectors, as in use; the rest another recording's
CALIBRATED_AT = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_QUIETEST = -11.6  # ln of the mel's floor


def write_tensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Safetensors, beside and then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path.with_suffix(".partial"))
    path.with_suffix(".partial").rename(path)


# ---- content ----------------------------------------------------------------------------------------------


class Listener:
    """What the tokenizer hears in corpus items, and their mel, kept in half precision."""

    def __init__(self, tokenizer: SemanticTokenizer, device: str) -> None:
        self.tokenizer, self.device = tokenizer, torch.device(device)
        self.front = encoder_front(tokenizer.config.n_mels).to(self.device)
        self.mel_front = LogMel().to(self.device)
        self._posteriors: dict[str, np.ndarray] = {}
        self._mels: dict[str, np.ndarray] = {}

    @torch.inference_mode()
    def posteriors(self, u: Utterance) -> np.ndarray:
        """(2K, P) phone posteriors at 50 Hz."""
        if u.id not in self._posteriors:
            logits = self.tokenizer(self.front(self._wave(u))).phone_logits[0]
            self._posteriors[u.id] = logits.softmax(-1).half().cpu().numpy()
        return self._posteriors[u.id]

    @torch.inference_mode()
    def mel(self, u: Utterance) -> np.ndarray:
        """(M, T) log-mel; the last frame may reach beyond the last code."""
        if u.id not in self._mels:
            wave = self._wave(u)
            wave = torch.nn.functional.pad(wave, (0, -wave.shape[-1] % HOP))
            self._mels[u.id] = self.mel_front(wave)[0].half().cpu().numpy()
        return self._mels[u.id]

    def _wave(self, u: Utterance) -> Tensor:
        assert u.samples is not None
        return torch.from_numpy(u.samples / 32768.0).float()[None].to(self.device)


def frame_places(frames: int, first: int = 0) -> np.ndarray:
    """(T,) middles of mel frames, in samples."""
    return (first + np.arange(frames) + 0.5) * HOP


def content_means(items: list[Utterance], listener: Listener) -> np.ndarray:
    """(P, M): the mean log-mel of each phone over all speakers and emotions, weighted by how far it is believed."""
    phones, bands = listener.tokenizer.config.phones, len(listener.mel_front.filters)
    sums, weight = np.zeros((phones, bands)), np.zeros(phones)
    for u in items:
        mel = listener.mel(u).astype(np.float64)
        share = at(listener.posteriors(u).astype(np.float64), frame_places(mel.shape[1]), CODE_SAMPLES // 2)
        sums, weight = sums + share.T @ mel.T, weight + share.sum(0)
    whole = sums.sum(0) / weight.sum()
    # a phone that is never heard gets what is heard on the average
    return ((sums + whole) / (weight[:, None] + 1)).astype(np.float32)


# ---- directions and prosody -------------------------------------------------------------------------------


def pairs_of(items: list[Utterance]) -> list[tuple[Utterance, Utterance]]:
    """Neutral and emotional recordings of one text and voice."""
    groups: dict[tuple[int, str], list[Utterance]] = {}
    for u in items:
        groups.setdefault((u.group, u.voice), []).append(u)
    return [(neutral, u) for group in groups.values() for neutral in group if neutral.emotion == "neutral"
            for u in group if u.emotion in EMOTIONS]


def fit_directions(items: list[Utterance], features: Features) -> Directions:
    """The emotion space of a corpus."""
    known = [u for u in items if u.id in features.emotion]
    place = {u.id: i for i, u in enumerate(known)}
    pairs = np.array([(place[a.id], place[b.id]) for a, b in pairs_of(known)]).reshape(-1, 2)
    return Directions.fit_pairs(np.stack([u.weights for u in known]),
                                np.stack([features.emotion[u.id] for u in known]), pairs)


def fit_moves(items: list[Utterance], features: Features, space: Directions) -> ProsodyMoves:
    """Moves of prosody by the change of the emotion vector and by name, the pitch of timbres, the spread of neutral."""
    known = [u for u in items if u.id in features.emotion]
    pairs = pairs_of(known)
    heard = np.stack([space.clean(features.emotion[b.id] - features.emotion[a.id]) for a, b in pairs])
    changed = np.stack([changes(_contours(a), _contours(b)) for a, b in pairs])
    moves = ProsodyMoves.fit(heard, changed, np.stack([b.weights for _, b in pairs]), space.directions)
    voiced = [u for u in known if u.emotion == "neutral" and (u.pitch_hz > 0).sum() > 3]
    pitch_st = np.array([12 * np.log2(u.pitch_hz[u.pitch_hz > 0]).mean() for u in voiced])
    neutral = np.stack([features.emotion[u.id] for u in known if u.emotion == "neutral"])
    return moves.with_register(np.stack([features.timbre[u.id] for u in voiced]), pitch_st).with_ear(
        neutral - space.neutral, space.basis)


def _contours(u: Utterance) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return u.pitch_hz, u.level_db, classes_of_text(u.text)[u.pointer]


def moves_told(items: list[Utterance], features: Features, space: Directions, moves: ProsodyMoves) -> dict[str, float]:
    """Share of each move that the map tells of these items' pairs (R^2 against no move): by the vectors that are heard,
    and by the label ("named ...")."""
    from emovoice.emotion.prosody import MOVES

    pairs = pairs_of([u for u in items if u.id in features.emotion])
    if len(pairs) < 3:
        return {}
    truth = np.stack([changes(_contours(a), _contours(b)) for a, b in pairs])
    heard = np.stack([space.clean(features.emotion[b.id] - features.emotion[a.id]) for a, b in pairs])
    out = {}
    named = np.stack([b.weights for _, b in pairs]) @ moves.named
    for how, moved in (("", moves.of(heard)), ("named ", named)):
        for name, x, y in zip(MOVES, truth.T, moved.T, strict=True):
            known = np.isfinite(x)
            if known.sum() > 2 and x[known].std() > 0:
                out[how + name] = round(float(1 - ((x - y)[known] ** 2).mean() / (x[known] ** 2).mean()), 3)
    return out


# ---- score network ----------------------------------------------------------------------------------------


@dataclass
class Batch:
    """B crops of T mel frames."""

    mel: Tensor  # (B, M, T)
    mask: Tensor  # (B, T)
    posteriors: Tensor  # (B, T, P)
    pitch_hz: Tensor  # (B, T)
    level: Tensor  # (B, T)
    timbre: Tensor  # (B, S)
    emotion: Tensor  # (B, D)

    def to(self, device: torch.device) -> Batch:
        """On another device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


class Crops:
    """Batches of labelled crops at the mel's rate, on the CPU; made as `Converter` makes them of a recording."""

    def __init__(self, listener: Listener, features: Features, prompts: Prompts) -> None:
        self.listener, self.features, self.prompts = listener, features, prompts

    def endless(self, items: list[Utterance], batch: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Random crops, longer items more often."""
        share = np.array([u.codes for u in items], float)
        share /= share.sum()
        while True:
            yield self.make_batch([items[i] for i in rng.choice(len(items), batch, p=share)], rng)

    def make_batch(self, items: list[Utterance], rng: np.random.Generator) -> Batch:
        """A random crop of each item."""
        columns: dict[str, list[np.ndarray]] = {name: [] for name in ("mel", "mask", "posteriors", "pitch", "level")}
        timbre, emotion = [], []
        for u in items:
            frames = round(min(u.codes, CROP_CODES) * CODE_SAMPLES / HOP)
            first = int(rng.integers(0, self.listener.mel(u).shape[1] - frames + 1))
            places = frame_places(frames, first)
            level = scaled_level(bin_to_level(level_to_bin(u.level_db)))
            columns["mel"].append(self.listener.mel(u)[:, first : first + frames].T.astype(np.float32))
            columns["mask"].append(np.ones(frames, bool))
            columns["posteriors"].append(at(self.listener.posteriors(u).astype(np.float32), places, CODE_SAMPLES // 2))
            columns["pitch"].append(pitch_at(bin_to_pitch(pitch_to_bin(u.pitch_hz)), places))
            columns["level"].append(at(level, places, CODE_SAMPLES).astype(np.float32))
            own = rng.random() < OWN_VECTORS
            timbre.append(self.features.timbre[u.id] if own else self.prompts.timbre(u, rng))
            emotion.append(self.features.emotion[u.id] if own else self.prompts.emotion(u, rng))
        padded = [pad(column, _QUIETEST if name == "mel" else 0) for name, column in columns.items()]
        parts = [padded[0].transpose(0, 2, 1), *padded[1:], np.stack(timbre), np.stack(emotion)]
        return Batch(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))


class ScoreTraining:
    """The losses of diffusion.emoreg on crops."""

    def __init__(self, folder: Path, budget: Budget, device: str, config: EmoRegConfig, means: np.ndarray,
                 crops: Crops, batch: int = 12) -> None:
        model = EmoReg(config)
        model.means.copy_(torch.from_numpy(means))
        self.run = Run(folder, model, budget, device)
        self.crops, self.batch = crops, batch

    def train(self, items: list[Utterance], held: list[Utterance]) -> None:
        """Spend the budget; the check is the loss on `held` under fixed noise."""
        rng = np.random.default_rng(self.run.step)
        fixed = self.crops.make_batch(held[:24], np.random.default_rng(0))

        def check() -> dict[str, float]:
            with torch.random.fork_rng():
                torch.manual_seed(0)
                return {f"held_{name}": float(value) for name, value in self.losses(fixed).items()}

        self.run.go(self.crops.endless(items, self.batch, rng), self.losses, check)

    def losses(self, batch: Batch) -> Losses:
        """Score matching and reconstruction."""
        model: Any = self.run.model
        batch = batch.to(self.run.device)
        mean = model.content(batch.posteriors)
        known = Known(mean, batch.pitch_hz, batch.level, batch.timbre, batch.emotion[:, None])
        return model.loss(batch.mel, known, batch.mask)


# ---- calibration ------------------------------------------------------------------------------------------


def strengths(engine: Any, items: list[Utterance], inside: tuple[float, ...] = CALIBRATED_AT) -> np.ndarray:
    """(E, H): how far conversions of neutral items come along each direction, as the reference encoder hears them.

    `engine` is an `emovoice.Engine` whose space is not calibrated. Measured from intensity 0 of the same conversion, so
    that what conversion itself does to a voice does not count.
    """
    space: Directions = engine.pipeline.bundle.space
    out = np.zeros((len(EMOTIONS), len(inside)))
    for row, name in enumerate(EMOTIONS):
        direction = space.directions[row]
        for u in items:
            assert u.samples is not None
            samples = u.samples.astype(np.float32) / 32768
            vectors = [engine.pipeline.embed(engine.convert(samples, name, i, tempo=True).samples)[1] for i in inside]
            moved = np.stack(vectors) - vectors[0]
            out[row] += moved @ direction / (direction @ direction) / len(items)
    return out


def load_moves(path: Path) -> ProsodyMoves:
    """Read what training wrote."""
    return ProsodyMoves(**load_file(path))


def load_space(path: Path) -> Directions:
    """Read what training wrote."""
    stored = load_file(path)
    basis, longest = np.ascontiguousarray(stored["components"].T), float(stored["longest"][0])
    return Directions(stored["neutral"], stored["directions"], basis, stored["calibration"], longest)
