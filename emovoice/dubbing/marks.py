"""What a subtitle's text means: who speaks, how, what is spoken and what only stands there. Pure.

Understood and never spoken: `[SPEAKER_01]:`, `NAME:`, `<v Name>`, song lyrics between notes, `[noise]`, `(sighs)`,
HTML and ASS tags, and the marks of this project:

    [angry:0.8]  [auto]  [emotion:0,0,0.5,0,0,0.3,0,0]  [intensity:0.5]
    [instruction: furious, but keeping it down]  [curve: 0 calm 0.2; 1.5 angry 0.9]

`[pause:0.4s]` and `<word|PHONEMES>` stay: they are spoken marks (emovoice.text.markup).
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from emovoice.dubbing.cues import AUTO, Cue, Key, as_curve, as_emotion, as_intensity, curve_text
from emovoice.emotion import names
from emovoice.errors import InputError

_DRAWING = re.compile(r"\{[^{}]*\\p[1-9][^{}]*\}.*?(?:\{[^{}]*\\p0[^{}]*\}|\Z)", re.S)
_BRACES = re.compile(r"\{([^{}]*)\}")
_VOICE_TAG = re.compile(r"<v(?:\.[^\s<>|]*)?[ \t]+([^<>|]*)>", re.I)
_HTML = re.compile(r"</?[a-zA-Z][^<>|]*>|<!--.*?-->|<\d[\d:.]*>", re.S)
_SUNG = re.compile(r"[♪♫♬♩][^♪♫♬♩]*(?:[♪♫♬♩]+|\Z)")
_PARENTHESES = re.compile(r"(\[[^\[\]]*\])|\([^()]*\)|（[^（）]*）")  # those inside a bracket are part of it
_BRACKET = re.compile(r"\[([^\[\]]*)\](\s*:)?")
_LEADING = re.compile(r"(?:\[[^\[\]]*\](?:\s*:)?\s*)+")
_NAME = re.compile(r"([^\s:][^:\n]{0,39}?)[ \t]*:(?=\s|$|[\"“”'‘’«-])[ \t]*")
_DASH = re.compile(r"(?:[-–—‐‑][ \t]*|>>+[ \t]*)(?=\S)")
_SPOKEN_MARK = re.compile(r"pause\s*:", re.I)
_FIELD = re.compile(r"(emotion|intensity|instruction|curve|character)\s*[:=]\s*(.*)\Z", re.I | re.S)
_EMOTION = re.compile(r"([A-Za-z]+)(?:\s*[:= ]\s*(\d*\.?\d+))?\Z")
_SPEAKER_MARK = "\ue000"  # private use: stands before a name that is certain, until the line is read


@dataclass
class Line:
    """What one speaker says within a cue. Fields as those of `Cue`."""

    character: str = ""
    text: str = ""
    emotion: str | None = None
    intensity: float | None = None
    instruction: str | None = None
    curve: tuple[Key, ...] = ()
    unspoken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Meaning:
    """The lines of a cue, at least one, and whether dashes tell of speakers that are not named."""

    lines: tuple[Line, ...]
    nameless_dialogue: bool = False


def understand(written: str, known: Collection[str] = ()) -> Meaning:
    """What a subtitle's text means.

    Args:
        written: the text, lines separated by newlines.
        known: names of characters; upper case is a name by itself, others only if they are among these.

    Raises:
        InputError: a mark with a value that cannot be used.
    """
    unspoken: list[str] = []
    text = _without_layout(written, unspoken)
    names_known = {name.casefold(): name for name in known if name}
    lines = [Line(unspoken=unspoken)]
    dashes = 0
    for row in text.split("\n"):
        row, had_dash = _undashed(row.strip())
        dashes += had_dash
        _read_row(row, lines, names_known)
    kept = [line for line in lines if line.text or line.character or line is lines[0]]
    if len(kept) > 1 and not kept[0].text and not kept[0].character:
        _inherit(kept.pop(0), kept[0])
    nameless = dashes > 1 and len([line for line in kept if line.text]) < 2
    return Meaning(tuple(kept), nameless)


def write(cue: Cue) -> str:
    """A cue's character, marks and text as one subtitle text; `understand` reads the same from it."""
    return f"{f'[{cue.character}]: ' if cue.character else ''}{fields_text(cue)}{cue.text}"


def fields_text(cue: Cue) -> str:
    """The marks of a cue's emotion, each followed by a space; "" for none."""
    marks = []
    named = cue.emotion is not None and cue.emotion.isalpha()
    if cue.emotion is not None and not named:
        marks.append(f"[emotion:{cue.emotion}]")
    if named and cue.intensity is not None:
        marks.append(f"[{cue.emotion}:{cue.intensity:g}]")
    elif named:
        marks.append(f"[{cue.emotion}]")
    elif cue.intensity is not None:
        marks.append(f"[intensity:{cue.intensity:g}]")
    if cue.instruction is not None:
        marks.append(f"[instruction:{cue.instruction}]")
    if cue.curve:
        marks.append(f"[curve:{curve_text(cue.curve)}]")
    return "".join(f"{mark} " for mark in marks)


def read_fields(text: str, line: Line) -> str:
    """Take the marks of this project out of `text` into `line`; the rest."""
    return _BRACKET.sub(lambda found: "" if _take_field(found[1].strip(), line) else found[0], text).strip()


