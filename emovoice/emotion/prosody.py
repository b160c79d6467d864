"""What an emotion does to melody, level and tempo: a linear map of the change of the emotion vector.

Published correlates of emotion are shifts of pitch and level, and factors of range and duration that multiply; in
semitones, decibels and logarithms both grow linearly with intensity, and so does the vector. No change of the vector is
therefore no change of anything. Fitted on pairs of one text and voice.

What a vector says of an emotion is blurred, though: among neutral recordings alone it would move pitch by more than
emotions of one name differ. A named emotion therefore has moves of its own, and a source counts as neutral as far as
neutral recordings lie from their mean.

Shapes: K codes (25 Hz), D numbers of an emotion vector, S of a timbre vector, P pairs, E emotions, Q components.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from emovoice.encoder.melody import CODE_SAMPLES, RATE_HZ
from emovoice.text import symbols

MOVES = (
    "pitch_st", "range_log", "end_st", "level_db", "level_range_log", "vowels_log", "consonants_log", "pauses_log",
)  # fmt: skip
"""Columns: pitch in semitones, its range as a logarithm, the movement of the last 250 ms of voice, level in
decibels, its range, and the durations of vowels, consonants and pauses as logarithms."""

END_S = 0.25
LOWEST_HZ, HIGHEST_HZ = 50.0, 650.0
_RIDGE = 1e-3
_FASTEST, _SLOWEST = 0.5, 2.0  # of one sound
_LEVEL_SPAN_DB = 15.0
_SPEECH_BELOW_PEAK_DB = 35.0
_VOWELS = frozenset(symbols.encode(symbols.VOWELS))
_FEWEST = 4  # voiced codes that say something about melody
_NEUTRAL_PERCENTILE = 95


@dataclass
class ProsodyMoves:
    """The map, and what it is corrected by.

    Attributes:
        weights: (8, D) of the map.
        register: (S + 1,) tells the mean pitch of a timbre in semitones re 1 Hz.
        named: (E, 8) moves of each emotion at full intensity.
        ear: (Q, D) takes a vector less the neutral one to where nearly all neutral recordings lie in the unit sphere.
    """

    weights: np.ndarray
    register: np.ndarray
    named: np.ndarray
    ear: np.ndarray

    def of(self, difference: np.ndarray) -> np.ndarray:
        """Change of the emotion vector (..., D) -> (..., 8), in the order of MOVES."""
        return difference @ self.weights.T

    def pitch_of(self, timbre: np.ndarray) -> float:
        """Mean pitch (semitones re 1 Hz) of neutral speech in this timbre (S,)."""
        return float(timbre @ self.register[:-1] + self.register[-1])

    def audible(self, away: np.ndarray) -> np.ndarray:
        """A vector less the neutral one (..., D) -> (..., D): what is beyond the spread of neutral recordings."""
        heard = np.linalg.norm(away @ self.ear.T, axis=-1, keepdims=True)
        return (away * np.maximum(0, 1 - 1 / np.maximum(heard, 1e-12))).astype(np.float32)

    @classmethod
    def fit(cls, heard: np.ndarray, changes: np.ndarray, asked: np.ndarray, directions: np.ndarray) -> ProsodyMoves:
        """Ridge regression of changes (P, 8), NaN where there is none, without a constant: on the cleaned differences
        (P, D) that were heard and those that the weights (P, E) name by directions (E, D), since both are asked for;
        and of each emotion's own moves on its weights. Register and ear are still to come."""
        x = np.concatenate([heard, asked @ directions])
        weights, named = np.zeros((len(MOVES), x.shape[1])), np.zeros((asked.shape[1], len(MOVES)))
        for row, column in enumerate(changes.T):
            known = np.isfinite(column)
            weights[row] = _ridge(x[np.tile(known, 2)], np.tile(column[known], 2))
            named[:, row] = _ridge(asked[known], column[known])
        return cls(weights.astype(np.float32), np.zeros(1, np.float32), named.astype(np.float32),
                   np.zeros((1, x.shape[1]), np.float32))

    def with_register(self, timbres: np.ndarray, pitches_st: np.ndarray) -> ProsodyMoves:
        """Ridge regression of the mean pitch (N,) on timbre vectors (N, S)."""
        with_one = np.concatenate([timbres, np.ones((len(timbres), 1))], 1)
        return replace(self, register=_ridge(with_one, pitches_st).astype(np.float32))

    def with_ear(self, away: np.ndarray, basis: np.ndarray) -> ProsodyMoves:
        """The spread of neutral recordings, less their mean (N, D), in the components (Q, D) of the emotion space."""
        seen = away.astype(np.float64) @ basis.T
        spread = seen.T @ seen / len(seen)
        spread += 1e-6 * np.trace(spread) / len(spread) * np.eye(len(spread))
        whiten = np.linalg.inv(np.linalg.cholesky(spread))
        edge = np.percentile(np.linalg.norm(seen @ whiten.T, axis=1), _NEUTRAL_PERCENTILE)
        return replace(self, ear=(whiten @ basis / edge).astype(np.float32))


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(P, D), (P,) -> (D,). By the smaller of the two systems: there are fewer pairs than numbers."""
    if not x.any():
        return np.zeros(x.shape[1])
    x = x.astype(np.float64)
    gram = x @ x.T
    return x.T @ np.linalg.solve(gram + _RIDGE * np.trace(gram) / len(x) * np.eye(len(x)), y)


def changes(neutral: tuple[np.ndarray, np.ndarray, np.ndarray], moved: tuple[np.ndarray, np.ndarray, np.ndarray]
            ) -> np.ndarray:
    """What differs between two recordings of one text, each pitch in Hz, level in dB and phone classes (K,) -> (8,)."""
    before, after = (_described(*one) for one in (neutral, moved))
    difference = after - before
    # the movement of the end is beyond what the change of range does to the end that was there
    end = MOVES.index("end_st")
    difference[end] = after[end] - before[end] * np.exp(difference[MOVES.index("range_log")])
    return difference


def _described(pitch_hz: np.ndarray, level_db: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(8,): means and logarithms whose differences are the moves; NaN for what is not there."""
    out = np.full(len(MOVES), np.nan)
    voiced = np.flatnonzero(pitch_hz > 0)
    if len(voiced) >= _FEWEST:
        pitch = 12 * np.log2(pitch_hz[voiced])
        last = voiced > voiced[-1] - round(END_S * RATE_HZ / CODE_SAMPLES)
        out[:3] = pitch.mean(), np.log(pitch.std() + 0.3), pitch[last].mean() - pitch.mean()
    speech = level_db[level_db > level_db.max() - _SPEECH_BELOW_PEAK_DB]
    out[3:5] = speech.mean(), np.log(speech.std() + 1.0)
    for column, kind in enumerate(("vowel", "consonant", "pause"), 5):
        count = np.count_nonzero(kinds(classes) == kind)
        out[column] = np.log(count) if count >= 2 else np.nan
    return out


