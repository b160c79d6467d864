"""Properties of the frozen texts and of the functions that made them."""

from __future__ import annotations

import json
import random
from importlib import resources
from pathlib import Path

import pytest

from emovoice.corpus import texts

DATA = Path(str(resources.files("emovoice.corpus").joinpath("data")))
FOLDER = Path(texts.DEBIAN_WORDNET)


@pytest.fixture(scope="module")
def training() -> list[texts.Line]:
    return texts.load_texts(DATA / "texts.tsv")


@pytest.fixture(scope="module")
def held_out() -> dict[str, list]:
    return json.loads((DATA / "held_out.json").read_text(encoding="ascii"))


def _folder(path: Path, *glosses: str) -> Path:
    """A dictionary folder whose nouns have these glosses."""
    for name in ("data.noun", "data.verb", "data.adj", "data.adv"):
        (path / name).write_text("  1 a licence text\n", encoding="latin-1")
    rows = [f"00001740 03 n 01 entity 0 000 | {gloss}  \n" for gloss in glosses]
    (path / "data.noun").write_text("".join(rows), encoding="latin-1")
    return path


def test_own_lines_are_many_different_and_of_fair_length() -> None:
    lines = texts.own_lines()
    assert len(lines) >= 1000
    assert len({texts.normalise(line.text) for line in lines}) == len(lines)
    assert {line.kind for line in lines} == set(texts.OWN_KINDS)
    assert all(4 <= len(line.text.split()) <= 30 for line in lines)
    assert all(len(texts.sentences(line.text)) in (2, 3) for line in lines if line.kind == "long")


def test_own_lines_use_plain_punctuation_only() -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyz .,!?;:'\"-")
    assert all(set(line.text.lower()) <= allowed for line in texts.own_lines())


def test_training_texts_are_many_different_and_ascii(training: list[texts.Line]) -> None:
    assert len(training) >= 8000
    assert len({texts.normalise(line.text) for line in training}) == len(training)
    assert {line.kind for line in training} == set(texts.KINDS)
    assert all(
        line.text.isascii() and line.text == " ".join(line.text.split()) for line in training
    )
    assert not any(character.isdigit() for line in training for character in line.text)
    assert all(line.text.rstrip('"')[-1] in ".!?" for line in training)


def test_no_two_words_open_too_many_wordnet_items(training: list[texts.Line]) -> None:
    openings = [tuple(line.text.lower().split()[:2]) for line in training if line.kind == "wordnet"]
    assert max(openings.count(opening) for opening in set(openings)) <= 45


def test_held_out_texts_have_the_agreed_shape(held_out: dict[str, list]) -> None:
    items = held_out["texts"]
    assert len({texts.normalise(item) for item in items}) == len(items) == 200
    assert all(6 <= len(item.split()) <= 25 for item in items)
    assert sum(len(texts.sentences(item)) == 2 for item in items) == 40
    assert held_out["voices"] == ["af_kore", "am_eric", "bf_lily", "am_onyx"]
    assert held_out["intensity"] == [0.45, 0.55]


def test_held_out_texts_are_nowhere_in_training(
    training: list[texts.Line], held_out: dict[str, list]
) -> None:
    assert texts.overlaps(training, held_out["texts"]) == []
    spoken = {texts.normalise(part) for line in training for part in texts.sentences(line.text)}
    assert not spoken & {texts.normalise(item) for item in held_out["texts"]}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("Good day. The cat sat on the mat! Bye.", True),
        ("the cat SAT on the mat", True),
        ("Sat on the mat.", True),
        ("The cat sat on the matter.", False),
        ("A wholly different thing.", False),
    ],
)
def test_overlaps_sees_held_out_text_in_both_directions(line: str, found: bool) -> None:
    training = [texts.Line("multi", line)]
    assert (
        bool(texts.overlaps(training, ["The cat sat on the mat. Then the old dog came."])) is found
    )


def test_lines_survive_writing_and_reading(training: list[texts.Line]) -> None:
    assert texts.parse_lines(texts.format_lines(training)) == training


@pytest.mark.parametrize(
    "row", ["no tab here", "verse\tAn unknown kind.", "long\t ", "long\tTwo\ttabs."]
)
def test_a_malformed_line_is_refused_with_its_number(row: str) -> None:
    with pytest.raises(ValueError, match="line 2 "):
        texts.parse_lines(f"long\tA good line.\n{row}\n")


def test_examples_are_cleaned(tmp_path: Path) -> None:
    folder = _folder(
        tmp_path,
        'a thing; "the dog barked at night"; "is it far from here?"',
        'x; "she  came home, I think!"',
    )
    assert list(texts.wordnet_examples(folder)) == [
        "The dog barked at night.",
        "Is it far from here?",
        "She came home, I think!",
    ]


@pytest.mark.parametrize(
    "example",
    [
        "too few words",
        "he was born in 1952 in Rome",
        "he said (twice) that he knew",
        "she said 'no' to the man",
        "they walked... and then they ran",
        "he went to the UNESCO meeting",
        "we waited for the",
        "what he wanted was a rest",
        "he ate at the caf\xe9 again",
        "you are such a bitch today",
        "a " * 26 + "dog",
    ],
)
def test_unfit_examples_are_left_out(tmp_path: Path, example: str) -> None:
    assert list(texts.wordnet_examples(_folder(tmp_path, f'a thing; "{example}"'))) == []


def test_quotations_of_authors_and_repeats_are_left_out(tmp_path: Path) -> None:
    folder = _folder(
        tmp_path, 'x; "a man of many words"- A. Poet', 'y; "he ran all day"; "He ran all day."'
    )
    assert list(texts.wordnet_examples(folder)) == ["He ran all day."]


def test_missing_dictionary_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(texts.wordnet_examples(tmp_path))


def test_best_examples_prefers_sentences_to_fragments() -> None:
    pool = [
        "a bitter taste of something",
        "She opened the door quietly.",
        "the very best of friends",
    ]
    assert texts.best_examples(pool, 1, random.Random(1)) == ["She opened the door quietly."]


def test_multi_sentence_joins_two_or_three_different_short_lines() -> None:
    lines = texts.own_lines()
    known = {line.text for line in lines}
    for seed in range(20):
        joined = texts.multi_sentence(
            [line for line in lines if line.kind == "dialogue"], random.Random(seed)
        )
        parts = texts.sentences(joined.text)
        assert joined.kind == "multi"
        assert 2 <= len(parts) == len(set(parts)) <= 3
        assert known.issuperset(parts)


@pytest.mark.skipif(
    not (FOLDER / "data.noun").is_file(), reason="WordNet's data files are not installed"
)
def test_the_command_reproduces_the_frozen_files(tmp_path: Path) -> None:
    assert texts.main(["--wordnet", str(FOLDER), "--out", str(tmp_path / "texts.tsv")]) == 0
    for name in ("texts.tsv", "held_out.json"):
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes()
