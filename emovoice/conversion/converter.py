"""One piece of a recording through the networks: heard, moved, spoken again. Numpy outside, torch inside.

Shapes: n samples (24 kHz), K codes (25 Hz), T mel frames (93.75 Hz), P phones, D emotion, S timbre, M mel bands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffusion.emoreg import EmoReg, Known
from diffusion.solvers import SOLVERS
from emovoice import bundle as bundles
from emovoice.conversion.pieces import Piece, warp
from emovoice.emotion import prosody
from emovoice.emotion.directions import Directions
from emovoice.encoder.melody import CODE_SAMPLES, bin_to_pitch, level_of, scaled_level
from emovoice.errors import InputError, ModelError
from vocoders.harmonic import pitch_of
from vocoders.mel import FLOOR, LogMel

HOP = 256
MOST_STEPS, MOST_GUIDANCE = 1000, 10.0
_NEPERS_PER_DB = math.log(10) / 20
_POSTERIOR_SAMPLES = CODE_SAMPLES // 2
_SILENT_DB = (-85.0, -70.0)  # of a recording: nothing at all, and a quiet room
_WORDS_DB, _BETWEEN_DB = 25.0, 10.0  # so far below the loudest code words may be, and so much further what is none
_MOST_OFF_DB = 6.0


@dataclass(frozen=True)
class Decoding:
    """How to solve; None means as the model is configured. `keep`: how much of the recording's own noise is the start;
    `guidance`: weights of timbre and emotion."""

    solver: str | None = None
    steps: int | None = None
    keep: float | None = None
    guidance: tuple[float, float] | None = None


def checked(decoding: Decoding) -> Decoding:
    """As given. Raises InputError for what no solver takes."""
    solver, steps, keep, guidance = decoding.solver, decoding.steps, decoding.keep, decoding.guidance
    if solver is not None and solver not in SOLVERS:
        raise InputError("unknown solver", field="solver", value=solver, remedy=f"Use one of {', '.join(SOLVERS)}.")
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= MOST_STEPS):
        raise InputError(f"steps must be a whole number in 1..{MOST_STEPS}", field="steps", value=steps)
    if keep is not None and not 0 <= keep <= 1:
        raise InputError("a number must lie in 0..1", field="keep", value=keep)
    if guidance is not None and (len(guidance) != 2 or not all(0 <= weight <= MOST_GUIDANCE for weight in guidance)):
        raise InputError(f"guidance is two weights in 0..{MOST_GUIDANCE:g}: of timbre and of emotion", field="guidance",
                         value=guidance, remedy="1 is as learned.")
    return decoding


@dataclass(frozen=True)
class Heard:
    """What the encoders hear in a piece, all on its own time."""

    posteriors: np.ndarray  # (2K, P)
    pitch_hz: np.ndarray  # (K,) 0 unvoiced
    level_db: np.ndarray  # (K,)
    mel: np.ndarray  # (M, T) natural logarithm
    timbre: np.ndarray  # (S,)
    emotion: np.ndarray  # (D,)

    @property
    def classes(self) -> np.ndarray:
        """(K,) the likeliest phone of each code."""
        return self.posteriors.reshape(-1, 2, self.posteriors.shape[1]).mean(1).argmax(-1)

    @property
    def clarity(self) -> float:
        """0..1: how sure the tokenizer is of the sounds between the pauses; low for music and noise."""
        sounds = self.posteriors[self.posteriors.argmax(1) != 0]
        return float(sounds.max(1).mean()) if len(sounds) else 0.0


@dataclass(frozen=True)
class Wanted:
    """What shall become of a piece: emotion vectors (K, D), moves of prosody (K, 8), timbre (S,), length of the core in
    samples."""

    emotion: np.ndarray
    moves: np.ndarray
    timbre: np.ndarray
    length: int


def require(bundle: bundles.Bundle, name: str) -> None:
    """Raises ModelError unless this model can convert."""
    if bundle.convert is None or bundle.moves is None or not isinstance(bundle.space, Directions):
        raise ModelError(
            "this model comes without weights for conversion",
            field="model",
            value=name,
            remedy="Train them (`emovoice train content`, then directions, prosody, score, and export), or use another "
                   "model.",
        )


class Converter:
    """The networks of one bundle, for conversion. Methods keep no state: equal arguments give equal samples."""

    def __init__(self, bundle: bundles.Bundle, device: torch.device, name: str) -> None:
        require(bundle, name)
        assert bundle.convert is not None and bundle.moves is not None and isinstance(bundle.space, Directions)
        self.bundle, self.device = bundle, device
        self.model: EmoReg = bundle.convert
        self.moves, self.space = bundle.moves, bundle.space
        self.front = LogMel(n_mels=self.model.config.mels).to(device)

    @torch.inference_mode()
    def hear(self, samples: np.ndarray) -> Heard:
        """(n,) float32; the end is filled up to a whole code."""
        padded = np.pad(samples, (0, -len(samples) % CODE_SAMPLES)).astype(np.float32)
        wave = torch.from_numpy(padded)[None].to(self.device)
        heard = self.bundle.front(wave)
        tokens = self.bundle.tokenizer(heard)
        timbre, emotion = self.bundle.reference(heard)
        # mel frames tile the wave; what is left of the last one is the end of the last code
        mel = self.front(torch.nn.functional.pad(wave, (0, -wave.shape[-1] % HOP)))
        return Heard(
            posteriors=tokens.phone_logits[0].softmax(-1).cpu().numpy(),
            pitch_hz=bin_to_pitch(tokens.pitch_logits[0].argmax(-1).cpu().numpy()),
            level_db=level_of(padded),
            mel=mel[0].cpu().numpy(),
            timbre=timbre[0].cpu().numpy(),
            emotion=emotion[0].cpu().numpy(),
        )

    @torch.inference_mode()
    def vocoded(self, samples: np.ndarray) -> np.ndarray:
        """(n,) float32 -> (n,): through mel and vocoder alone, the best that a conversion can sound."""
        wave = torch.from_numpy(np.pad(samples, (0, -len(samples) % HOP)).astype(np.float32))[None].to(self.device)
        return self.bundle.vocoder(self.front(wave))[0, : len(samples)].cpu().numpy()

    @torch.inference_mode()
    def speak(self, piece: Piece, heard: Heard, wanted: Wanted, factors: np.ndarray, seed: int,
              decoding: Decoding = Decoding()) -> np.ndarray:
        """The piece as wanted: (lead + wanted.length + tail,) float32.

        Args:
            factors: (K,) how much longer each code becomes, in proportion.
            seed: of the noise that is not the recording's own.
        """
        out_knots, in_knots = warp(piece, factors, wanted.length)
        samples = round(float(out_knots[-1]))
        frames = math.ceil(samples / HOP)
        places = np.interp((np.arange(frames) + 0.5) * HOP, out_knots, in_knots)
        shift_st = self.moves.pitch_of(wanted.timbre) - self.moves.pitch_of(heard.timbre)
        ratio = prosody.pitch_ratio(heard.pitch_hz, wanted.moves, piece.ends, shift_st)
        # a level can be moved exactly before the networks are asked; both sides are told the moved one
        level = prosody.moved_level(heard.level_db, wanted.moves)
        louder = at(level - heard.level_db, places, CODE_SAMPLES) * _NEPERS_PER_DB
        source = self._tensor(at(heard.mel.T, places, HOP).T + louder)[None].clamp(min=math.log(FLOOR))
        before = self._known(heard, places, heard.pitch_hz, level, heard.timbre, heard.emotion[None])
        after = self._known(heard, places, heard.pitch_hz * ratio, level, wanted.timbre, wanted.emotion)
        mel = self._solved(source, before, after, seed, decoding)
        wave = self._wave(mel, source, self._tensor(at(ratio, places, CODE_SAMPLES))[None])[:samples]
        wanted_db = at(level, places, CODE_SAMPLES)
        return wave * _opened(at(heard.level_db, places, CODE_SAMPLES), samples) * _levelled(wave, wanted_db)

    def _known(self, heard: Heard, places: np.ndarray, pitch_hz: np.ndarray, level_db: np.ndarray, timbre: np.ndarray,
               emotion: np.ndarray) -> Known:
        """What is known at the places (T,) of the source, in samples; emotion (1 or K, D)."""
        posteriors = self._tensor(at(heard.posteriors, places, _POSTERIOR_SAMPLES))[None]
        moving = at(emotion, places, CODE_SAMPLES) if len(emotion) > 1 else emotion
        return Known(
            self.model.content(posteriors),
            self._tensor(pitch_at(pitch_hz, places))[None],
            self._tensor(scaled_level(at(level_db, places, CODE_SAMPLES)))[None],
            self._tensor(timbre)[None],
            self._tensor(moving)[None],
        )

    def _solved(self, source: Tensor, before: Known, after: Known, seed: int, decoding: Decoding) -> Tensor:
        """Log-mel (1, M, T) of the source -> log-mel as wanted."""
        config = self.model.config
        keep = config.keep if decoding.keep is None else decoding.keep
        noise = torch.randn(source.shape, generator=torch.Generator().manual_seed(seed)).to(self.device)
        if keep > 0:
            own = self.model.noise_of(source, before, decoding.steps)
            noise = keep * own + math.sqrt(1 - keep**2) * noise
        return self.model.sample(after, noise, decoding.solver, decoding.steps, decoding.guidance, seed)

    def _wave(self, mel: Tensor, source: Tensor, ratio: Tensor) -> np.ndarray:
        """The vocoder hears the pitch in the source's own mel, and sings it times the ratio (1, T)."""
        vocoder = self.bundle.vocoder
        if vocoder.pitch is None:
            return vocoder(mel)[0].cpu().numpy()
        pitch_hz = (pitch_of(vocoder.pitch(source)) * ratio).clamp(prosody.LOWEST_HZ, prosody.HIGHEST_HZ)
        return vocoder(mel, pitch_hz)[0].cpu().numpy()

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(self.device)


