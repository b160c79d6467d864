"""Folds Unicode to the few characters that the rest of the room knows, and says what it could not keep.

Kept: ASCII, Latin letters with accents, `…`, `—`, a handful of signs that other steps read (`£ € ¥ ° ...`)
and the two marks of `markup`. Other scripts are transliterated by anyascii (ISC licence, no dependencies)
with a warning; emoji, pictograms and control characters are left out with a warning; invisible formatting is
left out silently.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

PAUSE_MARK = "\ue000"
"""Stands for one `[pause:...]` while a text is prepared."""
WORD_MARK = "\ue001"
"""Stands for one `<word|PHONEMES>` while a text is prepared."""
MARKS = PAUSE_MARK + WORD_MARK

READ_LATER = "£€¥₹₩¢°…—×÷±≤≥≠≈∞√½¼¾⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞‰²³§№Ωµ™®©→←↔•–"
"""Signs beyond ASCII that a later step turns into words."""

MAX_WORD_LETTERS = 45
"""Longer runs of letters are broken; the longest word in English dictionaries has 45."""
MAX_CHUNK = 60
"""Longer runs without a space are broken at their hyphens, once addresses and figures are read."""
MAX_STRETCH = 400
"""Longer runs without a space are broken before anything is read."""

_SAME = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛ʼ`´′＇", "'"),
        **dict.fromkeys("“”„‟«»″〝〞＂「」『』", '"'),
        **dict.fromkeys("‹›", "'"),
        **dict.fromkeys("‐‑⁃﹣－", "-"),
        **dict.fromkeys("‒−", "–"),
        **dict.fromkeys("―﹘⸺⸻", "—"),
        **dict.fromkeys("\t\v\f\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
                        "\u202f\u205f\u3000", " "),
        **dict.fromkeys("\r\x85\u2028", "\n"),
        "\u2029": "\n\n",
        "。": ". ", "、": ", ", "，": ", ", "！": "! ", "？": "? ", "：": ": ", "；": "; ", "¿": "", "¡": "",
        "⁄": "/", "∕": "/", "¦": "|", "·": "•", "‣": "•", "◦": "•", "▪": "•", "●": "•", "⇒": "→", "➜": "→",
        "➔": "→", "Å": "Å", "℃": "°C", "℉": "°F", "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl",
        **{chr(0x2080 + digit): str(digit) for digit in range(10)},
    }
)  # fmt: skip
_GREEK = re.compile(r"(?<![Ͱ-Ͽἀ-῿])([α-ωΑ-Ω])(?![Ͱ-Ͽἀ-῿])")
_MINUS = re.compile(r"(?<=\w) − (?=[\w.])")
_MICRO = re.compile(r"(?<=\d)( ?)μ(?=[mgslLFAVW]\b)")
_ENTITY = re.compile(r"&(amp|quot|apos|nbsp|#39);")
_ENTITIES = {"amp": "&", "quot": '"', "apos": "'", "nbsp": " ", "#39": "'"}
_LETTERS = re.compile(rf"[^\W\d_]{{{MAX_WORD_LETTERS + 1},}}")
_CHUNK = re.compile(rf"\S{{{MAX_CHUNK + 1},}}")
_STRETCH = re.compile(rf"\S{{{MAX_STRETCH + 1},}}")
_JOINTS = re.compile(r"(?<=[^\w\s])(?=\w)")
_SAME_SIGN = re.compile(r"([^\w\s\ue000\ue001])\1{3,}")
_SPACES = re.compile(r" {2,}")
_NEWLINES = re.compile(r"\n\s*\n")
_SAME_LETTER = re.compile(r"([^\W\d_])\1{3,}")
_SHOWN = 3


def fold(text: str) -> tuple[str, tuple[str, ...]]:
    """The text in known characters, and a warning for each kind that was read otherwise or left out."""
    text = _ENTITY.sub(lambda found: _ENTITIES[found[1]], text.replace("\r\n", "\n"))
    text = _MINUS.sub(" minus ", unicodedata.normalize("NFC", text))
    text = _shorten_runs(text.translate(_SAME))
    text, broken = _break_stretches(text)
    text = _MICRO.sub(r"\1µ", text)
    text = _GREEK.sub(lambda found: f" {_greek_name(found[1])} ", text)
    strange = {character for character in text if not _is_known(character)}
    if not strange:
        return text, broken
    warnings = [*broken, *_script_warnings(text, strange), *_dropped_warnings(text, strange)]
    return text.translate({ord(character): _replacement(character) for character in strange}), tuple(warnings)


def break_long_words(text: str) -> tuple[str, tuple[str, ...]]:
    """Shortens stretched letters to three ('Nooooo' -> 'Nooo') and breaks what is too long for one word."""
    text = _SAME_LETTER.sub(r"\1\1\1", text)
    broken: list[str] = []

    def split_chunk(found: re.Match[str]) -> str:
        chunk = found[0]
        return re.sub(r"(?<=\w)[-'](?=\w)", " ", chunk)

    def split_letters(found: re.Match[str]) -> str:
        word = found[0]
        broken.append(word)
        return " ".join(word[at : at + MAX_WORD_LETTERS] for at in range(0, len(word), MAX_WORD_LETTERS))

    text = _LETTERS.sub(split_letters, _CHUNK.sub(split_chunk, text))
    if not broken:
        return text, ()
    return text, (f"words of more than {MAX_WORD_LETTERS} letters were broken: {_examples(broken)}",)


def _shorten_runs(text: str) -> str:
    """At most three equal signs, one space and one blank line in a row: keeps later steps linear."""
    return _NEWLINES.sub("\n\n", _SPACES.sub(" ", _SAME_SIGN.sub(r"\1\1\1", text)))


def _break_stretches(text: str) -> tuple[str, tuple[str, ...]]:
    """Breaks what has no space for more than MAX_STRETCH characters, behind signs or simply anywhere."""
    stretches = _STRETCH.findall(text)
    if not stretches:
        return text, ()

    def split(found: re.Match[str]) -> str:
        return _STRETCH.sub(in_pieces, _JOINTS.sub(" ", found[0]))

    def in_pieces(found: re.Match[str]) -> str:
        whole = found[0]
        return " ".join(whole[at : at + MAX_STRETCH] for at in range(0, len(whole), MAX_STRETCH))

    warning = f"{len(stretches)} stretches of more than {MAX_STRETCH} characters without a space were broken"
    return _STRETCH.sub(split, text), (f"{warning}: {_examples(stretches)}",)


def is_latin(letter: str) -> bool:
    """Whether a letter belongs to the Latin script, with or without accents."""
    return letter.isascii() or unicodedata.name(letter, "").startswith("LATIN ")


def without_accents(word: str) -> str:
    """'naïve' -> 'naive', 'Łódź' -> 'Lodz'."""
    if word.isascii():
        return word
    from anyascii import anyascii

    return str(anyascii(word))


def _is_known(character: str) -> bool:
    if character.isascii():
        return character.isprintable() or character == "\n"
    return (
        character in READ_LATER or character in MARKS or (character.isalpha() and _is_plain_latin(character))
    )


def _is_plain_latin(letter: str) -> bool:
    """A Latin letter that is not merely another shape of an ASCII one (full width, superscript)."""
    return is_latin(letter) and not unicodedata.normalize("NFKC", letter).isascii()


def _replacement(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Nd":
        return str(unicodedata.digit(character))
    compatible = unicodedata.normalize("NFKC", character)
    if compatible.isascii() and compatible.isprintable():
        return compatible
    if kind[0] in "LM" or kind == "Nl":
        return without_accents(character)
    return "" if kind in ("Cf", "Mn") else " "


def _script(character: str) -> str:
    """The script's name, 'Cyrillic'; '' for what is no letter of a foreign script."""
    if unicodedata.category(character)[0] not in "LM" or is_latin(character):
        return ""
    first = unicodedata.name(character, "").split(" ")[0].split("-")[0]
    if first in (
        "COMBINING",
        "MODIFIER",
        "VARIATION",
        "FULLWIDTH",
        "MATHEMATICAL",
        "FEMININE",
        "MASCULINE",
        "",
    ):
        return ""
    return first if first == "CJK" else first.capitalize()


