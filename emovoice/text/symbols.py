"""The alphabet in which sentences are spoken: one character per token, and their frozen numbers.

The characters are the English inventory of misaki, the notation that Kokoro-82M was trained on and that
hibari-tts emits for American and British English (both Apache-2.0): IPA letters, capitals for diphthongs (A =
eɪ, I = aɪ, W = aʊ, Y = ɔɪ, O = American oʊ, Q = British əʊ), T for the American flap, stress marks, length
mark, space and punctuation. Every one of them is also in Kokoro's vocabulary. `ɾ` and `ʔ` belong to the
inventory although the G2P writes them as `T` and `t`.

The order is part of every trained model: never reorder, never remove; new symbols go to the end.
"""

from __future__ import annotations

from collections.abc import Iterable

START = 0
"""Token number that opens a sequence."""
STOP = 1
"""Token number that closes a sequence."""
FIRST = 2
"""Token number of SYMBOLS[0]."""

PUNCTUATION = ';:,.!?—…"()“”'
SPACE = " "
STRESSES = "ˈˌ"
LENGTH = "ː"
VOWELS = "AIOQWYaiuæɐɑɒɔəɛɜɪʊʌᵊᵻ"
CONSONANTS = "bdfhjklmnpstvwzðŋɡɹɾʃʒʔʤʧθT"

SYMBOLS = PUNCTUATION + SPACE + STRESSES + LENGTH + VOWELS + CONSONANTS
"""All characters that `Sentence.phonemes` may hold; SYMBOLS[i] has token number i + FIRST."""

VOCAB_SIZE = FIRST + len(SYMBOLS)
"""Rows of an embedding table: START, STOP and SYMBOLS."""

_NUMBER = {symbol: number for number, symbol in enumerate(SYMBOLS, FIRST)}


def encode(phonemes: str) -> list[int]:
    """Token numbers, FIRST..VOCAB_SIZE - 1, one per character, without START and STOP.

    Raises ValueError naming the characters that are not in SYMBOLS.
    """
    try:
        return [_NUMBER[symbol] for symbol in phonemes]
    except KeyError:
        unknown = "".join(sorted(set(phonemes) - set(SYMBOLS)))
        raise ValueError(f"not phoneme symbols: {unknown!r}") from None


def decode(numbers: Iterable[int]) -> str:
    """The characters behind token numbers, without START and STOP. Raises ValueError for other numbers."""
    symbols = []
    for number in numbers:
        if not 0 <= number < VOCAB_SIZE:
            raise ValueError(f"token number {number} is outside 0..{VOCAB_SIZE - 1}")
        if number >= FIRST:
            symbols.append(SYMBOLS[number - FIRST])
    return "".join(symbols)
