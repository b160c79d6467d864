"""Reads web addresses and e-mail addresses as one would dictate them. Pure functions on text."""

from __future__ import annotations

import re

from emovoice.text import numbers

_ENDINGS = "com|org|net|edu|gov|mil|int|io|ai|co|uk|us|ca|au|nz|ie|de|fr|eu|info|biz|tv|me|ly|app|dev|shop|ch|at|it|es|nl"
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_URL = re.compile(r"\b(?:https?://|ftp://|www\.)[^\s<>\"\ue000\ue001]+", re.IGNORECASE)
_DOMAIN = re.compile(
    rf"(?<![\w.@-])[A-Za-z0-9][A-Za-z0-9-]{{0,62}}(?:\.[A-Za-z0-9-]{{1,63}}){{0,6}}\.(?:{_ENDINGS})\b(?![.-]?\w)"
    r"(?:/[^\s<>\"\ue000\ue001]*)?"
)
_SCHEME = re.compile(r"^(?:https?|ftp)://", re.IGNORECASE)
_TRAILING = re.compile(r"[.,;:!?'\")\]]+$")
_PIECE = re.compile(r"[A-Za-z]+|\d+|[^\w\s]|_|[^\W\d_]+")
_WORDS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", "?": "question mark", "=": "equals",
    "&": "and", "#": "hash", "%": "percent", ":": "colon", "~": "tilde", "+": "plus", ",": "comma", ";": "semicolon",
    "!": "exclamation mark", "*": "star", "$": "dollar", "(": "", ")": "", "'": "", "[": "", "]": "",
}  # fmt: skip
_SPELLED = frozenset("www uk us ca au nz ie de fr eu tv io ai html htm php pdf id url api css js".split())
_KNOWN = {"gmail": "G mail", "youtube": "you tube", "github": "git hub", "wikipedia": "Wikipedia", "http": "H.T.T.P",
          "https": "H.T.T.P.S"}  # fmt: skip


def read_addresses(text: str) -> str:
    """'me@mail.co.uk' -> 'me at mail dot co dot U.K', 'https://a.com/b' -> 'A dot com slash b'."""
    text = _EMAIL.sub(lambda found: _dictate(found[0]), text)
    text = _URL.sub(lambda found: _dictate(found[0]), text)
    return _DOMAIN.sub(lambda found: _dictate(found[0]), text)


def _dictate(address: str) -> str:
    trailing = _TRAILING.search(address)
    end = trailing.group() if trailing else ""
    address = _SCHEME.sub("", address[: len(address) - len(end)]).rstrip("/")
    words = [_read_piece(piece) for piece in _PIECE.findall(address)]
    return " ".join(word for word in words if word) + end


def _read_piece(piece: str) -> str:
    if piece in _WORDS:
        return _WORDS[piece]
    if piece.isdigit():
        return numbers.digits(piece) if len(piece) != 4 else numbers.year(int(piece))
    lower = piece.lower()
    if lower in _SPELLED or len(piece) == 1:
        return ".".join(piece.upper())
    return _KNOWN.get(lower, piece)
