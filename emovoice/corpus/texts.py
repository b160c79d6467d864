"""The texts of the corpus: own lines, WordNet's example sentences, and joins of both.

``python -m emovoice.corpus.texts --wordnet DIR --out FILE`` writes the frozen list ``texts.tsv``
and, beside it, ``held_out.json``. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

DEBIAN_WORDNET = "/usr/share/wordnet"
OWN_KINDS = ("dialogue", "narration", "question", "exclamation", "numbers", "long")
KINDS = (*OWN_KINDS, "wordnet", "multi")
HELD_OUT_VOICES = ("af_kore", "am_eric", "bf_lily", "am_onyx")
HELD_OUT_INTENSITY = (0.45, 0.55)

_SEED = 20240607
_WORDNET_COUNT = 7200
_MULTI_COUNT = 640
# At most this many WordNet items begin with the same two words, so that "He was ..." does not rule.
_SAME_OPENING = 45


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FILES = ("data.noun", "data.verb", "data.adj", "data.adv")
# An example is a quoted part of the gloss. One followed by a dash is a quotation of a named
# author, which is not WordNet's own text, so it is left out.
_EXAMPLE = re.compile(r'"([^"]*)"(?!\s*-)')
_PLAIN = re.compile(r"[A-Za-z][A-Za-z ,.;:!?'-]*[A-Za-z.!?]")
_ODD = re.compile(
    r"--|\.\.|\.[A-Za-z]|\b[A-Z]{2,}\b|\s'|'[\s,.;:!?]|'$|\s[,.;:!?]|\s-|-\s|[,;:][A-Za-z]"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_OPEN_ENDS = _words("a an the and or my your our their of")
_DENIED = re.compile(
    r"\b(nigg\w*|negro\w*|dark(?:y|ies)|coons?|kikes?|yids?|spics?|wops?|dagos?|gooks?|chinks?|japs?|wogs?"
    r"|squaws?|redskins?|gyps\w*|gypped|fag\w*|dykes?|queers?|trann\w*|retard\w*|cripples?|mongoloid\w*"
    r"|half-breeds?|savages|jew(?:s|ed)?|cunt\w*|fuck\w*|shit\w*|bitch\w*|whor\w*|sluts?|pussy|cocks?"
    r"|screwed|humped|laid\sher|rap(?:e|ed|es|ist|ists)|sex\w*|masturbat\w*|ejaculat\w*|penis\w*|vagina\w*"
    r"|breasts?|tits?|molest\w*|incest\w*|prostitut\w*|porn\w*|turds?|piss\w*|muslim\w*|islam\w*|nazi\w*|terroris\w*|suicid\w*|semen|lust|bastards?|naked)\b",
    re.IGNORECASE,
)
_SUBJECTS = _words("i you he she it we they there everyone everybody someone somebody nobody")
_QUESTION_STARTS = _words(
    "who whom whose what when where why how which is are was were do does did can could will would shall "
    "should may might must have has had"
)
_FINITE = _words(
    "is are was were am has have had do does did will would can could shall should may might must won't "
    "can't couldn't don't doesn't didn't isn't wasn't it's he's she's i'm they're we're you're made went "
    "came took gave got said told saw found left kept felt ran fell broke held led met lost grew knew "
    "thought brought became began wrote spoke stood sent built"
)
_NOUN_STARTS = _words(
    "the a an this that these those his her my our their your its all some many most several no every each both"
)


@dataclass(frozen=True)
class Line:
    """One text of the corpus.

    kind: one of ``KINDS``; text: ASCII English, one or more sentences on a single line.
    """

    kind: str
    text: str


def _data_text(name: str) -> str:
    """The content of a file of ``emovoice/corpus/data``."""
    return resources.files("emovoice.corpus").joinpath("data", name).read_text(encoding="ascii")


def parse_lines(content: str) -> list[Line]:
    """Read ``kind<TAB>text`` lines. Raises ValueError for a bad line or an unknown kind."""
    lines = []
    for number, row in enumerate(content.splitlines(), start=1):
        kind, tab, text = row.partition("\t")
        if not tab or kind not in KINDS or not text.strip() or "\t" in text:
            raise ValueError(f"line {number} is not kind<TAB>text: {row!r}")
        lines.append(Line(kind, text))
    return lines


def format_lines(lines: Iterable[Line]) -> str:
    """The inverse of :func:`parse_lines`."""
    return "".join(f"{line.kind}\t{line.text}\n" for line in lines)


def own_lines() -> list[Line]:
    """The lines the authors wrote themselves (``data/lines.txt``), in file order."""
    return parse_lines(_data_text("lines.txt"))


def load_texts(path: str | Path) -> list[Line]:
    """The frozen list at ``path``. Raises OSError if unreadable, ValueError if malformed."""
    return parse_lines(Path(path).read_text(encoding="ascii"))


def normalise(text: str) -> str:
    """Lower-case words separated by single spaces, framed by spaces, for whole-word substring tests."""
    return " " + " ".join(re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower())) + " "


def sentences(text: str) -> list[str]:
    """Split at whitespace that follows a full stop, an exclamation mark or a question mark."""
    return _SENTENCE_END.split(text)


def _is_natural(example: str) -> bool:
    """Whether a raw example is plain, complete, inoffensive and 4 to 25 words long."""
    words = example.split()
    return (
        4 <= len(words) <= 25
        and _PLAIN.fullmatch(example) is not None
        and _ODD.search(example) is None
        and _DENIED.search(example) is None
        and words[-1].lower() not in _OPEN_ENDS
        and (words[0].lower() not in _QUESTION_STARTS or example.endswith("?"))
    )


def wordnet_examples(dict_folder: str | Path) -> Iterator[str]:
    """Natural-looking example sentences of WordNet, capitalised, with final punctuation, all different.

    dict_folder: folder with data.noun, data.verb, data.adj and data.adv (Debian's wordnet-base).
    Raises OSError if one of them cannot be read.
    """
    seen: set[str] = set()
    for name in _FILES:
        content = (Path(dict_folder) / name).read_text(encoding="latin-1")
        for row in content.splitlines():
            _, _, gloss = row.partition("|")
            for raw in _EXAMPLE.findall(gloss):
                example = " ".join(raw.split())
                if not _is_natural(example):
                    continue
                text = example[0].upper() + example[1:]
                text = re.sub(r"\bi(?=\b|')", "I", text) if " i " in text else text
                text += "" if text[-1] in ".!?" else "."
                if normalise(text) not in seen:
                    seen.add(normalise(text))
                    yield text


def _sentence_rank(text: str) -> int:
    """0: surely subject and verb; 1: probably; 2: perhaps a command; 3: probably a fragment."""
    words = [word.strip(",.;:!?").lower() for word in text.split()]
    finite = any(word in _FINITE or word.endswith("n't") for word in words[1:])
    fits = 5 <= len(words) <= 20
    if fits and (words[0].split("'")[0] in _SUBJECTS or text.endswith("?")):
        return 0
    if fits and words[0] in _NOUN_STARTS and finite:
        return 0
    if fits and (finite or any(word.endswith("ed") for word in words[2:])):
        return 1
    return 3 if words[0] in _NOUN_STARTS or len(words) < 5 else 2


def best_examples(examples: Iterable[str], count: int, rng: random.Random) -> list[str]:
    """Up to ``count`` examples: full sentences first, few of them with the same first two words."""
    pool = list(examples)
    rng.shuffle(pool)
    pool.sort(key=_sentence_rank)
    openings: Counter[str] = Counter()
    chosen: list[str] = []
    for text in pool:
        opening = " ".join(text.lower().split()[:2])
        if openings[opening] < _SAME_OPENING and len(chosen) < count:
            openings[opening] += 1
            chosen.append(text)
    return chosen


def multi_sentence(lines: Sequence[Line], rng: random.Random) -> Line:
    """Join two or three different short lines (at most 10 words each) into one item.

    Raises ValueError when fewer than three lines are short enough.
    """
    short = [line.text for line in lines if line.text.count(" ") < 10]
    return Line("multi", " ".join(rng.sample(short, rng.choice((2, 2, 3)))))


def _take(
    lines: list[Line], count: int, wanted: Callable[[Line], bool], rng: random.Random
) -> list[Line]:
    """Remove ``count`` random lines that are ``wanted`` from ``lines`` and return them."""
    chosen = rng.sample([line for line in lines if wanted(line)], count)
    for line in chosen:
        lines.remove(line)
    return chosen


def _held_out(lines: list[Line], rng: random.Random) -> list[Line]:
    """Take 200 texts of 6 to 25 words out of ``lines``: 100 own, 60 of WordNet, 40 of two sentences."""

    def fits(line: Line, kinds: Sequence[str], count: int) -> bool:
        words = line.text.count(" ") + 1
        return line.kind in kinds and 6 <= words <= 25 and len(sentences(line.text)) == count

    own = _take(lines, 100, lambda line: fits(line, OWN_KINDS[:5], 1), rng)
    wordnet = _take(
        lines, 60, lambda line: fits(line, ("wordnet",), 1) and not _sentence_rank(line.text), rng
    )
    long = _take(lines, 20, lambda line: fits(line, ("long",), 2), rng)
    parts = _take(
        lines, 40, lambda line: fits(line, ("wordnet",), 1) and line.text.count(" ") < 12, rng
    )
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return own + wordnet + long + [Line("multi", f"{a.text} {b.text}") for a, b in pairs]


def overlaps(training: Iterable[Line], held_out: Iterable[str]) -> list[Line]:
    """The training lines that contain a held-out text or one of its sentences, or lie inside one.

    Sentences of fewer than four words ("Jump!") are common property and do not count by themselves.
    """
    wholes = [normalise(text) for text in held_out]
    parts = {normalise(part) for whole in held_out for part in sentences(whole)}
    needles = {*wholes, *(part for part in parts if part.count(" ") >= 5)}
    haystack = "\n".join(wholes)
    return [
        line
        for line in training
        if (text := normalise(line.text)) in haystack or any(needle in text for needle in needles)
    ]


def build(dict_folder: str | Path) -> tuple[list[Line], list[str]]:
    """The training texts and the 200 held-out texts; the same files give the same result."""
    rng = random.Random(_SEED)
    own = own_lines()
    taken = {normalise(line.text) for line in own}
    fresh = (text for text in wordnet_examples(dict_folder) if normalise(text) not in taken)
    examples = [Line("wordnet", text) for text in best_examples(fresh, _WORDNET_COUNT, rng)]
    lines = own + examples
    held_out = [line.text for line in _held_out(lines, rng)]
    clashing = set(overlaps(lines, held_out))
    lines = [line for line in lines if line not in clashing]
    joined: dict[str, Line] = {}
    while len(joined) < _MULTI_COUNT:
        line = multi_sentence(lines, rng)
        joined.setdefault(normalise(line.text), line)
    return lines + list(joined.values()), held_out


def main(argv: Sequence[str] | None = None) -> int:
    """Write texts.tsv and held_out.json."""
    parser = argparse.ArgumentParser(description="Write the frozen texts of the corpus.")
    parser.add_argument(
        "--wordnet", type=Path, default=Path(DEBIAN_WORDNET), help="folder of WordNet's data files"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="texts.tsv; held_out.json is written beside it"
    )
    args = parser.parse_args(argv)
    training, held_out = build(args.wordnet)
    record = {
        "texts": held_out,
        "voices": list(HELD_OUT_VOICES),
        "intensity": list(HELD_OUT_INTENSITY),
    }
    args.out.write_text(format_lines(training), encoding="ascii", newline="\n")
    args.out.with_name("held_out.json").write_text(
        json.dumps(record, indent=1) + "\n", encoding="ascii", newline="\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
