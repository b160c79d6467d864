"""Tags in a text: how stretches of it are to be spoken. Pure.

    [angry:0.8] Get out! [/angry]   an emotion (any name that `emovoice.emotion.names` knows), with its intensity
    [whisper] Come closer. [/whisper]
    [pause:0.5s]                    see `markup`, which also reads <word|PHONEMES>
    <prosody rate="slow" volume="soft"> ... </prosody>   <break time="500ms"/>   <say-as interpret-as="characters">
    <emotion name="sad" intensity="0.5"> ... </emotion>  <sub alias="..."> <speak> <p> <s>

SSML may be a whole document, in <speak>, or a few tags in plain text. Tags nest; an inner emotion replaces the outer
one, rates multiply and volumes add up. What is open at the end ends there. Any other brackets are prose and are
spoken, [laughs] and <b> alike; in a <speak> document tags that are not known are left out with a warning. Scanning is
by regular expressions without nested repetition; there is no XML parser, so no entity is ever expanded but the five
of XML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from emovoice.emotion import names
from emovoice.errors import InputError
from emovoice.text.markup import MAX_PAUSE_S

WHISPER_DB = -10.0
RATES = (0.4, 2.5)
"""Paces that can be asked for, times the usual one."""
LOUDNESS_DB = (-40.0, 12.0)

_PROSE = frozenset({"none", "plain", "normal", "mad", "cruel", "numb", "drunk", "pleasure", "neutral tone"})
"""Names of emotions that stand in brackets for other reasons, [None]; they are spoken."""

_TAG = re.compile(
    r"\[(?P<end>/?)(?P<name>[A-Za-z][A-Za-z '/&-]{0,39}?)(?: ?: ?(?P<amount>[+-]?[\d.]{1,8}%?))?\]"
    r"|<(?P<close>/?)(?P<element>[A-Za-z][A-Za-z-]{0,19})(?P<attributes>(?:[\s/][^<>|]{0,400})?)>"
    r"|(?P<other><!--.{0,2000}?-->|<\?.{0,400}?>|<!.{0,400}?>)",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"""([\w:-]{1,40})\s{0,3}=\s{0,3}(?:"([^"]*)"|'([^']*)')""")
_ELEMENTS = ("speak", "p", "s", "break", "prosody", "say-as", "emotion", "sub")
_RATE_WORDS = {"x-slow": 0.6, "slow": 0.8, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.5}
_VOLUME_WORDS = {"silent": -40.0, "x-soft": -12.0, "soft": -6.0, "medium": 0.0, "default": 0.0, "loud": 6.0,
                 "x-loud": 9.0}  # fmt: skip
_BREAKS = {"none": 0.0, "x-weak": 0.1, "weak": 0.25, "medium": 0.5, "strong": 0.8, "x-strong": 1.2}
_TIME = re.compile(r"\+?(\d{1,6}(?:\.\d{0,6})?|\.\d{1,6})\s?(ms|s)\Z")
_NUMBER = re.compile(r"[+-]?(?:\d{1,6}(?:\.\d{0,6})?|\.\d{1,6})\Z")
_SPELT = ("characters", "spell-out", "verbatim")
_AS_READ = ("cardinal", "number", "date", "time", "telephone", "currency", "unit", "fraction", "address", "name")
_LETTERS = {
    "A": "EY1", "B": "B IY1", "C": "S IY1", "D": "D IY1", "E": "IY1", "F": "EH1 F", "G": "JH IY1", "H": "EY1 CH",
    "I": "AY1", "J": "JH EY1", "K": "K EY1", "L": "EH1 L", "M": "EH1 M", "N": "EH1 N", "O": "OW1", "P": "P IY1",
    "Q": "K Y UW1", "R": "AA1 R", "S": "EH1 S", "T": "T IY1", "U": "Y UW1", "V": "V IY1", "W": "D AH1 B AH0 L Y UW0",
    "X": "EH1 K S", "Y": "W AY1", "Z": "Z IY1",
}  # fmt: skip
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