def kinds(classes: np.ndarray) -> np.ndarray:
    """Phone classes (K,) -> "vowel", "consonant" or "pause"."""
    return np.where(classes == 0, "pause", np.where(np.isin(classes, list(_VOWELS)), "vowel", "consonant"))


def filled(pitch_hz: np.ndarray) -> np.ndarray | None:
    """(K,) -> (K,): unvoiced codes get what lies between their neighbours; None where nothing is voiced."""
    voiced = np.flatnonzero(pitch_hz > 0)
    if not len(voiced):
        return None
    return np.exp(np.interp(np.arange(len(pitch_hz)), voiced, np.log(pitch_hz[voiced])))


def pitch_ratio(pitch_hz: np.ndarray, moves: np.ndarray, ends: bool, shift_st: float = 0.0) -> np.ndarray:
    """Factors (K,) on the pitch of a phrase (K,), 0 unvoiced, under moves (K, 8).

    Args:
        ends: whether the phrase ends here, so that its end moves.
        shift_st: for another voice, semitones.
    """
    contour = filled(pitch_hz)
    if contour is None:
        return np.ones(len(pitch_hz))
    voiced = pitch_hz > 0
    pitch = 12 * np.log2(contour)
    excursion = (np.exp(moves[:, 1]) - 1) * (pitch - pitch[voiced].mean())
    codes = END_S * RATE_HZ / CODE_SAMPLES
    ramp = np.clip(1 - (np.flatnonzero(voiced)[-1] - np.arange(len(pitch))) / codes, 0, 1) if ends else 0.0
    # of a ramp from 0 to 1 the mean is a half, and it is the mean that was measured
    moved = pitch + moves[:, 0] + excursion + 2 * moves[:, 2] * ramp + shift_st
    limits = 12 * np.log2([LOWEST_HZ, HIGHEST_HZ])
    # what lies outside already is not pulled in
    return 2 ** ((np.clip(moved, np.minimum(limits[0], pitch), np.maximum(limits[1], pitch)) - pitch) / 12)


def moved_level(level_db: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Level (K,) in dB under moves (K, 8); the range widens around the mean of speech, silence stays as far below."""
    speech = level_db > level_db.max() - _SPEECH_BELOW_PEAK_DB
    away = np.clip(level_db - level_db[speech].mean(), -_LEVEL_SPAN_DB, _LEVEL_SPAN_DB)
    return level_db + moves[:, 3] + (np.exp(moves[:, 4]) - 1) * away


def tempo(classes: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Factors (K,) on the durations of codes of phone classes (K,) under moves (K, 8); 0.5..2."""
    kind = kinds(classes)
    which = np.where(kind == "vowel", 5, np.where(kind == "consonant", 6, 7))
    return np.clip(np.exp(np.take_along_axis(moves, which[:, None], 1)[:, 0]), _FASTEST, _SLOWEST)
