"""The project's own examples of instructions and lines: hand-written material, and what is made of it.

A material file holds families of phrases. One family is in one split, and no phrase or frame is in two, so that the
test asks for wording that training has not seen.

    ## weather and landscape | train          a family and its split
    > {x}                                     a frame; {x} is a phrase, {y} another one, {p} a person
    > 2:1 mostly {x}, a little {y}            votes of {x} count double
    > *0.5 slightly {x}                       intensity is multiplied
    hhu8: a bolt of luck / a rainbow          votes, intensity in tenths, phrases

The votes are letters of `LETTERS`; a label is the share of each (soft label p = n_c / sum n, all votes kept). One
author gave them.
"""

from __future__ import annotations

import random
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, NamedTuple, get_args

from emovoice.emotion.names import EMOTIONS

Kind = Literal["instruction", "line"]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

LETTERS = dict(zip("hasfdmuc", EMOTIONS, strict=True))
"""h happy, a angry, s sad, f afraid, d disgusted, m melancholic, u surprised, c calm."""

VARIANTS: dict[Kind, int] = {"instruction": 2, "line": 3}
"""Examples made of each phrase."""

_FILES: dict[Kind, tuple[str, ...]] = {
    "instruction": (*(f"instructions_train_{part}.txt" for part in (1, 2, 3, 4)), "instructions_held_out.txt"),
    "line": (*(f"lines_train_{part}.txt" for part in (1, 2, 3)), "lines_held_out.txt"),
}
DATA = files("emovoice.emotion") / "data"
_GROUP = re.compile(r"([hasfdmuc]+)([1-9]): (.+)\Z")
_FRAME = re.compile(r"> (?:(?P<ratio>[1-9]:[1-9]) |\*(?P<factor>[\d.]+) )?(?P<text>.+)\Z")
_PERSONS = ("she", "he", "the speaker", "the old man", "this woman", "the girl", "the captain", "Anna", "Tom")
_ADDRESS = ("Listen.", "Well.", "Look.", "Anna!", "You know what?", "Tom.", "Hey.", "I tell you.", "So.")
_AFTER = ("said the man.", "she said.", "he said.", "said Anna.", "the woman said.", "said the boy.")


class Phrase(NamedTuple):
    """Something that was written by hand, with its votes and its intensity 0..1."""

    text: str
    votes: str
    intensity: float


@dataclass(frozen=True)
class Frame:
    """A sentence around phrases: "mostly {x}, a little {y}" counts the votes of x and y as `ratio`."""

    text: str
    ratio: tuple[int, int] = (1, 1)
    factor: float = 1.0


@dataclass(frozen=True)
class Family:
    """Phrases of one manner of wording or one scene, all in one split."""

    name: str
    split: Split
    frames: tuple[Frame, ...]
    phrases: tuple[Phrase, ...]


@dataclass(frozen=True)
class Example:
    """One labelled text.

    Attributes:
        text: the instruction or line.
        shares: (8,) soft label in the order of `EMOTIONS`, adds up to 1.
        intensity: 0..1.
        family: where its wording comes from.
        split: train, validation or test.
    """

    text: str
    shares: tuple[float, ...]
    intensity: float
    family: str
    split: Split


class Exchange(NamedTuple):
    """A line that means little by itself, and what was said before it."""

    before: tuple[str, ...]
    text: str
    shares: tuple[float, ...]
    intensity: float
    split: Split


def shares_of(votes: str) -> tuple[float, ...]:
    """Votes such as "aas" as shares over the eight emotions."""
    counts = Counter(votes)
    return tuple(counts[letter] / len(votes) for letter in LETTERS)


def families(kind: Kind) -> list[Family]:
    """The hand-written material. Raises ValueError naming a line that is not as described above."""
    return [family for name in _FILES[kind] for family in parse((DATA / "material" / name).read_text("utf-8"))]


def parse(text: str) -> list[Family]:
    """The families of a material file."""
    found: list[Family] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("# "):
            continue
        if line.startswith("## "):
            name, _, split = line[3:].partition(" | ")
            if split not in SPLITS:
                raise ValueError(f"line {number}: no such split: {split!r}")
            found.append(Family(name, split, (), ()))
        elif not found:
            raise ValueError(f"line {number}: before the first family")
        else:
            found[-1] = _with(found[-1], line, number)
    return found


def examples(kind: Kind) -> list[Example]:
    """All examples, made of the material anew; equal every time. What `emovoice words build` writes."""
    made: list[Example] = []
    for family in families(kind):
        seen: set[str] = set()
        for example in _instructions(family) if kind == "instruction" else _lines(family):
            if example.text not in seen:
                seen.add(example.text)
                made.append(example)
    return made


def table(kind: Kind) -> str:
    """The examples as tab-separated text: split, family, shares in the order of the eight, intensity, text."""
    rows = ["\t".join(("split", "family", "votes", "intensity", "text"))]
    for example in examples(kind):
        shares = " ".join(f"{share:.4g}" for share in example.shares)
        rows.append("\t".join((example.split, example.family, shares, f"{example.intensity:.2f}", example.text)))
    return "\n".join(rows) + "\n"


