"""Words to phonemes by hibari-tts (Apache-2.0): dictionaries of 180,000 words, word classes, American and
British.

What is in no dictionary goes, in this order, to: a few interjections, stretched words shortened ('Nooo' ->
'no'), hibari's letter-to-sound net (onnxruntime, loaded at the first unknown word), and spelling letter by
letter, so that no word is ever silent. Everything is loaded at the first call and kept. Double quotes have no
sound: hibari's tagger gives them at random, so they are left out of the phonemes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from emovoice.text import _hibari
from emovoice.text.characters import MARKS, PAUSE_MARK, WORD_MARK, without_accents
from emovoice.text.markup import Accent, Word
from emovoice.text.symbols import CONSONANTS, PUNCTUATION, SYMBOLS, VOWELS

_PIECES = re.compile(f"([{MARKS}])")
_END = re.compile(r'[.!?…,;:—")]+\Z')
_SIMILAR = str.maketrans({"ʀ": "ɹ", "y": "i", "ɚ": "ə", "ɾ": "T", "ʔ": "t", "r": "ɹ", "g": "ɡ"})
_STRANGE = re.compile(f'[^{re.escape(SYMBOLS)}]|[“”"]')
_SOUNDS = frozenset(VOWELS + CONSONANTS)
_AUDIBLE_PUNCTUATION = frozenset(PUNCTUATION) - frozenset('"“”')
_STRETCHED = re.compile(r"([a-z])\1{2,}")
_ROMAN = re.compile(r"[IVXLCDM]+\Z")
_NET_LETTERS = 24

_EXTRA: dict[Accent, dict[str, str]] = {
    "us": {
        "hmm": "hˈʌm", "hm": "hˈʌm", "mmm": "ˈʌm", "mm": "ˈʌm", "shh": "ʃˈʌ", "brr": "bɹˈɜɹ", "grr": "ɡɹˈɜɹ",
        "pfft": "pfˈʌt", "tsk": "tˈɪsk", "psst": "psˈɪst", "eww": "ˈiu", "aww": "ˈɔ", "ahh": "ˈɑ",
        "aah": "ˈɑ",
        "ohh": "ˈO", "ugh": "ˈʌɡ", "argh": "ˈɑɹɡ", "aargh": "ˈɑɹɡ", "haha": "hɑhˈɑ", "hahaha": "hˌɑhɑhˈɑ",
        "résumé": "ɹˈɛzəmˌA",
    },
    "gb": {
        "hmm": "hˈʌm", "hm": "hˈʌm", "mmm": "ˈʌm", "mm": "ˈʌm", "shh": "ʃˈʌ", "brr": "bɹˈɜː", "grr": "ɡɹˈɜː",
        "pfft": "pfˈʌt", "tsk": "tˈɪsk", "psst": "psˈɪst", "eww": "ˈiːuː", "aww": "ˈɔː", "ahh": "ˈɑː",
        "aah": "ˈɑː",
        "ohh": "ˈQ", "ugh": "ˈʌɡ", "argh": "ˈɑːɡ", "aargh": "ˈɑːɡ", "haha": "hɑːhˈɑː",
        "hahaha": "hˌɑːhɑːhˈɑː",
        "résumé": "ɹˈɛzjʊmˌA",
    },
}  # fmt: skip
"""Interjections that the dictionaries lack or spell without a vowel, and what accents tell apart."""


class Token(NamedTuple):
    """A word or a punctuation mark with its phonemes."""

    text: str
    phonemes: str
    """In symbols.SYMBOLS; PAUSE_MARK for a pause; '' for a quote."""
    space: bool
    """Whether a space follows."""


class Speller:
    """The G2P of one accent. Build it through `speller`, which keeps one of each."""

    def __init__(self, accent: Accent) -> None:
        package = _hibari.package()
        self._tok: Any = package.Tok
        self._g2p: Any = package.G2P(oov=self._guess, british=accent == "gb")
        self._net: Any = None
        self._net_file = Path(package.ASSETS) / ("oov_gb.onnx" if accent == "gb" else "oov.onnx")
        self._extra = _EXTRA[accent]
        self._guesses: dict[str, str] = {}

    def tokens(self, sentence: str, words: Iterator[Word]) -> list[Token]:
        """The tokens of one normalised sentence; `words` yields what the WORD_MARKs in it stand for."""
        pieces = [piece for piece in _PIECES.split(sentence) if piece]
        raw: list[Any] = []
        for piece, following in zip(pieces, [*pieces[1:], ""], strict=True):
            space = " " if following.startswith(" ") else ""
            if piece == PAUSE_MARK:
                raw.append(self._tok("", "", space, phonemes=PAUSE_MARK, rating=5))
            elif piece == WORD_MARK:
                word = next(words)
                raw.append(self._tok(word.text, "", space, phonemes=word.phonemes, rating=5))
            else:
                raw += self._split(piece)
        self._tag(raw)
        return [
            Token(tok.text, self._sounds(tok.text, tok.phonemes or ""), bool(tok.whitespace))
            for tok in self._g2p.phonemize_tokens(raw)
        ]

    def _split(self, piece: str) -> list[Any]:
        """hibari's tokens of a piece without marks; its last stop apart, or 'U.S.' would eat it."""
        trimmed = piece.rstrip(" ")
        end = _END.search(trimmed)
        body = trimmed[: end.start()] if end else trimmed
        pairs = self._with_apostrophes(self._g2p.tokenizer(body))
        pairs += [(mark, "") for mark in (end.group() if end else "")]
        if pairs and len(trimmed) < len(piece):
            pairs[-1] = (pairs[-1][0], " ")
        return [self._tok(text, "", space, phonemes=self._fixed(text)) for text, space in pairs]

    def _with_apostrophes(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Puts ''tis', ''em' and the like together again where the dictionary has them whole."""
        joined: list[tuple[str, str]] = []
        for text, space in pairs:
            before = joined[-1] if joined else ("", " ")
            whole = (before[0] + text).lower()
            if whole[0] == "'" and before[0] and not before[1] and whole in self._g2p.lexicon.golds.d:
                joined[-1] = (before[0] + text, space)
            else:
                joined.append((text, space))
        return joined

    def _tag(self, tokens: list[Any]) -> None:
        """Word classes; quotes and pauses are hidden from the tagger, which was not taught with them."""
        heard = [tok for tok in tokens if tok.text and tok.text != '"']
        for tok, tag in zip(heard, self._g2p.tagger([tok.text for tok in heard]), strict=True):
            tok.tag = tag
            if tok.phonemes is None and not tok.text.isascii():
                tok.alias = without_accents(tok.text)

    def _fixed(self, text: str) -> str | None:
        """Phonemes that need no context (punctuation, interjections, stretched words); else None."""
        if not any(character.isalnum() for character in text):
            return None if set(text) <= {"'", "-"} else "".join(c for c in text if c in _AUDIBLE_PUNCTUATION)
        lower = text.lower()
        if lower in self._extra:
            return self._extra[lower]
        if lower[0] == "'" and len(lower) > 3:
            return self._known(lower)
        if not _STRETCHED.search(lower) or _ROMAN.match(text):
            return None
        return self._stretched(lower)

    def _stretched(self, word: str) -> str | None:
        """'nooo' as 'no', 'goood' as 'good', 'hmmm' as 'hmm'; None if no such word is known."""
        for shorter in (_STRETCHED.sub(r"\1\1", word), _STRETCHED.sub(r"\1", word)):
            if shorter in self._extra:
                return self._extra[shorter]
            known = self._known(shorter) if len(shorter) > 1 else None
            if known:
                return known
        return None

    def _known(self, word: str) -> str | None:
        """The first dictionary's usual pronunciation."""
        entry = self._g2p.lexicon.golds.get(word)
        if isinstance(entry, dict):
            entry = entry["DEFAULT"]
        return None if entry is None else str(entry)

    def _guess(self, word: str) -> str:
        """Phonemes of a word that is in no dictionary; never empty for a word with letters."""
        if word not in self._guesses:
            plain = without_accents(word)
            parts = [plain[at : at + _NET_LETTERS] for at in range(0, len(plain), _NET_LETTERS)]
            guess = "".join(_clean(self._ask_net(part)) for part in parts)
            self._guesses[word] = guess if _SOUNDS & set(guess) else self._spell(plain)
        return self._guesses[word]

    def _ask_net(self, letters: str) -> str:
        if self._net is None:
            self._net = _hibari.submodule("oov").OOV(str(self._net_file))
        return self._net(letters) or ""

    def _spell(self, word: str) -> str:
        letters = [
            self._g2p.lexicon.golds.get(letter.upper())
            for letter in without_accents(word)
            if letter.isalpha()
        ]
        return " ".join(str(name) for name in letters if isinstance(name, str))

    def _sounds(self, text: str, phonemes: str) -> str:
        if phonemes == PAUSE_MARK:
            return phonemes
        clean = _clean(phonemes)
        if any(character.isalnum() for character in text) and not _SOUNDS & set(clean):
            return self._spell(text)
        return clean


@cache
def speller(accent: Accent) -> Speller:
    """The G2P of 'us' or 'gb', loaded once (0.4 s)."""
    return Speller(accent)


def _clean(phonemes: str) -> str:
    return _STRANGE.sub("", phonemes.translate(_SIMILAR))
