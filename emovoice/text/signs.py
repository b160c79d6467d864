"""Reads signs as words, tidies quotes, dashes, dots and spaces. Pure functions on text."""

from __future__ import annotations

import re

from emovoice.text.characters import MARKS

_BETWEEN = {
    "&": "and", "+": "plus", "=": "equals", "@": "at", "×": "times", "÷": "divided by", "±": "plus or minus",
    "≤": "is at most", "≥": "is at least", "≠": "is not", "≈": "is about", "∞": "infinity", "√": "the square root of",
    "§": "section", "№": "number", "°": "degrees", "²": "squared", "³": "cubed", "£": "pounds", "€": "euros",
    "¥": "yen", "₹": "rupees", "₩": "won", "¢": "cents", "$": "dollars", "%": "percent", "‰": "per mille",
    "Ω": "ohms", "µ": "micro", "©": "copyright", "→": "to", "↔": "to and from", "\\": "backslash",
}  # fmt: skip
_SIGN = re.compile("[" + re.escape("".join(_BETWEEN)) + "]")
_SILENT = re.compile("[™®←`]")
_HASHTAG = re.compile(r"(?<![\w#])#(?=[A-Za-z])")
_LESS = re.compile(r"(?<=[\w)]) (<=?|>=?) (?=[\w(-])|(?<=\d)(<=?|>=?)(?=\d)")
_LESS_WORDS = {"<": "is less than", "<=": "is at most", ">": "is greater than", ">=": "is at least"}
_EN_DASH = re.compile(r"(?<=\w)–(?=\w)")
_SHARP = re.compile(r"(?<=\b[A-G])#(?!\w)")
_LEADING_DOT = re.compile(r"(?<![\w.!?…])\.(?=[A-Za-z])")
_ABOUT = re.compile(r"(?<!\w)[~≈] ?(?=[a-z])")
_POWER = re.compile(r"(?<=\w) ?\^ ?(?=\w)")
_STAR = re.compile(r"(?<=[a-z]) ?\* ?(?=(?:minus )?[a-z])(?=\S* )")
_EMPHASIS = re.compile(r"(?<!\w)([*_]{1,3})(?=[^\s*_])([^*_\n]{1,200}?)(?<=[^\s*_])\1(?!\w)")
_EITHER = re.compile(r"(?<=[^\W\d_])/(?=[^\W\d_])")
_AND_OR = re.compile(r"\b(and|or)/(or|and)\b", re.IGNORECASE)
_BAR = re.compile(r" ?\|+ ?")
_BULLET = re.compile(r"^[ ]*(?:[•*+–—-][ ]+|#{1,6}[ ]+|>[ ]*)", re.MULTILINE)
_ITEM_END = re.compile(r"(?<=[\w\"')])[ ]*\n(?=[ ]*(?:[•*+–-][ ]+\S|\d{1,2}[.)] ))")

_WORDY = r"[\w'" + MARKS + "]"
_CUT_OFF = re.compile(r"(?<=\w)-(?=[\s,.!?\"]|\Z)")
_DASH = re.compile(r" *(?:—|--+|(?<= )[-–](?= )|(?<=\w)–(?=\w)| –|– )[ —-]*")
_LONE_HYPHEN = re.compile(rf"(?<!{_WORDY})-+|-+(?!{_WORDY})")
_SINGLE_QUOTE = re.compile(r"(?<!\w)'(?=\w)|(?<=[\w.,!?…—])'(?!\w)")
_CLIPPED = frozenset("tis twas twere em til cause bout round neath cept n ere kay sup twill tween mongst gainst".split())
_LETTER_RUN = re.compile(r"[A-Za-z]*")
_LONE_APOSTROPHE = re.compile(r"(?<!\w)'(?!\w)|'{2,}")
_QUOTES = re.compile(r'"{2,}')
_BRACKETS = str.maketrans("[]{}", "()()")
_EMPTY_BRACKETS = re.compile(r"\(\s*\)")
_ELLIPSIS = re.compile(r"\.(?: ?\.)+|…[.…]*")
_LOUD = re.compile(r"[!?](?:\s?[!?])+")
_REPEATED = re.compile(r"([,;:()])(?:\s*\1)+")
_MIXED_STOPS = re.compile(r"[,;:]+\s*(?=[.!?…])|(?<=[.!?…])\s*[,;:]+(?=\s|\Z)|(?<=[!?…])\.")
_SPACE_BEFORE = re.compile(r"[ ]+(?=[,.;:!?…)](?:\W|\Z))")
_MISSING_SPACE = re.compile(r"(?<=[a-z)\"][.!?])(?=[A-Z])|(?<=[…;])(?=[^\s\W])|(?<=[^\W\d],)(?=[^\W_])|"
                            r"(?<=[^\W\d_]:)(?=[^\W_])|(?<=[a-z][!?])(?=[a-z])|(?<=\w)(?=\()|(?<=\))(?=\w)")  # fmt: skip
_INNER_DOT = re.compile(r"(?<=[a-z]{2})\.(?=[a-z])|(?<=\d)\.(?=[a-z])")
_SPACES = re.compile(r"[ ]{2,}")
_PARAGRAPH = re.compile(r"[ ]*\n[ ]*(?:\n[ ]*)+")
_LINE = re.compile(r"[ ]*\n[ ]*")
_REST = re.compile(rf"[^\w\s.,!?;:—…\"()'{MARKS}-]|_")
_LEADING_STOPS = re.compile(r"^[\s,;:.…!?—)]+(?=\S)", re.MULTILINE)

