"""Renders one item: the teacher's neutral score, bent by acoustic correlates, sung, coloured and trimmed.

Equations: F0 after `reference` WORLD practice, f0' = exp(m + shift + range * (ln f0 - m) + contour), with m the mean of
ln f0 over voiced frames (Morise 2016 notation; parameters from Schroeder 2001 and others, see data/correlates.json).
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfilt

from emovoice.corpus.correlates import Correlates
from emovoice.corpus.teacher import FRAME_SAMPLES, RATE_HZ, Score, Teacher

VOWELS = frozenset("aeiouæɑɒɔəɚɛɜɪʊʌAIOQWYᵊᵻ")
PAUSES = frozenset(" ,.;:!?—…")
_PITCH_HZ = 80  # frames a second of F0 and energy
_F0_FLOOR_HZ, _F0_CEIL_HZ = 55.0, 600.0
_VOICED_HZ = 30.0
_FINAL_S = 0.25
_EDGE_FRAMES = 2  # silence kept before and after, 25 ms each
_LEVEL_RMS = 0.045  # level of a neutral utterance (-27 dBFS) : leaves head-room for +6 dB of anger
_NEPER_PER_DB = np.log(10) / 20


@dataclass
class Rendering:
    """An utterance with its exact labels. `durations` are frames of 25 ms; F0 and energy come at 80 Hz."""

    samples: np.ndarray  # (n,) float32 at 24 kHz
    durations: np.ndarray  # (T + 2,)
    f0_hz: np.ndarray  # (2F,) 0 where unvoiced
    energy: np.ndarray  # (2F,)


def stretch(phonemes: str, frames: np.ndarray, how: Correlates) -> np.ndarray:
    """Frames per token after the emotion's tempo: vowels take more of the change than consonants, pauses their own.

    Rounding carries its error on, so the total is right to half a frame. Every token keeps at least one frame.
    """
    factors = np.array([_tempo(c, how) for c in phonemes])
    wanted = frames[1:-1] * factors
    ends = np.round(np.cumsum(wanted)).astype(np.int64)
    inner = np.maximum(np.diff(ends, prepend=0), 1)
    # The silence around is the teacher's own: with a shorter one it swallows the first sounds. `render` trims it.
    return np.concatenate([[int(frames[0])], inner, [int(frames[-1])]])


def _tempo(symbol: str, how: Correlates) -> float:
    if symbol in PAUSES:
        return how.pause * how.duration
    return how.duration ** (1.25 if symbol in VOWELS else 0.75)


def bend(score: Score, how: Correlates, rng: np.random.Generator) -> None:
    """Move the score's F0 and energy to the emotion, in place."""
    voiced = score.f0_hz > _VOICED_HZ
    if not voiced.any():
        return
    log_f0 = np.log(score.f0_hz[voiced])
    mean = log_f0.mean()
    excursion = how.f0_range * (log_f0 - mean) * np.where(_stressed(score)[voiced], how.accent, 1.0)
    semitones = how.f0_shift_st + how.final_st * _final_ramp(voiced)[voiced] + _tremor(len(voiced), how, rng)[voiced]
    signs = np.where(np.arange(len(log_f0)) % 2, 1, -1)  # up and down in turn
    jitter = how.jitter_pct / 100 * np.abs(rng.standard_normal(len(log_f0))) * signs
    bent = np.exp(mean + excursion + semitones * np.log(2) / 12 + jitter)
    score.f0_hz[voiced] = np.clip(bent, _F0_FLOOR_HZ, _F0_CEIL_HZ)
    score.energy[:] = score.energy + 0.4 * how.gain_db * _NEPER_PER_DB  # part of the level is effort, not volume


def _stressed(score: Score) -> np.ndarray:
    """(2F,) True inside vowels that follow a stress mark."""
    mark, previous = [], ""
    for symbol in score.phonemes:
        mark.append(symbol in VOWELS and previous == "ˈ")
        previous = symbol if symbol not in VOWELS or previous != "ˈ" else ""
    frames = np.repeat(np.array([False, *mark, False]), score.durations)
    return np.repeat(frames, 2)[: len(score.f0_hz)]