def _opened(level_db: np.ndarray, samples: int) -> np.ndarray:
    """Gain (samples,) 0..1 by the level of the recording (T,): what is silent there stays silent. Nothing was ever
    learned of digital silence, and what the networks make of it is not."""
    gain = np.clip((level_db - _SILENT_DB[0]) / (_SILENT_DB[1] - _SILENT_DB[0]), 0, 1)
    return np.interp(np.arange(samples), frame_middles(len(gain)), gain).astype(np.float32)


def _levelled(wave: np.ndarray, wanted_db: np.ndarray) -> np.ndarray:
    """Gain (samples,) of a wave: words are on the average as loud as wanted (T,), and between them nothing is louder,
    whatever the networks put there, so that the last word ends where it did."""
    got_db = at(level_of(np.pad(wave, (0, -len(wave) % CODE_SAMPLES))), frame_middles(len(wanted_db)), CODE_SAMPLES)
    between = np.clip((wanted_db.max() - _WORDS_DB - wanted_db) / _BETWEEN_DB, 0, 1)
    off_db = np.average(wanted_db - got_db, weights=1 - between)
    gain_db = np.clip(off_db, -_MOST_OFF_DB, _MOST_OFF_DB)
    gain_db = gain_db - between * np.maximum(got_db + gain_db - wanted_db, 0)
    return np.interp(np.arange(len(wave)), frame_middles(len(gain_db)), 10 ** (gain_db / 20)).astype(np.float32)


def frame_middles(frames: int) -> np.ndarray:
    """(T,) in samples."""
    return (np.arange(frames) + 0.5) * HOP


def at(values: np.ndarray, places: np.ndarray, step: int) -> np.ndarray:
    """Values (N, ...) of stretches of `step` samples, at places (T,) in samples: linear between their middles."""
    index = np.clip(places / step - 0.5, 0, len(values) - 1)
    low = np.minimum(index.astype(int), max(len(values) - 2, 0))
    part = (index - low).reshape(-1, *([1] * (values.ndim - 1)))
    mixed = (1 - part) * values[low] + part * values[np.minimum(low + 1, len(values) - 1)]
    return mixed.astype(values.dtype, copy=False)


def pitch_at(pitch_hz: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Pitch of codes (K,), 0 unvoiced, at places (T,): logarithms in between, voiced where the nearest code is."""
    contour = prosody.filled(pitch_hz)
    if contour is None:
        return np.zeros(len(places), np.float32)
    nearest = np.clip((places / CODE_SAMPLES).astype(int), 0, len(pitch_hz) - 1)
    return np.where(pitch_hz[nearest] > 0, np.exp(at(np.log(contour), places, CODE_SAMPLES)), 0).astype(np.float32)