@dataclass(frozen=True)
class Style:
    """How a stretch is to be spoken.

    Attributes:
        emotion: eight weights, or None for what the request says.
        rate: times the usual pace.
        loudness_db: beside the usual level.
        whisper: whether it shall be whispered.
    """

    emotion: tuple[float, ...] | None = None
    rate: float = 1.0
    loudness_db: float = 0.0
    whisper: bool = False


@dataclass(frozen=True)
class Span:
    """A stretch of text in one style; its text may still hold the marks of `markup`."""

    text: str
    style: Style


@dataclass(frozen=True)
class Script:
    """A text without its tags, in order, and what could not be done as it was written."""

    spans: tuple[Span, ...]
    warnings: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether no tag says how anything is to be spoken."""
        return all(span.style == Style() for span in self.spans)


@dataclass
class _Open:
    """A tag that is open: what it is called, the style inside, and where its text begins for <say-as> and <sub>."""

    name: str
    style: Style
    start: int = 0
    attributes: Mapping[str, str] | None = None


def parse(text: str) -> Script:
    """Take the tags out of a text.

    Returns:
        Stretches in order, none without a letter, a figure or a pronunciation, unless there is nothing else.

    Raises:
        InputError: a known tag with a value that cannot be used, naming it.
    """
    return _Parser(text).script()


class _Parser:
    """One pass over a text, tag by tag."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.document = text.lstrip().lower().startswith(("<speak", "<?xml"))
        self.open: list[_Open] = []
        self.pieces: list[Span] = []
        self.warnings: dict[str, None] = {}

    def script(self) -> Script:
        """The stretches of the text with their styles, and warnings."""
        at = 0
        for match in _TAG.finditer(self.text):
            if not self._is_tag(match):
                continue
            self._add(self.text[at : match.start()])
            at = match.end()
            self._take(match)
        self._add(self.text[at:])
        for each in reversed(self.open):
            if each.name in ("say-as", "sub"):
                self._rewrite(each)
        return Script(_joined(self.pieces), tuple(self.warnings))

    @property
    def style(self) -> Style:
        return self.open[-1].style if self.open else Style()

    def _is_tag(self, match: re.Match[str]) -> bool:
        if match["other"] is not None:
            return self.document
        if match["element"] is not None:
            return self.document or match["element"].lower() in _ELEMENTS
        name = match["name"].lower()
        if name == "whisper":
            return match["amount"] is None
        known = name not in _PROSE and names.is_known(name)
        if not known and (match["end"] or match["amount"]) and name != "pause":
            self._warn(f"{match[0]} is no known tag and is spoken as it stands")
        return known

    def _add(self, text: str) -> None:
        if not text:
            return
        if self.document:
            text = text.replace("&lt;", "<").replace("&gt;", ">")
        self.pieces.append(Span(text, self.style))

    def _take(self, match: re.Match[str]) -> None:
        if match["other"] is not None:
            if match["other"].startswith("<!") and not match["other"].startswith("<!--"):
                self._warn(f"{match['other'][:20]} was left out")
        elif match["element"] is not None:
            self._element(match)
        elif match["end"]:
            self._close(match["name"].lower(), match[0])
        elif match["name"].lower() == "whisper":
            style = replace(self.style, whisper=True, loudness_db=self.style.loudness_db + WHISPER_DB)
            self._push("whisper", style, match[0])
        else:
            name = match["name"].lower()
            intensity = None if match["amount"] is None else _unit(match["amount"], match[0])
            self._push(name, replace(self.style, emotion=names.parse(name, intensity)), match[0])

    def _element(self, match: re.Match[str]) -> None:
        name, written = match["element"].lower(), match[0]
        body = match["attributes"].rstrip()
        alone = body.endswith("/")
        if name not in _ELEMENTS:
            self._warn(f"<{name}> is not known and was left out; the text in it is spoken")
        elif match["close"]:
            self._close(name, written)
        elif name == "break":
            self.pieces.append(Span(_break(self._attributes(body, written, ("time", "strength"))), self.style))
        elif not alone:
            self._start(name, body, written)

    def _start(self, name: str, body: str, written: str) -> None:
        if name in ("p", "s"):
            self.pieces.append(Span("\n\n", self.style))
            self._push(name, self.style, written)
        elif name == "prosody":
            self._push(name, self._prosody(self._attributes(body, written, ("rate", "volume")), written), written)
        elif name == "emotion":
            known = ("name", "category", "type", "intensity", "value", "valence", "arousal", "dominance")
            emotion = _emotion(self._attributes(body, written, known), written)
            self._push(name, replace(self.style, emotion=emotion), written)
        elif name in ("say-as", "sub"):
            named = ("interpret-as", "format", "detail") if name == "say-as" else ("alias",)
            attributes = self._attributes(body, written, named)
            self.open.append(_Open(name, self.style, len(self.pieces), attributes))
        else:
            self._push(name, self.style, written)

    def _prosody(self, attributes: Mapping[str, str], written: str) -> Style:
        style = self.style
        if "rate" in attributes:
            rate = style.rate * _rate(attributes["rate"], written)
            style = replace(style, rate=_within(rate, RATES, "rate", written))
        if "volume" in attributes:
            level = style.loudness_db + _volume(attributes["volume"], written)
            style = replace(style, loudness_db=_within(level, LOUDNESS_DB, "volume", written))
        return style

    def _push(self, name: str, style: Style, written: str) -> None:
        level = min(LOUDNESS_DB[1], max(LOUDNESS_DB[0], style.loudness_db))
        self.open.append(_Open(name, replace(style, loudness_db=level), len(self.pieces)))

    def _close(self, name: str, written: str) -> None:
        """Close the nearest tag of that name, and what was opened inside it."""
        places = [index for index, each in enumerate(self.open) if _same(each.name, name)]
        if not places:
            self._warn(f"{written} closes nothing and was left out")
            return
        for each in reversed(self.open[places[-1] :]):
            if each.name in ("say-as", "sub"):
                self._rewrite(each)
        del self.open[places[-1] :]
        if name in ("p", "s"):
            self.pieces.append(Span("\n\n", self.style))

    def _rewrite(self, opened: _Open) -> None:
        """Say what stands in <say-as> or <sub> in another way."""
        inside = "".join(span.text for span in self.pieces[opened.start :])
        attributes = opened.attributes or {}
        if opened.name == "sub":
            said = attributes.get("alias", inside)
        else:
            said = self._said_as(inside, attributes.get("interpret-as", "").lower())
        del self.pieces[opened.start :]
        if said:
            self.pieces.append(Span(said, opened.style))

    def _said_as(self, text: str, how: str) -> str:
        if how in _SPELT:
            return " ".join(_letter(character) for character in text if not character.isspace())
        if how == "digits":
            return re.sub(r"\d(?=\d)", lambda digit: digit[0] + " ", text)
        if how == "ordinal":
            return re.sub(r"\d{1,9}\b(?!\w)", lambda number: number[0] + _ordinal(int(number[0])), text)
        if how not in _AS_READ:
            self._warn(f"<say-as interpret-as={how[:30]!r}> is not known; the text is read as it stands")
        return text

    def _attributes(self, body: str, written: str, known: tuple[str, ...]) -> dict[str, str]:
        found = {name.lower(): (double or single).strip() for name, double, single in _ATTRIBUTE.findall(body)}
        for name in [name for name in found if name not in known and not name.startswith("xml")]:
            self._warn(f"{name} in {written[:40]} is not known and was left out")
        return {name: value for name, value in found.items() if name in known}

    def _warn(self, message: str) -> None:
        self.warnings[message] = None


