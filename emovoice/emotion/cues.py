"""What small words do to an instruction: not, slightly, but, then, whispering. Pure functions on words.

The lists are in data/cues.json; the emotion words that a "not" can turn round are the short phrases of the training
material and the names of emotions. Nothing here is learned, so that each step can be told: see `emovoice explain`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from emovoice.emotion import material, names, taxonomy

_LEXICON_FAMILIES = ("adjectives", "nouns", "adverbs", "more shades")
_LONGEST_PHRASE = 5
_STEM = 6
_DEGREE_RANGE = (0.25, 1.6)
_SUBJECT = r"(?:it|she|he|they|you|we|i|the speaker|the line|the voice)?\s*"
_STARTS = re.compile(
    rf"{_SUBJECT}(?:starts?|begins?|starting|beginning|opens?|start|begin)(?: out| off)?(?: as| with| in)? (.+?)"
    r"(?:,|;|\s+and|\s+but|\s+then)*\s+(?:ends?|ending|finish(?:es|ing)?)(?: up)?(?: as| with| in| by)? (.+)\Z"
)
_FROM_TO = re.compile(
    rf"{_SUBJECT}(?:slowly |gradually |suddenly )?(?P<verb>go(?:es|ing)?|mov(?:e|es|ing)|build(?:s|ing)?|"
    r"turn(?:s|ing)?|shift(?:s|ing)?|swing(?:s|ing)?|slid(?:es|ing)|chang(?:es|ing)|ris(?:e|es|ing)|fall(?:s|ing)?|"
    r"drift(?:s|ing)?|"
    r"escalat(?:es|ing)|pass(?:es|ing)?)?(?: up| down| slowly| gradually)?\s*"
    r"from (?P<first>.+?) (?:in)?to (?P<then>.+)\Z"
)
_AT_FIRST = re.compile(r"(.+?),? (?:at first|initially|to begin with)(?:,|;|\s+but|\s+then|\s+and)+ (.+)\Z")
_NEXT = re.compile(
    r"[,;.]?\s*\b(?:and then|until|(?:and )?(?:finally|in the end|by the end|at the end|eventually)|"
    r"(?:slowly |gradually )?(?:turn(?:s|ing) (?:in)?to|giv(?:es|ing) way to|melt(?:s|ing) into|dissolv(?:es|ing) into|"
    r"build(?:s|ing) (?:up )?to|end(?:s|ing) (?:in|with|up)))\b,?\s*"
    r"|[,;.]\s*(?:then|gradually|slowly|before|becoming|growing|ends)\b,?\s*|\s+then\s+"
)
_UNTIL_THEN = re.compile(r"\buntil\b[^,;]*[,;]\s*(?=then\b)")
_FIRST = re.compile(r"(?:first(?: of all)?|at first|initially|to begin with),?\s+")
_LEADING = re.compile(r"(?:then|gradually|slowly|suddenly) (?=\w)", re.IGNORECASE)
_NOT_STARTS = ("start", "beginning", "top", "head", "the start", "the beginning", "the top", "day one")
_DENIALS = ("not", "isn't", "aren't", "wasn't", "weren't", "never")
_DOUBLE = re.compile(r"\bnot that (?:\w+ )?(?:isn't|is not|doesn't|does not|wasn't|aren't|are not|am not)\b")
_THROUGH_TEARS = re.compile(r"\bthrough (?:(?:the|his|her|my|your|their) )?tears\b")
_AFTER_NEGATION = ("at all", "whatsoever", "any more", "anymore", "in the least", "one bit", "in any way")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]")
_SHOUTED = re.compile(r"\b[A-Z]{5,}\b")
_EMPTY = frozenset(
    "a an the it and or is are be as if in of to with so she he they you i we this that just please sound say speak "
    "make read do its very more line voice word words then like carefully still also both gradually slowly".split()
)


class Style(NamedTuple):
    """How loud and fast: `rate` times the usual pace, `loudness_db` beside the usual level."""

    rate: float = 1.0
    loudness_db: float = 0.0
    whisper: bool = False


class Found(NamedTuple):
    """A cue in the text and what it does, for people."""

    words: str
    effect: str


@dataclass(frozen=True)
class Part:
    """A stretch of an instruction with one feeling.

    Attributes:
        text: what is left for the model to read once the cues are taken out; "" if they were all there was.
        share: how much it counts beside the other parts.
        degree: what its intensity is multiplied by.
        style: how loud and fast.
        negated: names of emotions that it says are not there.
        found: the cues.
    """

    text: str
    share: float
    degree: float
    style: Style
    negated: tuple[str, ...]
    found: tuple[Found, ...]


@dataclass(frozen=True)
class Stage:
    """What is felt at one time; an instruction has one, or several that follow one another."""

    text: str
    parts: tuple[Part, ...]


@lru_cache(maxsize=1)
def lists() -> dict[str, object]:
    """data/cues.json."""
    loaded: dict[str, object] = json.loads((files("emovoice.emotion") / "data" / "cues.json").read_text("utf-8"))
    return loaded


@lru_cache(maxsize=1)
def lexicon() -> dict[str, Mapping[str, float]]:
    """Emotion words of at most three words and their shares, of the training families and all names."""
    found: dict[str, Mapping[str, float]] = {}
    for family in material.families("instruction"):
        if family.split == "train" and family.name in _LEXICON_FAMILIES:
            for phrase in family.phrases:
                if "," not in phrase.text and len(phrase.text.split()) <= 3:
                    shares = dict(zip(names.EMOTIONS, material.shares_of(phrase.votes), strict=True))
                    found.setdefault(phrase.text, {name: share for name, share in shares.items() if share})
    for name, entry in taxonomy.entries().items():
        found.setdefault(name, entry.shares)
    for name in (*names.EMOTIONS, *names.ALIASES):
        found.setdefault(name, names.shares_of(name))
    return {name: shares for name, shares in found.items() if shares}


def stages(text: str) -> tuple[Stage, ...]:
    """The stages of an instruction, in the order in which they are felt; at least one."""
    plain = " ".join(text.replace("’", "'").strip(" ()[]{}").split())
    pieces = [piece for piece in _sequence(plain) if _words(piece)] or [plain]
    if len(pieces) > 1:
        pieces = [_LEADING.sub("", piece) for piece in pieces]
    return tuple(Stage(piece, tuple(_part(text, share) for text, share in _contrasts(piece))) for piece in pieces)


def negated(line: str) -> tuple[str, ...]:
    """The emotions that somebody denies in a line of dialogue: "I'm not scared of you"."""
    tokens = [token.lower() for token in _words(line)]
    found = [each for each in _negations(tokens) if tokens[each[0]] in _DENIALS]
    return tuple(dict.fromkeys(name for _, _, _, emotions in found for name in emotions))


@lru_cache(maxsize=1)
def _stems() -> frozenset[str]:
    return frozenset(word[:_STEM] for phrase in lexicon() for word in phrase.split() if len(word) >= _STEM)


def is_taught(word: str) -> bool:
    """Whether a word, or one with the same first six letters, is an emotion word of the training material."""
    return word.lower()[:_STEM] in _stems() or word.lower() in lexicon()


def emphasis(text: str) -> tuple[float, tuple[Found, ...]]:
    """A factor on the intensity for capitals and exclamation marks, which the model does not see."""
    found = []
    if _SHOUTED.search(text):
        found.append(Found("CAPITALS", "intensity x 1.25"))
    if "!!" in text:
        found.append(Found("!!", "intensity x 1.15"))
    return (1.25 if _SHOUTED.search(text) else 1.0) * (1.15 if "!!" in text else 1.0), tuple(found)


def opposite(negated: Iterable[str]) -> tuple[dict[str, float], float]:
    """What is left when all an instruction says is what is not felt: shares and intensity, a table in cues.json."""
    table = lists()["opposites"]
    assert isinstance(table, dict)
    known: dict[str, tuple[dict[str, float], float]] = table
    rows = [known.get(name, known["other"]) for name in negated] or [known["other"]]
    shares = dict.fromkeys(names.EMOTIONS, 0.0)
    for row, _ in rows:
        for name, share in row.items():
            shares[name] += share / len(rows)
    return shares, math.fsum(intensity for _, intensity in rows) / len(rows)


def joined_style(styles: Sequence[Style]) -> Style:
    """Several at once: the strongest each way, together."""
    rates = [1.0, *(style.rate for style in styles)]
    levels = [0.0, *(style.loudness_db for style in styles)]
    whisper = any(style.whisper for style in styles)
    return Style(min(rates) * max(rates), min(levels) + max(levels), whisper)


def _sequence(text: str) -> list[str]:
    """Cut where one feeling follows another: "starts ..., ends ...", "from ... to ...", "..., then ..."."""
    lowered = text.lower()
    for pattern in (_STARTS, _FROM_TO, _AT_FIRST):
        if (match := pattern.match(lowered)) is not None:
            spans = [match.span(index) for index in range(1, match.re.groups + 1)]
            spans = [span for index, span in enumerate(spans, 1) if match.re.groupindex.get("verb") != index]
            cut = [text[start:stop].strip(" ,;.") for start, stop in spans]
            if pattern is not _FROM_TO or lowered[slice(*spans[0])].strip() not in _NOT_STARTS:
                return [piece for part in cut for piece in _following(part)]
    return _following(text)


def _following(text: str) -> list[str]:
    lowered = text.lower()
    drop = _UNTIL_THEN.search(lowered)
    if drop is not None:  # "until she sees the ring, then ...": what happens is not what is felt
        text, lowered = text[: drop.start()] + ", " + text[drop.end() :], ""
        lowered = text.lower()
    pieces, start = [], 0
    for match in _NEXT.finditer(lowered):
        pieces.append(text[start : match.start()])
        start = match.end()
    pieces.append(text[start:])
    first = _FIRST.match(pieces[0].lower())
    if first is not None and len(pieces) > 1:
        pieces[0] = pieces[0][first.end() :]
    return [piece.strip(" ,;.") for piece in pieces]


def _contrasts(text: str) -> list[tuple[str, float]]:
    """Cut where two feelings stand side by side; each piece with its share."""
    text = _DOUBLE.sub(" ", text)
    text = _THROUGH_TEARS.sub(" but in tears", text)
    lowered = text.lower()
    minor = _first_of(lowered, "minor")
    if minor is not None and minor[0] > 0:
        before, after = text[: minor[0]].strip(" ,;"), text[minor[1] :].strip(" ,;")
        if _words(before) and _words(after):
            return [(piece, share * 2 / 3) for piece, share in _contrasts(before)] + [(after, 1 / 3)]
    masked = any(_phrase_at_edge(piece, which) for which in ("outside", "inside") for piece in _pieces(lowered, ","))
    cuts = _strings("contrasts")
    pattern = r"[,;]?\s+(?:and |only )?(?:" + "|".join(re.escape(word) for word in sorted(cuts, key=len, reverse=True))
    pattern += r")\b,?\s+" + (r"|,\s+" if masked else "")
    pieces = [piece.strip(" ,;.") for piece in re.split(pattern, text, flags=re.IGNORECASE)]
    pieces = [piece for piece in pieces if _words(piece)] or [text]
    if len(pieces) > 1 and (opening := _opening_contrast(pieces[0], cuts)):
        pieces[0] = pieces[0][len(opening) :].strip(" ,")
    return [(_unmasked(piece), 0.4 if _phrase_at_edge(piece.lower(), "outside") else 0.6) for piece in pieces]


def _part(text: str, share: float) -> Part:
    """Take the cues out of a piece with one feeling."""
    tokens = _words(text)
    lowered = [token.lower() for token in tokens]
    gone: set[int] = set()
    found: list[Found] = []
    negated: list[str] = []
    muted: set[int] = set()  # style words behind a "not"
    for start, stop, target, emotions in _negations(lowered):
        gone.update(range(start, stop))
        muted.update(range(target, stop))
        negated.extend(emotions)
        effect = f"not {' or '.join(emotions)}" if emotions else "without that"
        found.append(Found(" ".join(tokens[start:stop]), effect))
    styles, degree = [], 1.0
    for start, stop, words in _matches(lowered, "restraints"):
        gone.update(range(start, stop))
        styles.append(Style(loudness_db=-3.0))
        degree *= 0.85
        found.append(Found(words, "held back"))
    table = lists()["styles"]
    assert isinstance(table, dict)
    for start, stop, words in _matches(lowered, "styles"):
        if muted.isdisjoint(range(start, stop)):
            styles.append(Style(**table[words]))
            found.append(Found(words, _told(styles[-1])))
    degrees = lists()["degrees"]
    assert isinstance(degrees, dict)
    for start, stop, words in _matches(lowered, "degrees"):
        if gone.isdisjoint(range(start, stop)):
            degree *= degrees[words]
            found.append(Found(words, f"intensity x {degrees[words]:g}"))
            if stop - start > 1 or len(tokens) > stop - start + len(gone):
                gone.update(range(start, stop))
    for start, stop, _ in _matches(lowered, "style_only"):
        if _is_alone(lowered, start, stop, gone):
            gone.update(range(start, stop))
    kept = [token for index, token in enumerate(tokens) if index not in gone]
    rest = " ".join(kept) if any(token.isalnum() and token.lower() not in _EMPTY for token in kept) else ""
    degree = min(_DEGREE_RANGE[1], max(_DEGREE_RANGE[0], degree))
    return Part(_tidy(rest), share, degree, joined_style(styles), tuple(dict.fromkeys(negated)), tuple(found))


def _negations(tokens: Sequence[str]) -> list[tuple[int, int, int, tuple[str, ...]]]:
    """(start, stop, start of what is negated, emotions) of each "not" before an emotion or style word."""
    protected: set[int] = set()
    for which in ("not_negations", "restraints"):
        for start, stop, _ in _matches(tokens, which):
            protected.update(range(start, stop))
    found, at = [], 0
    fillers, words = _strings("fillers"), lexicon()
    table = lists()["styles"]
    assert isinstance(table, dict)
    while at < len(tokens):
        negator = _longest(tokens, at, _strings("negators"))
        if not negator or at in protected:
            at += 1
            continue
        target = at + negator
        while skipped := _longest(tokens, target, fillers):
            target += skipped
        style, emotion = _longest(tokens, target, table), _longest(tokens, target, words)
        if not style and not emotion:
            at += 1
            continue
        stop = target + max(style, emotion)
        emotions = () if style >= emotion else _meant(words[" ".join(tokens[target:stop])])
        while stop + 1 < len(tokens) and tokens[stop] in ("or", "nor") and (n := _longest(tokens, stop + 1, words)):
            emotions += _meant(words[" ".join(tokens[stop + 1 : stop + 1 + n])])
            stop += 1 + n
        stop += _longest(tokens, stop, _AFTER_NEGATION)
        found.append((at, stop, target, emotions))
        at = stop
    return found


def _meant(shares: Mapping[str, float]) -> tuple[str, ...]:
    """The emotions a word stands for chiefly."""
    return tuple(name for name, share in shares.items() if share >= 0.3)


def _matches(tokens: Sequence[str], which: str) -> list[tuple[int, int, str]]:
    """(start, stop, words) of each phrase of a list, longest first, none inside another."""
    phrases, found, at = _strings(which), [], 0
    while at < len(tokens):
        length = _longest(tokens, at, phrases)
        if length:
            found.append((at, at + length, " ".join(tokens[at : at + length])))
        at += max(1, length)
    return found


def _longest(tokens: Sequence[str], at: int, phrases: Iterable[str]) -> int:
    """How many tokens from `at` on make the longest known phrase; 0 for none."""
    for length in range(min(_LONGEST_PHRASE, len(tokens) - at), 0, -1):
        if " ".join(tokens[at : at + length]) in phrases:  # type: ignore[operator]
            return length
    return 0


@lru_cache(maxsize=16)
def _strings(which: str) -> frozenset[str]:
    values = lists()[which]
    assert isinstance(values, (list, dict))
    return frozenset(" ".join(_words(value)) for value in values)


def _first_of(lowered: str, which: str) -> tuple[int, int] | None:
    """(start, stop) of the earliest phrase of a list in a text, as whole words."""
    found = [re.search(rf"\b{re.escape(phrase)}\b", lowered) for phrase in _strings(which)]
    spans = [match.span() for match in found if match is not None]
    return min(spans, key=lambda span: (span[0], -span[1])) if spans else None


def _phrase_at_edge(piece: str, which: str) -> str:
    """The phrase of a list that a piece starts or ends with, "" for none."""
    words = " ".join(_words(piece.strip(" ,;.").lower()))
    for phrase in sorted(_strings(which), key=len, reverse=True):
        if words.startswith(phrase + " ") or words.endswith(" " + phrase):
            return phrase
    return ""


def _unmasked(piece: str) -> str:
    for which in ("outside", "inside"):
        phrase = _phrase_at_edge(piece, which)
        if phrase:
            piece = re.sub(rf"\b{re.escape(phrase)}\b", " ", piece, count=1, flags=re.IGNORECASE).strip(" ,;.")
    return piece


def _pieces(text: str, sign: str) -> list[str]:
    return [piece for piece in re.split(rf"{re.escape(sign)}|\bbut\b|\bwhile\b|\byet\b", text) if piece.strip()]


def _opening_contrast(piece: str, cuts: Iterable[str]) -> str:
    """ "although hurt" opens with "although"."""
    return next((word for word in cuts if piece.lower().startswith(word + " ")), "")


def _is_alone(tokens: Sequence[str], start: int, stop: int, gone: set[int]) -> bool:
    """Whether a style phrase stands between commas or ends, so that it says nothing of a feeling."""
    before = start == 0 or tokens[start - 1] in (",", ";", ".") or tokens[start - 1] in _EMPTY or start - 1 in gone
    after = stop == len(tokens) or tokens[stop] in (",", ";", ".", "and") or stop in gone
    return before and after


def _told(style: Style) -> str:
    told = [f"{style.loudness_db:+g} dB"] if style.loudness_db else []
    told += [f"pace x {style.rate:g}"] if style.rate != 1 else []
    return ", ".join(["whispered"] * style.whisper + told) or "clear"


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.replace("’", "'"))]


def _tidy(text: str) -> str:
    """Words joined by spaces as people write them."""
    text = re.sub(r"\s+([,.;:!?'’)-])", r"\1", text)
    text = re.sub(r"(?<=[-(])\s+", "", text)
    return re.sub(r"(?:[,;]\s*)+(?=[,;]|\Z)", "", text).strip(" ,;")
