"""Forced alignment: which stretch of a recording belongs to which symbol of its text. Pure functions on arrays.

A phone classifier says how probable each class is in every 20 ms; the best monotone path through the symbols of the
text (Viterbi) says when each was spoken. Shapes: T frames of 20 ms, S symbols with START and STOP, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from emovoice.encoder.phones import classes_of_text
from emovoice.errors import InputError
from emovoice.text import symbols

FRAME_S = 0.02
"""Seconds of a frame: two a code."""

SILENT = 0
"""The class of silence, spaces and punctuation. A sound's class is its token number."""

_FLOOR = -9.0  # log-posteriors below say the same: that the classifier did not hear it
_UNIT_S = 0.025  # what a manifest counts durations in
_NUDGE = 0.01  # of that unit: keeps ends off the middles of codes, which they would meet exactly


@dataclass(frozen=True)
class Alignment:
    """`frames` (S,) of 20 ms per symbol, 0 for a skipped one; `fit` 0..1, how well the sound agrees with the text."""

    frames: np.ndarray
    fit: float


def may_be_skipped(text: np.ndarray) -> np.ndarray:
    """(S,) bool: stress marks, spaces, punctuation, START and STOP need not be heard."""
    marks = symbols.encode(symbols.STRESSES + symbols.PUNCTUATION + symbols.SPACE)
    return np.isin(text, [symbols.START, symbols.STOP, *marks])


def align(log_posteriors: np.ndarray, text: np.ndarray) -> Alignment:
    """Spread T frames over the symbols of a text.

    Args:
        log_posteriors: (T, C) natural logarithms of the classes' probabilities.
        text: (S,) token numbers with START and STOP.

    Raises:
        InputError: fewer frames than sounds.
    """
    classes, optional = classes_of_text(text), may_be_skipped(text)
    if len(log_posteriors) < np.count_nonzero(~optional):
        raise InputError(
            "the recording is too short for its text", field="seconds", value=round(len(log_posteriors) * FRAME_S, 2)
        )
    heard = np.maximum(log_posteriors[:, classes], _FLOOR)
    path = best_path(heard, optional)
    frames = share_evenly(np.bincount(path, minlength=len(text)), classes, optional)
    return Alignment(frames, _fit(log_posteriors, classes[path]))


def best_path(scores: np.ndarray, optional: np.ndarray) -> np.ndarray:
    """(T, S) log scores -> (T,) the symbol of each frame, rising, with the greatest sum.

    Only symbols that are `optional` (S,) are stepped over. T must be at least the number of the others.
    """
    total, count = scores.shape
    run = _optional_before(optional)
    reach = int(run.max()) + 1  # the furthest step
    steps = np.arange(reach, -1, -1)  # of a window's columns: the last one stays
    barred = np.where(steps[None] <= run[:, None] + 1, 0.0, -np.inf)
    padded = np.full(count + reach, -np.inf)
    best = np.where(run == np.arange(count), scores[0], -np.inf)  # only optional symbols before it
    came = np.zeros((total, count), np.int64)
    for t in range(1, total):
        padded[reach:] = best
        options = np.lib.stride_tricks.sliding_window_view(padded, reach + 1) + barred
        column = options.argmax(1)
        came[t] = steps[column]
        best = options[np.arange(count), column] + scores[t]
    path = np.empty(total, np.int64)
    path[-1] = _last_symbol(best, optional)
    for t in range(total - 1, 0, -1):
        path[t - 1] = path[t] - came[t, path[t]]
    return path


def _optional_before(optional: np.ndarray) -> np.ndarray:
    """(S,) how many optional symbols stand right before each."""
    run = np.zeros(len(optional), np.int64)
    for i in range(1, len(run)):
        run[i] = run[i - 1] + 1 if optional[i - 1] else 0
    return run


def _last_symbol(best: np.ndarray, optional: np.ndarray) -> int:
    """The best symbol after which only optional ones come."""
    needed = np.flatnonzero(~optional)
    first = int(needed[-1]) if len(needed) else 0
    return first + int(best[first:].argmax())


def share_evenly(frames: np.ndarray, classes: np.ndarray, optional: np.ndarray) -> np.ndarray:
    """(S,) frames, with those of neighbours of one class spread evenly over them: nothing in the sound tells a stress
    mark from its vowel, or a full stop from the silence after it. Where there is too little for all, optional symbols
    get nothing."""
    out = frames.copy()
    edges = np.flatnonzero(np.diff(classes, prepend=-1, append=-1))
    for start, stop in pairwise(edges):
        have, members = int(frames[start:stop].sum()), np.arange(start, stop)
        if have < len(members):
            members = members[np.argsort(optional[start:stop], kind="stable")[:have]]
        out[start:stop] = 0
        if have:
            out[np.sort(members)] = np.diff(np.arange(len(members) + 1) * have // len(members))
    return out


def _fit(log_posteriors: np.ndarray, path_classes: np.ndarray) -> float:
    """How probable the path is beside the classifier's own choice, over the frames in which either has a sound.

    1 where they agree everywhere. Beside, since a voice or a room that is new to the classifier makes it less sure.
    """
    own = log_posteriors.argmax(1)
    sound = (path_classes != SILENT) | (own != SILENT)
    frames = np.flatnonzero(sound)
    chosen, best = (np.exp(log_posteriors[frames, classes[frames]]).sum() for classes in (path_classes, own))
    return float(chosen / best) if len(frames) else 0.0


def durations(frames: np.ndarray) -> list[float]:
    """(S,) frames of 20 ms -> what a manifest keeps: lengths in 25 ms, here with fractions.

    Ends lie a hair early, so that the code whose middle falls on a boundary belongs to the symbol that begins there,
    whatever floating point does; and the whole lasts a hair longer, so that no code is lost at its end.
    """
    ends = np.cumsum(frames) * (FRAME_S / _UNIT_S)
    ends = np.maximum(ends - _NUDGE, 0.0)
    ends[-1] += 2 * _NUDGE
    return [round(float(length), 2) for length in np.diff(ends, prepend=0.0)]