def _same(opened: str, closing: str) -> bool:
    """[/anger] closes [angry] too."""
    if opened == closing:
        return True
    bracketed = closing not in (*_ELEMENTS, "whisper") and opened not in (*_ELEMENTS, "whisper")
    return bracketed and names.shares_of(opened) == names.shares_of(closing)


def _joined(pieces: list[Span]) -> tuple[Span, ...]:
    """Neighbours of one style together; what has nothing to say goes to the stretch before it, or else after it."""
    found: list[Span] = []
    held = ""
    for piece in pieces:
        spoken = any(character.isalnum() for character in re.sub(r"\[pause:[^\[\]\n]*\]", "", piece.text))
        if found and (found[-1].style == piece.style or not spoken):
            found[-1] = replace(found[-1], text=found[-1].text + piece.text)
        elif spoken:
            found.append(replace(piece, text=held + piece.text))
            held = ""
        else:
            held += piece.text
    if held and not found:
        found = [Span(held, Style())]
    return tuple(found)


def _break(attributes: Mapping[str, str]) -> str:
    """The mark of a silence."""
    if "time" in attributes:
        match = _TIME.match(attributes["time"])
        seconds = float(match[1]) / (1000 if match[2] == "ms" else 1) if match else -1.0
        if not 0 <= seconds <= MAX_PAUSE_S:
            raise InputError(
                f"a break must be 0 to {MAX_PAUSE_S:g} seconds",
                field="time",
                value=attributes["time"],
                remedy='Write <break time="500ms"/> or <break time="0.5s"/>.',
            )
    else:
        strength = attributes.get("strength", "medium").lower()
        if strength not in _BREAKS:
            raise InputError(
                "no such strength of a break", field="strength", value=strength, remedy=f"Use {', '.join(_BREAKS)}."
            )
        seconds = _BREAKS[strength]
    return f"[pause:{round(seconds * 1000)}ms]"


