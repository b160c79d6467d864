"""Phones beside the codes: from a text and a pointer into it, or from what the tokenizer hears.

Classes are symbol numbers; 0 is silence (spaces, punctuation, start and stop). Stress marks count as the sound after
them, length marks as the one before. Shapes: L text with start and stop, K codes.
"""
from __future__ import annotations

import numpy as np

from emovoice.text import symbols

_SILENCE = ' ;:,.!?—…"()“”'
_SILENT = frozenset({symbols.START, symbols.STOP, *symbols.encode(_SILENCE)})
_STRESS, _LENGTH = frozenset(symbols.encode(symbols.STRESSES)), frozenset(symbols.encode(symbols.LENGTH))


def classes_of_text(text: np.ndarray) -> np.ndarray:
    """Symbol numbers (L,) -> phone classes (L,)."""
    out = text.copy()
    for i in range(len(out) - 2, -1, -1):
        if text[i] in _STRESS:
            out[i] = out[i + 1]
    for i in range(1, len(out)):
        if text[i] in _LENGTH:
            out[i] = out[i - 1]
    return np.where(np.isin(out, list(_SILENT)), 0, out)


def windows(classes: np.ndarray, pointer: np.ndarray) -> np.ndarray:
    """Phone classes of a text (L,) and a pointer (K,) -> (K, 3): the phone before, the phone, and the one after."""
    padded = np.pad(classes, 1)
    at = np.minimum(pointer, len(classes) - 1)
    return np.stack([padded[at], padded[at + 1], padded[at + 2]], -1)


def heard(classes_50_hz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Classes told by the tokenizer (2K,) -> what a text with these phones would be (L,), and the pointer (K,).

    Runs of one class become one symbol; a code points at the run under its second half.
    """
    starts = np.flatnonzero(np.diff(classes_50_hz, prepend=-1))
    run = np.cumsum(np.diff(classes_50_hz, prepend=-1) != 0) - 1
    return classes_50_hz[starts], run[1::2]
