"""What a text becomes: sentences of phonemes with pauses, and warnings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sentence:
    """A stretch of speech that is spoken in one go."""

    text: str
    """The words as they are spoken, after normalising."""
    phonemes: str
    """One character of `symbols.SYMBOLS` per token; never empty, with its final punctuation."""
    pauses: tuple[tuple[int, float], ...] = ()
    """(index into phonemes after which the silence comes, seconds), rising; index -1 is before the first phoneme."""


@dataclass(frozen=True)
class Reading:
    """A whole text, ready to be spoken."""

    sentences: tuple[Sentence, ...]
    warnings: tuple[str, ...] = ()
    """What could not be read as it was written, one line each."""