def _without_layout(written: str, unspoken: list[str]) -> str:
    """The text without tags of HTML, ASS and WebVTT, lyrics and parentheses; who speaks is kept."""

    def left_out(found: re.Match[str]) -> str:
        unspoken.append(" ".join(found[0].split()))
        return " "

    def brace(found: re.Match[str]) -> str:
        return "" if found[1].startswith("\\") else left_out(found)

    text = written.replace("\r\n", "\n").replace("\r", "\n").replace(_SPEAKER_MARK, "")
    text = _BRACES.sub(brace, _DRAWING.sub("", text))
    text = _VOICE_TAG.sub(lambda found: f"\n{_SPEAKER_MARK}{found[1].strip()}:\n", text)
    text = html.unescape(_HTML.sub("", text)).replace("\xa0", " ").replace("\u200e", "").replace("\u200f", "")
    return _PARENTHESES.sub(lambda found: found[1] or left_out(found), _SUNG.sub(left_out, text))


def _undashed(row: str) -> tuple[str, bool]:
    found = _DASH.match(row)
    return (row[found.end() :], True) if found else (row, False)


def _read_row(row: str, lines: list[Line], known: dict[str, str]) -> None:
    """Append what a row says to the last line, or to a new one where another speaker begins."""
    head = _LEADING.match(row)
    ahead, row = (head[0], row[head.end() :]) if head else ("", row)
    row = f"{_read_brackets(ahead, lines, known)}{row}".strip()  # marks ahead of a name are read before it
    name, row = _speaker(row, known)
    if name:
        _begin(name, lines)
    row = " ".join(_read_brackets(row, lines, known).split())
    if row:
        lines[-1].text = f"{lines[-1].text} {row}".strip()


def _read_brackets(row: str, lines: list[Line], known: dict[str, str]) -> str:
    """The row without its brackets; those at its beginning may name the speaker."""
    kept, position = [], 0
    for found in _BRACKET.finditer(row):
        before = row[position : found.start()]
        kept.append(before)
        position = found.end()
        inner, colon = found[1].strip(), found[2] is not None
        at_start = not "".join(kept).strip()
        if _SPOKEN_MARK.match(inner):
            kept.append(found[0])
        elif at_start and inner and (colon or inner.casefold() in known):
            _begin(known.get(inner.casefold(), inner), lines)
        elif not _take_field(inner, lines[-1]):
            lines[-1].unspoken.append(found[0].strip())
            kept.append(" ")
    return "".join([*kept, row[position:]])


def _speaker(row: str, known: dict[str, str]) -> tuple[str, str]:
    """The name in front of a row and what follows it; "" for none."""
    certain = row.startswith(_SPEAKER_MARK)
    found = _NAME.match(row[1:] if certain else row)
    if not found:
        return "", row
    name = " ".join(found[1].split())
    if not (certain or name.casefold() in known or (name.isupper() and len(name) > 1)):
        return "", row
    return known.get(name.casefold(), name), row[found.end() + certain :]


def _begin(name: str, lines: list[Line]) -> None:
    """A line of `name`: the last one while it has neither text nor name, else a new one."""
    last = lines[-1]
    if last.text or (last.character and last.character != name):
        lines.append(Line(name))
    else:
        last.character = name


def _take_field(inner: str, line: Line) -> bool:
    """Whether the inside of a bracket is a mark of ours; then `line` has it."""
    if inner.startswith("/"):
        return _is_emotion(inner[1:].strip())
    if found := _FIELD.match(inner):
        return _set(line, found[1].lower(), found[2].strip())
    found = _EMOTION.match(inner)
    if not found or not _is_emotion(found[1]):
        return False
    if found[2] is not None:
        _set(line, "intensity", found[2])
    return _set(line, "emotion", found[1])


def _set(line: Line, name: str, value: str) -> bool:
    """Set a field of a line; the first mark of a kind counts, a second is kept as unspoken."""
    if name == "character":
        line.character = value
        return True
    if getattr(line, name):
        line.unspoken.append(f"[{name}:{value}]")
        return True
    readers = {"emotion": as_emotion, "intensity": as_intensity, "curve": as_curve}
    setattr(line, name, readers[name](value) if name in readers else value or None)
    return True


def _is_emotion(word: str) -> bool:
    if word.casefold() == AUTO:
        return True
    try:
        names.canonical(word)
    except InputError:
        return False
    return True


def _inherit(first: Line, heir: Line) -> None:
    """Give what stood before the first speaker to that speaker."""
    heir.unspoken[:0] = first.unspoken
    for name in ("emotion", "intensity", "instruction", "curve"):
        if not getattr(heir, name):
            setattr(heir, name, getattr(first, name))


def share_ms(start_ms: int, end_ms: int, texts: Iterable[str]) -> list[tuple[int, int]]:
    """Split a cue's time among its speakers in proportion to what they say."""
    from emovoice.timing import allot

    weights = [max(1, len(text)) for text in texts]
    if end_ms <= start_ms:
        return [(start_ms, end_ms)] * len(weights)
    spans, at_ms = [], start_ms
    for share in allot(end_ms - start_ms, weights):
        spans.append((at_ms, at_ms + share))
        at_ms += share
    return spans
