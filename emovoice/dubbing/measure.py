"""What is read out of a take or of the original: emotion weights, words, and which take is the best. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emovoice.dubbing.plan import DEFAULT_POLICY, Policy

_MARKS = re.compile(r"\[pause:[^\]]*\]|<([^<>|]*)\|[^<>]*>", re.I)
_HEARD_WELL = 0.2
_MOST_SILENCE = 0.3


def weights_of(neutral: np.ndarray, directions: np.ndarray, vector: np.ndarray) -> tuple[float, ...]:
    """Eight weights, each at least 0 and together at most 1, whose emotion comes closest to `vector` (256,).

    Args:
        neutral: (256,), the neutral point of the emotion space.
        directions: (8, 256).
    """
    from scipy.optimize import nnls

    found, _ = nnls(directions.astype(np.float64).T, (vector - neutral).astype(np.float64))
    total = max(1.0, float(found.sum()))
    return tuple(float(weight) / total for weight in found)


def spoken_words(text: str) -> str:
    """A text without its marks, as a recogniser should hear it."""
    return _MARKS.sub(lambda found: found[1] or " ", text)


def emotion_match(asked: Sequence[float], measured: Sequence[float]) -> float:
    """1 when the measured weights are those asked for, less the further they are apart (half the L1 distance)."""
    return 1 - min(1.0, 0.5 * sum(abs(a - b) for a, b in zip(asked, measured, strict=True)))


def penalty(record: Mapping[str, Any], asked: Sequence[float], policy: Policy = DEFAULT_POLICY) -> float:
    """How far a take is from what was asked, 0 and up; lower is better, and infinite for one that failed.

    Length first (seconds off, as a share, beyond the tolerance), then words, timbre and emotion, then silence.
    """
    if record.get("error"):
        return float("inf")
    asked_s, got_s = record["asked_s"], record["got_s"]
    off_s = max(0.0, abs(got_s - asked_s) - policy.tolerance_ms / 1000)
    total = 2.0 * off_s / max(asked_s, 0.1) + 2.0 * record.get("wer", 0.0)
    total += max(0.0, silence_share(record) - _MOST_SILENCE)
    if "timbre" in record:
        total += max(0.0, 0.8 - record["timbre"])
    if "emotion" in record:
        total += 0.3 * (1 - emotion_match(asked, record["emotion"]))
    return float(total)


def is_good(record: Mapping[str, Any], policy: Policy = DEFAULT_POLICY) -> bool:
    """Whether a take needs no other beside it."""
    if record.get("error"):
        return False
    near = abs(record["got_s"] - record["asked_s"]) <= policy.tolerance_ms / 1000
    return bool(near and record.get("wer", 0.0) <= _HEARD_WELL and record["speech_s"][1] > 0)


def best(records: Sequence[Mapping[str, Any]], asked: Sequence[float], policy: Policy = DEFAULT_POLICY) -> int:
    """Index of the best take; the first of equals."""
    return min(range(len(records)), key=lambda index: (penalty(records[index], asked, policy), index))


def silence_share(record: Mapping[str, Any]) -> float:
    """How much of a take lies before and after its speech, 0..1."""
    first_s, last_s = record["speech_s"]
    return 1 - min(1.0, max(0.0, last_s - first_s) / max(record["got_s"], 1e-6))
