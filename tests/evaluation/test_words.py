"""Word error rate."""

import importlib.util

import pytest

from emovoice.evaluation.words import errors, words


def as_is(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don’t stop -- now!", ("don't", "stop", "now")),
        ("“Well,” she said; 'no'.", ("well", "she", "said", "no")),
        ("A twenty-five-year-old", ("a", "twenty", "five", "year", "old")),
        ("colour and color", ("colour", "and", "color")),
        ("rock & roll", ("rock", "and", "roll")),
        ("the dogs' bowls", ("the", "dogs", "bowls")),
        ("...", ()),
        ("", ()),
    ],
)
def test_words(text: str, expected: tuple[str, ...]) -> None:
    assert words(text, as_is) == expected


def test_numbers_are_read_before_they_are_compared() -> None:
    assert words("Take 2!", lambda text: text.replace("2", "two")) == ("take", "two")


@pytest.mark.skipif(
    importlib.util.find_spec("emovoice.text.normalise") is None, reason="the text normaliser is not there"
)
@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("She paid $25 for it.", "She paid twenty-five dollars for it."),
        ("In 1998 he left.", "In nineteen ninety-eight he left."),
        ("Mr. Smith came 2nd.", "Mister Smith came second."),
    ],
)
def test_what_a_recogniser_writes_in_figures_counts_as_said(written: str, said: str) -> None:
    assert errors(words(said), words(written)) == 0


@pytest.mark.parametrize(
    ("expected", "heard", "wrong"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),
        ("a b c", "a c", 1),
        ("a b c", "a b b c", 1),
        ("a b c", "", 3),
        ("", "a b", 2),
        ("the birch canoe slid", "the birch can you slid", 2),
        ("a b c d", "b c d a", 2),
    ],
)
def test_errors(expected: str, heard: str, wrong: int) -> None:
    assert errors(expected.split(), heard.split()) == wrong
