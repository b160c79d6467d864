"""The two marks inside a text: `[pause:0.4s]` and `<word|PHONEMES>`. Pure functions.

Everything else in brackets is prose here; `tags` takes out what says how to speak before it comes to this.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from emovoice.errors import InputError
from emovoice.text.characters import MARKS, PAUSE_MARK, WORD_MARK
from emovoice.text.symbols import CONSONANTS, LENGTH, SPACE, STRESSES, VOWELS

MAX_PAUSE_S = 10.0

_MARK = re.compile(r"\[pause:([^\[\]\n]*)\]|<([^\s<>|](?:[^<>|\n]*[^\s<>|])?)\|([^<>\n]*)>", re.IGNORECASE)
_PAUSE = re.compile(r"(\d+(?:\.\d*)?|\.\d+) ?(s|ms)\Z", re.IGNORECASE)

_CONSONANTS = {
    "B": "b", "CH": "ʧ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "ʤ", "K": "k", "L": "l",
    "M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v",
    "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip
_SHARED_VOWELS = {
    "AH": "ʌ", "AW": "W", "AY": "I", "EH": "ɛ", "EY": "A", "IH": "ɪ", "OY": "Y", "UH": "ʊ",
}  # fmt: skip
_VOWELS = {
    "us": {**_SHARED_VOWELS, "AA": "ɑ", "AE": "æ", "AO": "ɔ", "ER": "ɜɹ", "IY": "i", "OW": "O", "UW": "u"},
    "gb": {
        **_SHARED_VOWELS,
        "AA": "ɑː",
        "AE": "a",
        "AO": "ɔː",
        "ER": "ɜː",
        "IY": "iː",
        "OW": "Q",
        "UW": "uː",
    },
}
_WEAK = {"us": {"AH": "ə", "ER": "əɹ"}, "gb": {"AH": "ə", "ER": "ə", "IY": "i"}}
_STRESS = {"1": STRESSES[0], "2": STRESSES[1], "0": "", "": ""}
_ARPABET = re.compile(r"([A-Z]{1,2})([012]?)\Z")
_IPA = {
    "eɪ": "A", "aɪ": "I", "aʊ": "W", "ɔɪ": "Y", "oʊ": "O", "əʊ": "Q", "dʒ": "ʤ", "tʃ": "ʧ", "ɚ": "əɹ",
    "ɝ": "ɜɹ", "g": "ɡ", "r": "ɹ", "ɾ": "T", "ʔ": "t", "͡": "",
}  # fmt: skip
_ALLOWED = frozenset(VOWELS + CONSONANTS + STRESSES + LENGTH + SPACE)
_SOUNDS = frozenset(VOWELS + CONSONANTS)

Accent = Literal["us", "gb"]


class Word(NamedTuple):
    """A word with its own pronunciation in `symbols.SYMBOLS`."""

    text: str
    phonemes: str


class Marked(NamedTuple):
    """A text in which each mark is one character, PAUSE_MARK or WORD_MARK, and what these stand for."""

    text: str
    pauses_s: tuple[float, ...]
    words: tuple[Word, ...]


def parse(text: str, accent: Accent = "us") -> Marked:
    """Takes the marks out of a text. Raises InputError naming a bad pause or pronunciation."""
    pauses: list[float] = []
    words: list[Word] = []

    def take(found: re.Match[str]) -> str:
        if found[1] is not None:
            pauses.append(_pause_s(found[1], found[0]))
            return PAUSE_MARK
        words.append(Word(found[2], phonemes(found[3], accent)))
        return WORD_MARK

    clean = text.translate(dict.fromkeys(map(ord, MARKS), "\ufffd"))
    return Marked(_MARK.sub(take, clean), tuple(pauses), tuple(words))


def phonemes(written: str, accent: Accent = "us") -> str:
    """A pronunciation in our symbols, from these, plain IPA or CMU ARPAbet ('M IH1 N AH0 T').

    Raises InputError naming what it does not know.
    """
    written = " ".join(written.split())
    pieces = [_ARPABET.match(piece) for piece in written.split(" ")]
    if all(pieces) and any(piece is not None and len(piece[0]) > 1 for piece in pieces):
        spoken = "".join(
            _arpabet(piece[1], piece[2], accent, written) for piece in pieces if piece is not None
        )
    else:
        spoken = written
        for ipa, symbol in _IPA.items():
            spoken = spoken.replace(ipa, symbol)
    unknown = "".join(sorted(set(spoken) - _ALLOWED))
    if unknown or not _SOUNDS & set(spoken):
        what = (
            f"the pronunciation has unknown symbols {unknown!r}" if unknown else "the pronunciation is empty"
        )
        raise InputError(
            what,
            field="phonemes",
            value=written,
            remedy="Write <word|PHONEMES> in emovoice.text.symbols.SYMBOLS or as ARPAbet (M IH1 N AH0 T)",
        )
    return spoken


def _arpabet(name: str, stress: str, accent: Accent, written: str) -> str:
    if name in _CONSONANTS and not stress:
        return _CONSONANTS[name]
    vowel = _WEAK[accent].get(name) if stress == "0" else None
    vowel = vowel or _VOWELS[accent].get(name)
    if vowel is None:
        raise InputError(
            f"{name + stress} is no ARPAbet symbol",
            field="phonemes",
            value=written,
            remedy="Use the 39 symbols of the CMU dictionary, with 0, 1 or 2 behind vowels only",
        )
    return _STRESS[stress] + vowel


def _pause_s(written: str, mark: str) -> float:
    found = _PAUSE.match(written.strip())
    seconds = float(found[1]) / (1000 if found[2].lower() == "ms" else 1) if found else -1.0
    if not 0 <= seconds <= MAX_PAUSE_S:
        raise InputError(
            f"a pause must be 0 to {MAX_PAUSE_S:g} seconds",
            field="pause",
            value=mark,
            remedy="Write [pause:0.4s] or [pause:400ms]",
        )
    return seconds
