"""Cuts a normalised text into sentences of a good length. Pure functions.

Sentences end at . ! ? … or a paragraph's end. A sentence of too many phonemes is cut at clause borders, then
at spaces, never inside a word; very short neighbours are spoken together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from emovoice.text.characters import PAUSE_MARK
from emovoice.text.g2p import Token
from emovoice.text.sentence import Sentence
from emovoice.text.symbols import CONSONANTS, VOWELS

LONGEST = 200
"""Phonemes, spaces and punctuation included, above which a sentence is cut."""
SHORTEST = 12
"""Phonemes below which a sentence is joined to its neighbour."""

_SOUNDS = frozenset(VOWELS + CONSONANTS)
_CLAUSE_ENDS = frozenset(",;:—)…")
_BORDER = re.compile(r"""([.!?…]["')]*)((?: ?\ue000)*) (?=(["'(\ue000 ]*)(\S))""")


def split(text: str) -> list[str]:
    """The sentences of a normalised text, in which a full stop before a space always ends one.

    No border lies in '"Stop!" he said', '(Really?) she asked' and 'Well… perhaps', where small letters
    follow.
    """
    sentences: list[str] = []
    for paragraph in text.split("\n\n"):
        start = 0
        for border in _BORDER.finditer(paragraph):
            if _goes_on(border[1], border[4]):
                continue
            sentences.append(paragraph[start : border.end()].strip())
            start = border.end()
        sentences.append(paragraph[start:].strip())
    return _join_unspoken(sentences)


def fit(tokens: Sequence[Token], longest: int = LONGEST) -> list[list[Token]]:
    """Cuts the tokens of one sentence into about equal parts of at most `longest` phonemes.

    A single word longer than that stays whole.
    """
    parts: list[list[Token]] = []
    left = length(tokens)
    start = 0
    while left > longest:
        aim = left / -(-left // longest)
        end = _best_cut(tokens, start, aim, longest)
        parts.append(list(tokens[start:end]))
        left -= length(parts[-1])
        if end >= len(tokens):
            return parts
        start = end
    return [*parts, list(tokens[start:])] if start < len(tokens) else parts


def join_short(
    sentences: Iterable[list[Token]], shortest: int = SHORTEST, longest: int = LONGEST
) -> Iterator[list[Token]]:
    """Joins sentences of fewer than `shortest` phonemes to a neighbour while both fit in `longest`.

    What has no sound at all (a lone pause or dash) is joined in any case.
    """
    held: list[Token] = []
    for sentence in sentences:
        if not held:
            held = sentence
            continue
        together = length(held) + (not held[-1].space) + length(sentence)
        short = length(held) < shortest or length(sentence) < shortest
        if (short and together <= longest) or not _is_heard(held) or not _is_heard(sentence):
            held = [*held[:-1], held[-1]._replace(space=True), *sentence]
        else:
            yield held
            held = sentence
    if held and _is_heard(held):
        yield held


def build(tokens: Sequence[Token], pauses_s: Iterator[float]) -> Sentence:
    """The sentence of some tokens; `pauses_s` yields the length of each pause mark among them."""
    phonemes = ""
    pauses: dict[int, float] = {}
    for token in tokens:
        if token.phonemes == PAUSE_MARK:
            at = len(phonemes) - 1
            pauses[at] = pauses.get(at, 0.0) + next(pauses_s)
        else:
            phonemes += " ".join(token.phonemes.split())
        if token.space and phonemes and phonemes[-1] != " ":
            phonemes += " "
    phonemes = phonemes.rstrip(" ")
    text = " ".join("".join(token.text + " " * token.space for token in tokens).split())
    kept: dict[int, float] = {}
    for at, seconds in pauses.items():
        at = min(at, len(phonemes) - 1)
        kept[at] = kept.get(at, 0.0) + seconds
    return Sentence(text, phonemes, tuple(sorted(kept.items())))


def length(tokens: Iterable[Token]) -> int:
    """Phonemes that the tokens come to, spaces and punctuation included."""
    return sum(len(token.phonemes) + token.space for token in tokens if token.phonemes != PAUSE_MARK)


def _goes_on(end: str, following: str) -> bool:
    if not following.islower():
        return False
    return end[0] == "…" or len(end) > 1


def _join_unspoken(sentences: Iterable[str]) -> list[str]:
    """Puts what holds no word of its own (a pause between paragraphs) behind the sentence before it."""
    joined: list[str] = []
    for sentence in sentences:
        if not sentence:
            continue
        if joined and not re.search(r"[\w\ue001]", sentence):
            joined[-1] += " " + sentence
        else:
            joined.append(sentence)
    return joined


def _best_cut(tokens: Sequence[Token], start: int, aim: float, longest: int) -> int:
    """Index of the token before which to cut: the clause border nearest to `aim`, else a space."""
    clauses: list[tuple[float, int]] = []
    spaces: list[tuple[float, int]] = []
    run = 0
    for index in range(start, len(tokens)):
        token = tokens[index]
        run += length([token])
        if run - token.space > longest and index > start:
            break
        if token.space or token.phonemes == PAUSE_MARK:
            cut = (abs(run - aim), index + 1)
            spaces.append(cut)
            if token.phonemes[-1:] in _CLAUSE_ENDS and run >= 0.4 * aim:
                clauses.append(cut)
    if clauses or spaces:
        return min(clauses or spaces)[1]
    # One word fills the whole stretch: go on to the next space.
    return next((index + 1 for index in range(start, len(tokens)) if tokens[index].space), len(tokens))


def _is_heard(tokens: Iterable[Token]) -> bool:
    return any(_SOUNDS & set(token.phonemes) for token in tokens)