def _script_warnings(text: str, strange: set[str]) -> list[str]:
    scripts: dict[str, str] = {}
    for character in sorted(strange):
        if name := _script(character):
            scripts[name] = scripts.get(name, "") + character
    warnings = []
    for name, characters in sorted(scripts.items()):
        words = re.findall(f"[{re.escape(characters)}]+", text)
        read = without_accents(words[0]).strip()
        way = f"read by its transliteration ({words[0][:20]!r} as {read[:40]!r})" if read else "left out"
        warnings.append(f"{name} script was {way}: {_examples(words)}")
    return warnings


def _dropped_warnings(text: str, strange: set[str]) -> list[str]:
    pictures, controls = [], []
    for character in sorted(strange):
        kind = unicodedata.category(character)
        if kind in ("Cc", "Cs", "Co", "Cn"):
            controls.append(f"U+{ord(character):04X}")
        elif kind[0] in "SPN" and _replacement(character) == " ":
            pictures.append(character)
    warnings = []
    if pictures:
        warnings.append(f"emoji or signs without a reading were left out: {_examples(pictures)}")
    if controls:
        warnings.append(f"control or private characters were left out: {_examples(controls)}")
    return warnings


def _greek_name(letter: str) -> str:
    return unicodedata.name(letter).split(" ")[-1].lower().replace("lamda", "lambda")


def _examples(found: Iterable[str]) -> str:
    different = list(dict.fromkeys(found))
    shown = " ".join(word if len(word) <= 30 else word[:27] + "..." for word in different[:_SHOWN])
    return shown + (f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else "")