def load(kind: Kind, *splits: Split) -> list[Example]:
    """The shipped examples of some splits, all if none are named."""
    text = (DATA / f"{kind}s.tsv").read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines()[1:])
    wanted = set(splits or SPLITS)
    return [
        Example(row[4], _normalised(row[2]), float(row[3]), row[1], _split(row[0])) for row in rows if row[0] in wanted
    ]


def exchanges(*splits: Split) -> list[Exchange]:
    """Short dialogues with one line to judge from what came before."""
    wanted, split, found = set(splits or SPLITS), "", []
    for row in (DATA / "material" / "dialogues.txt").read_text("utf-8").splitlines():
        if row.startswith("## "):
            split = row.rpartition(" | ")[2]
        elif " => " in row and split in wanted:
            before, _, labelled = row.partition(" => ")
            match = _GROUP.match(labelled)
            if match is None:
                raise ValueError(f"no label: {row!r}")
            turns = tuple(turn.strip() for turn in before.split(" | "))
            found.append(Exchange(turns, match[3], shares_of(match[1]), int(match[2]) / 10, _split(split)))
    return found


def _with(family: Family, line: str, number: int) -> Family:
    if (group := _GROUP.match(line)) is not None:
        new = tuple(Phrase(text.strip(), group[1], int(group[2]) / 10) for text in group[3].split(" / "))
        return Family(family.name, family.split, family.frames, family.phrases + new)
    if (frame := _FRAME.match(line)) is not None:
        ratio = tuple(int(part) for part in (frame["ratio"] or "1:1").split(":"))
        new_frame = Frame(frame["text"], (ratio[0], ratio[1]), float(frame["factor"] or 1))
        return Family(family.name, family.split, (*family.frames, new_frame), family.phrases)
    raise ValueError(f"line {number}: neither family, frame nor phrases: {line!r}")


def _instructions(family: Family) -> Iterator[Example]:
    """Each phrase in `VARIANTS` different frames of its family."""
    frames = family.frames or (Frame("{x}"),)
    for phrase in family.phrases:
        rng = _rng(family, phrase)
        for frame in rng.sample(frames, min(VARIANTS["instruction"], len(frames))):
            yield _framed(family, frame, phrase, rng)


def _framed(family: Family, frame: Frame, phrase: Phrase, rng: random.Random) -> Example:
    votes, intensity, other = phrase.votes, phrase.intensity, phrase
    if "{y}" in frame.text:
        other = rng.choice([each for each in family.phrases if each.text != phrase.text])
        whole = len(phrase.votes) * len(other.votes)  # so that each phrase has one voice whatever its votes
        votes = "".join(letter * (frame.ratio[0] * whole // len(phrase.votes)) for letter in phrase.votes)
        votes += "".join(letter * (frame.ratio[1] * whole // len(other.votes)) for letter in other.votes)
        intensity = (frame.ratio[0] * intensity + frame.ratio[1] * other.intensity) / sum(frame.ratio)
    text = frame.text.format(x=phrase.text, y=other.text, p=rng.choice(_PERSONS))
    return Example(text, shares_of(votes), min(1.0, intensity * frame.factor), family.name, family.split)


def _lines(family: Family) -> Iterator[Example]:
    """Each line alone, then addressed or told, then with a neighbour of the same or of another feeling."""
    for phrase in family.phrases:
        rng = _rng(family, phrase)
        yield _line(family, phrase.text, phrase.votes, phrase.intensity)
        spoken = f"{rng.choice(_ADDRESS)} {phrase.text}"
        told = f'"{_before_tag(phrase.text)}" {rng.choice(_AFTER)}'
        narrated = "narration" in family.name
        yield _line(family, phrase.text if narrated else rng.choice((spoken, told)), phrase.votes, phrase.intensity)
        same = [each for each in family.phrases if each.votes == phrase.votes and each.text != phrase.text]
        other = rng.choice(same if same and rng.random() < 0.8 else [p for p in family.phrases if p != phrase])
        votes = phrase.votes * len(other.votes) + other.votes * len(phrase.votes)
        yield _line(family, f"{phrase.text} {other.text}", votes, (phrase.intensity + other.intensity) / 2)


def _line(family: Family, text: str, votes: str, intensity: float) -> Example:
    return Example(text, shares_of(votes), intensity, family.name, family.split)


def _before_tag(text: str) -> str:
    """A line as it stands inside quotation marks: its full stop becomes a comma."""
    return text[:-1] + "," if text.endswith(".") and not text.endswith("..") else text


def _rng(family: Family, phrase: Phrase) -> random.Random:
    return random.Random(zlib.crc32(f"{family.name}|{phrase.text}".encode()))


def _normalised(shares: str) -> tuple[float, ...]:
    values = [float(share) for share in shares.split()]
    return tuple(value / sum(values) for value in values)


def _split(name: str) -> Split:
    for split in SPLITS:
        if split == name:
            return split
    raise ValueError(f"no such split: {name!r}")


def splits_of(found: Sequence[Example]) -> dict[Split, int]:
    """How many examples each split has."""
    counts = Counter(example.split for example in found)
    return {split: counts[split] for split in SPLITS}