def _final_ramp(voiced: np.ndarray) -> np.ndarray:
    """0 .. 1 over the last 250 ms before the end of voicing."""
    last = int(np.flatnonzero(voiced)[-1])
    ramp = 1 - (last - np.arange(len(voiced))) / (_FINAL_S * _PITCH_HZ)
    return np.clip(ramp, 0, 1)


def _tremor(length: int, how: Correlates, rng: np.random.Generator) -> np.ndarray:
    phase = rng.uniform(0, 2 * np.pi)
    return how.tremor_st * np.sin(2 * np.pi * 7.0 * np.arange(length) / _PITCH_HZ + phase)


def colour(samples: np.ndarray, how: Correlates, rng: np.random.Generator) -> np.ndarray:
    """Spectral tilt, breath, shimmer and level: what the teacher's own controls cannot do."""
    out = _tilt(samples, how.tilt_db_oct)
    rms = np.sqrt(np.mean(out**2)) + 1e-9
    out = out * (_LEVEL_RMS / rms)
    if how.breath > 0:
        out = out + how.breath * _aspiration(out, rng)
    if how.shimmer_db > 0:
        steps = rng.standard_normal(len(out) // 120 + 2) * how.shimmer_db
        out = out * 10 ** (np.interp(np.arange(len(out)), np.arange(len(steps)) * 120, steps) / 20)
    out = out * 10 ** (how.gain_db / 20)
    peak = np.abs(out).max()
    return (out * (0.98 / peak) if peak > 0.98 else out).astype(np.float32)


def _tilt(samples: np.ndarray, db_per_octave: float) -> np.ndarray:
    spectrum = np.fft.rfft(samples)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(samples), 1 / RATE_HZ), 1000) / 1000)
    return np.fft.irfft(spectrum * 10 ** (db_per_octave * octaves / 20), len(samples))


def _aspiration(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """High-passed noise under the envelope of the voice, about 14 dB below it."""
    noise = sosfilt(butter(2, [1500, 9000], "bandpass", fs=RATE_HZ, output="sos"), rng.standard_normal(len(samples)))
    envelope = np.sqrt(np.convolve(samples**2, np.ones(480) / 480, mode="same"))
    return 0.35 * noise * envelope


def render(teacher: Teacher, phonemes: str, voice: str, how: Correlates, rng: np.random.Generator,
           warp: float = 1.0, audible: bool = True) -> Rendering:
    """Speak `phonemes` as `voice` under `how`; `warp` > 1 shortens the vocal tract and raises F0 by the same factor.

    With `audible=False` only the score is made (a tenth of the cost): `samples` is then empty.
    """
    style = teacher.style(voice, len(phonemes))
    neutral = teacher.durations(phonemes, style)
    # A warp plays the sound faster: the score is slowed first, so that the tempo stays.
    durations = stretch(phonemes, neutral * warp, how)
    score = teacher.score(phonemes, style, durations)
    bend(score, how, rng)
    samples = colour(teacher.sing(score), how, rng) if audible else np.empty(0, np.float32)
    start = max(int(durations[0]) - _EDGE_FRAMES, 0)
    stop = int(durations.sum()) - max(int(durations[-1]) - _EDGE_FRAMES, 0)
    kept = durations.copy()
    kept[0], kept[-1] = min(durations[0], _EDGE_FRAMES), min(durations[-1], _EDGE_FRAMES)
    f0 = np.where(score.f0_hz > _VOICED_HZ, score.f0_hz, 0.0)[2 * start : 2 * stop]
    samples = samples[start * FRAME_SAMPLES : stop * FRAME_SAMPLES]
    if warp != 1.0:
        samples, f0 = _resample(samples, 1 / warp), f0 * warp
    return Rendering(samples, kept, f0, score.energy[2 * start : 2 * stop])


def _resample(samples: np.ndarray, factor: float) -> np.ndarray:
    import soxr

    if not len(samples):
        return samples
    return soxr.resample(samples, RATE_HZ, RATE_HZ * factor).astype(np.float32)
