"""Codes to sound while they are still being written: window by window, so that no border between two is heard.

A window holds the codes that become sound now, and as many before and after them as the networks look around: the
prior sees 9 codes to each side and the vocoder 6 more. The vocoder's pulses go on where they were, and what two windows
make of a border is faded over.

Shapes: K codes (25 Hz), T mel frames of 256 samples, n samples at 24 kHz.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from vocoders.harmonic import turns
from vocoders.vocos import Vocoder

FIRST_CODES = 12
"""Of the first window, 0.48 s: they are all that has to be waited for."""
CODES = 96
"""Of every other window: the context costs a third of them."""
CONTEXT_CODES = 16
FRAMES_PER_CODE = 3.75
_HOP = 256
_FADE = 480  # samples, 20 ms

T = TypeVar("T")


@dataclass(frozen=True)
class Window(Generic[T]):
    """Steps `first`, `first + 1`, ... of a text, of which those from `start` up to `end` become sound now."""

    steps: tuple[T, ...]
    first: int
    start: int
    end: int


def windows(steps: Iterable[T]) -> Iterator[Window[T]]:
    """Cut steps into windows as soon as they are known; at most 128 are held. Starts are multiples of 4 codes, which
    are 15 frames."""
    held: list[T] = []
    first, start, size = 0, 0, FIRST_CODES
    for step in steps:
        held.append(step)
        if first + len(held) == start + size + CONTEXT_CODES:
            yield Window(tuple(held), first, start, start + size)
            start, size = start + size, CODES
            past = max(start - CONTEXT_CODES - first, 0)
            held, first = held[past:], first + past
    if first + len(held) > start:
        yield Window(tuple(held), first, start, first + len(held))


class Renderer(Generic[T]):
    """The sound of one stretch of speech.

    Args:
        vocoder: with or without a source.
        mel_of: steps and how many frames they take -> log-mel (1, M, T).
        pitch_of: steps -> their pitch in Hz (K,), 0 unvoiced.
        frames_per_code: 3.75, or what meets an asked length.
    """

    def __init__(self, vocoder: Vocoder, mel_of: Callable[[tuple[T, ...], int], Tensor],
                 pitch_of: Callable[[tuple[T, ...]], np.ndarray], frames_per_code: float = FRAMES_PER_CODE) -> None:
        self._vocoder, self._mel_of, self._pitch_of, self._ratio = vocoder, mel_of, pitch_of, frames_per_code
        self._pitch_hz: Tensor | None = None  # (1, T) of the window before, and where it began
        self._first = 0
        self._turn = 0.0  # of the pulses at its first sample, in cycles
        self._rest = np.zeros(0, np.float32)  # of it, beyond its last code

    def chunks(self, steps: Iterable[T]) -> Iterator[np.ndarray]:
        """Float32 (n,), one a window; together `frames_per_code` * 256 samples a step."""
        for window in windows(steps):
            yield self._sound(window)

    def _sample(self, code: int) -> int:
        return round(code * self._ratio * _HOP)

    def _frame(self, code: int) -> int:
        return -(-self._sample(code) // _HOP)

    def _sound(self, window: Window[T]) -> np.ndarray:
        first, start = self._frame(window.first), self._frame(window.start)
        frames = self._frame(window.first + len(window.steps)) - first
        wave = self._wave(self._mel_of(window.steps, frames), window.steps, first, start)
        begin, end = (self._sample(code) - first * _HOP for code in (window.start, window.end))
        sound = wave[begin:end]
        fade = min(len(self._rest), len(sound))
        rising = (np.arange(fade, dtype=np.float32) + 0.5) / max(fade, 1)
        sound[:fade] = self._rest[:fade] * (1 - rising) + sound[:fade] * rising
        self._rest = wave[end : end + _FADE]
        return sound

    def _wave(self, mel: Tensor, steps: tuple[T, ...], first: int, start: int) -> np.ndarray:
        """(1, M, T) from frame `first` on -> (T * 256,); pitch and pulses before frame `start` stay as they were."""
        if self._vocoder.pitch is None:
            return self._vocoder(mel)[0].cpu().numpy()
        near = torch.from_numpy(self._pitch_of(steps).astype(np.float32))[None, None]
        near = torch.nn.functional.interpolate(near, size=mel.shape[-1], mode="nearest")[0].to(mel.device)
        pitch_hz = self._vocoder.hear_pitch(mel, near)
        if self._pitch_hz is not None:
            known = self._pitch_hz[:, first - self._first : start - self._first]
            pitch_hz = torch.cat([known, pitch_hz[:, start - first :]], 1)
            # Turns agree one frame before the border: what they add up to depends on the edges of a window.
            before = self._turns(self._pitch_hz, start - 1 - self._first)
            self._turn += before - self._turns(pitch_hz, start - 1 - first)
        self._pitch_hz, self._first = pitch_hz, first
        return self._vocoder(mel, pitch_hz, self._turn, first)[0].cpu().numpy()

    def _turns(self, pitch_hz: Tensor, frame: int) -> float:
        """Periods of (1, T) Hz before a frame."""
        return float(turns(pitch_hz[:, : frame + 1], _HOP, self._vocoder.config.rate_hz)[0, frame * _HOP - 1])