_SHOUTED = re.compile(r"(?<![\w'.])[A-Z][A-Z']*(?!\w|\.\w)(?:[ ,]+[A-Z][A-Z']*(?![\w']|\.\w)){2,}")
_SMALL_WORDS = frozenset("A I AM AN AND ARE AT BE BUT BY DO FOR GO HE IF IN IS IT ME MY NO NOT OF OFF ON OR OUT SHE SO "
                         "THAT THE THIS TO UP WE WHAT WHO WHY WILL WITH YES YOU YOUR".split())  # fmt: skip


def read_lines(text: str) -> str:
    """Drops bullets and heading marks, ends list items with a full stop; a blank line stays a paragraph's end."""
    text = _BULLET.sub("", _ITEM_END.sub(".\n", text))
    text = _PARAGRAPH.sub("\0", text)
    return _LINE.sub(" ", text).replace("\0", "\n\n").strip()


def read_signs(text: str) -> str:
    """'&' -> 'and', '5 < 6' -> '... is less than ...', '#hope' -> 'hashtag hope', '*really*' -> 'really'."""
    text = _EMPHASIS.sub(r"\2", _SILENT.sub("", text.translate(_BRACKETS)))
    text = _EN_DASH.sub("-", text).replace("–", " — ")
    text = _SHARP.sub(" sharp", _LEADING_DOT.sub("dot ", text))
    text = _LESS.sub(lambda found: f" {_LESS_WORDS[found[1] or found[2]]} ", text)
    text = _HASHTAG.sub("hashtag ", _ABOUT.sub("about ", _POWER.sub(" to the power of ", text)))
    text = _EITHER.sub(" or ", _AND_OR.sub(r"\1 \2", _STAR.sub(" times ", text)))
    text = _BAR.sub(", ", text.replace(" / ", ", "))
    return _SIGN.sub(lambda found: f" {_BETWEEN[found[0]]} ", text)


def drop_rest(text: str) -> tuple[str, tuple[str, ...]]:
    """Leaves out the signs that nothing could read; a warning names those that are more than decoration."""
    left = sorted(set(_REST.findall(text)) - set("_*-~•–<>/#"))
    text = _REST.sub(" ", text)
    return text, ((f"signs without a reading were left out: {' '.join(left[:8])}",) if left else ())


def lower_shouting(text: str) -> str:
    """Three or more words in capitals in a row become small letters, so that they are not spelled as acronyms."""

    def calm(found: re.Match[str]) -> str:
        words = re.findall(r"[A-Z']+", found[0])
        sentence = any(word in _SMALL_WORDS for word in words) or len(words) > 4
        if not sentence:
            return found[0]
        lowered = re.sub(r"[A-Z][A-Z']*", lambda word: word[0].lower(), found[0])
        return re.sub(r"\bi\b", "I", lowered[0].upper() + lowered[1:])

    return _SHOUTED.sub(calm, text)


def tidy(text: str) -> str:
    """One kind of quote, dash and ellipsis; no doubled punctuation; a space after and none before it."""
    text = _double_quotes(text)
    text = _ELLIPSIS.sub("…", text)
    text = _CUT_OFF.sub("—", text)
    text = _LONE_HYPHEN.sub(" ", _DASH.sub(" — ", text))
    text = _LONE_APOSTROPHE.sub("", _QUOTES.sub('"', text))
    text = _EMPTY_BRACKETS.sub("", text)
    text = _MISSING_SPACE.sub(" ", _INNER_DOT.sub(" dot ", text))
    text = _SPACE_BEFORE.sub("", _SPACES.sub(" ", text))
    text = _LOUD.sub(_loud, text)
    text = _MIXED_STOPS.sub("", _REPEATED.sub(r"\1", text))
    text = re.sub(r"(?:— )+—", "—", text)
    text = re.sub(r" — ?(?=[.,!?;:…])|(?<=[,;:.!?…]) —(?= )", "", text)
    text = _LEADING_STOPS.sub("", text)
    return "\n\n".join(line.strip() for line in _SPACES.sub(" ", text).split("\n") if line.strip())


def close_paragraphs(text: str) -> str:
    """A full stop at the end of each paragraph that has no final punctuation: models are taught with one."""
    return re.sub(r"""(?<=[\w'"),;:\ue001])(?<![.!?…]["')])([\ue000 ]*)$""", _closing, text, flags=re.MULTILINE)


def _closing(found: re.Match[str]) -> str:
    return "." + found[1]


def _loud(found: re.Match[str]) -> str:
    marks = set(found[0]) & set("!?")
    return "?!" if len(marks) == 2 else marks.pop()


def _double_quotes(text: str) -> str:
    """Single quotes that enclose become double ones; apostrophes ('tis, dogs', rock 'n' roll) stay."""
    parts, end, is_open = [], 0, False
    for found in _SINGLE_QUOTE.finditer(text):
        at = found.start()
        if "\n" in text[end:at]:
            is_open = False
        if at and text[at - 1] == "-":
            continue
        opens = at == 0 or not (text[at - 1].isalnum() or text[at - 1] in ".,!?…—")
        if opens:
            word = _LETTER_RUN.match(text, at + 1)
            if word and word.group().lower() in _CLIPPED:
                continue
            is_open = True
        elif is_open:
            is_open = False
        else:
            continue
        parts += [text[end:at], '"']
        end = at + 1
    return "".join(parts) + text[end:]
