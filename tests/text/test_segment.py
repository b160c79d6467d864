from itertools import chain

from emovoice.text import segment
from emovoice.text.characters import PAUSE_MARK
from emovoice.text.g2p import Token


def words(text: str) -> list[Token]:
    """Tokens whose phonemes are their letters."""
    return [Token(word, word, True) for word in text.split()]


def texts(parts: list[list[Token]]) -> list[str]:
    return [" ".join(token.text for token in part) for part in parts]


def test_sentence_ends() -> None:
    text = 'One. Two! "Three?" Four… five… Six "seven." Eight (nine.) Ten'
    assert segment.split(text) == [
        "One.", "Two!", '"Three?"', "Four… five…", 'Six "seven."', "Eight (nine.)", "Ten",
    ]  # fmt: skip


def test_quoted_speech_goes_on_in_small_letters() -> None:
    assert segment.split('"Stop!" he said. "Why?" she asked.') == ['"Stop!" he said.', '"Why?" she asked.']


def test_paragraphs_end_sentences() -> None:
    assert segment.split("One\n\nTwo") == ["One", "Two"]


def test_a_pause_stays_with_the_sentence_before_it() -> None:
    mark = PAUSE_MARK
    assert segment.split(f"{mark} One. {mark} Two.\n\n{mark}\n\nThree.") == [
        f"{mark} One. {mark}", f"Two. {mark}", "Three.",
    ]  # fmt: skip


def test_long_sentences_are_cut_at_clause_borders() -> None:
    tokens = words("aaaa bbbb, cccc dddd, eeee ffff gggg")
    parts = segment.fit(tokens, 25)
    assert texts(parts) == ["aaaa bbbb, cccc dddd,", "eeee ffff gggg"]


def test_without_clauses_they_are_cut_at_spaces_into_equal_parts() -> None:
    parts = segment.fit(words("aaa " * 100), 50)
    assert [*chain.from_iterable(parts)] == words("aaa " * 100)
    assert all(30 <= segment.length(part) <= 50 for part in parts)


def test_a_word_is_never_cut() -> None:
    tokens = [*words("a"), Token("x" * 60, "x" * 60, False), Token("-", "", False), *words("y b c")]
    parts = segment.fit(tokens, 20)
    assert [*chain.from_iterable(parts)] == tokens
    assert any("x" * 60 in text and "y" in text for text in texts(parts))


def test_short_neighbours_are_joined() -> None:
    long = "abcdefgh " * 4
    parts = [words(text) for text in ("no!", "stop!", long, "hm.", long, long, "oh.")]
    joined = texts(list(segment.join_short(parts, 12, 60)))
    long = long.strip()
    assert joined == [f"no! stop! {long} hm.", long, f"{long} oh."]


def test_joining_keeps_within_the_limit_and_adds_a_space() -> None:
    parts = [[Token("ab.", "ab.", False)] for _ in range(50)]
    joined = list(segment.join_short(parts, 12, 30))
    assert all(segment.length(part) <= 30 for part in joined)
    assert texts(joined)[0].startswith("ab. ab.")
    assert joined[0][0].space


def test_pauses_index_the_phoneme_before_them() -> None:
    pause = Token("", PAUSE_MARK, True)
    tokens = [pause, *words("ab"), pause, pause, Token("cd", "cd", False), pause]
    sentence = segment.build(tokens, iter([1.0, 0.25, 0.25, 2.0]))
    assert sentence.phonemes == "ab cd"
    assert sentence.text == "ab cd"
    assert sentence.pauses == ((-1, 1.0), (2, 0.5), (4, 2.0))
