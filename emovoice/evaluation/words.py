"""Word error rate: what was heard against what was to be said.

Both sides are read the same way: by emovoice's own normaliser (numbers, abbreviations and signs to words),
then lower case, hyphens to spaces, punctuation out. Contractions and British or American spellings are left
alone: a recogniser that writes "color" for "colour" counts as wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'"})
_SPLITS = re.compile(r"[-‐-―/…]")
_OTHERS = re.compile(r"[^\w' ]|_")


def words(text: str, read: Callable[[str], str] | None = None) -> tuple[str, ...]:
    """The words of a text as they are compared; none for a text without letters and digits.

    Args:
        read: writes numbers, abbreviations and signs out as words; None means emovoice's own normaliser.
    """
    if not any(character.isalnum() for character in text):
        return ()
    text = (read or _read)(text.translate(_APOSTROPHES))
    text = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).lower().replace("&", " and ")
    text = _OTHERS.sub(" ", _SPLITS.sub(" ", text))
    return tuple(word for raw in text.split() if (word := raw.strip("'")))


def errors(expected: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest substitutions, insertions and deletions between two lists of words (Levenshtein)."""
    before = list(range(len(heard) + 1))
    for row, word in enumerate(expected, 1):
        current = [row]
        for column, other in enumerate(heard, 1):
            current.append(min(before[column] + 1, current[-1] + 1, before[column - 1] + (word != other)))
        before = current
    return before[-1]


def _read(text: str) -> str:
    from emovoice.text.normalise import normalise

    return normalise(text).text