def _rate(value: str, written: str) -> float:
    low = value.lower()
    if low in _RATE_WORDS:
        return _RATE_WORDS[low]
    relative = low.endswith("%")
    number = _number(low[:-1] if relative else low, "rate", written)
    if relative:
        number = 1 + number / 100 if low[0] in "+-" else number / 100
    return _within(number, RATES, "rate", written)


def _volume(value: str, written: str) -> float:
    low = value.lower()
    if low in _VOLUME_WORDS:
        return _VOLUME_WORDS[low]
    if not low.endswith("db"):
        raise InputError(
            "a volume must be a word or decibels",
            field="volume",
            value=value,
            remedy=f"Use {', '.join(_VOLUME_WORDS)}, or '+3dB'.",
        )
    return _within(_number(low[:-2].strip(), "volume", written), LOUDNESS_DB, "volume", written)


def _emotion(attributes: Mapping[str, str], written: str) -> tuple[float, ...]:
    amount = attributes.get("intensity", attributes.get("value"))
    intensity = None if amount is None else _unit(amount, written)
    place = {axis: _number(attributes[axis], axis, written) for axis in ("valence", "arousal", "dominance")
             if axis in attributes}  # fmt: skip
    if place:
        return names.parse(place, intensity)
    name = attributes.get("name", attributes.get("category", attributes.get("type")))
    if name is None:
        raise InputError(
            "an emotion needs a name", field="emotion", value=written[:60], remedy='Write <emotion name="sad">.'
        )
    return names.parse(name, intensity)


def _unit(value: str, written: str) -> float:
    """0.8 or 80%."""
    number = _number(value.rstrip("%"), "intensity", written) / (100 if value.endswith("%") else 1)
    return _within(number, (0.0, 1.0), "intensity", written)


def _number(value: str, field: str, written: str) -> float:
    if _NUMBER.match(value) is None:
        raise InputError("a number is needed", field=field, value=written[:60], remedy="Write for example 0.8.")
    return float(value)


def _within(number: float, limits: tuple[float, float], field: str, written: str) -> float:
    if not limits[0] <= number <= limits[1]:
        raise InputError(
            f"the {field} must lie in {limits[0]:g}..{limits[1]:g}, not {number:g}", field=field, value=written[:60]
        )
    return number


def _letter(character: str) -> str:
    """A letter by its name, so that "A" is not read as the article."""
    upper = character.upper()
    return f"<{upper}|{_LETTERS[upper]}>" if upper in _LETTERS else character


def _ordinal(number: int) -> str:
    return "th" if number % 100 in (11, 12, 13) else _ORDINALS.get(number % 10, "th")
