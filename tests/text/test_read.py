import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emovoice.errors import InputError
from emovoice.text import read, segment
from emovoice.text.normalise import normalise
from emovoice.text.symbols import CONSONANTS, VOWELS, decode, encode

STORY = (
    "It was the best of times, it was the worst of times; Dr. Brown paid $5.50 at 3:30 p.m. for 12 zorblings!"
    ' "Why?" she asked. It rained. '
)
FRAGMENTS = [
    *"""Dr. St. U.S. p.m. 3:30 $5.50 1/2 ½ 1990s '80s Henry VIII Chapter IV 555-1234 10-20% 5km 20°C e.g.
    etc. No. 5 I'm dogs' 'tis -- — – ... … ?! !!! ( ) [ ] { } < > <a|b <a|æ> [pause:1s]
    [pause:0.2s] & @ # a@b.com http://x.y/z *so* _so_ NASA STOP Nooo hmm zorbling Hello, world.
    Yes? no; well: café 你好 Привет 😀 € £ J. K. Rowling + = / \\ | ^ ~ ` " ' “ ” ‘ ’ 007 1,234 1.2.3
    2021-03-05 3/4/2021 MP3 and/or - -5 x y I A the of
    """.split(),
    "\n", "\n\n", "\t", "",
]  # fmt: skip
SIGNS = "abcXYZ .,!?;:-–—'\"()[]{}<>|/\\@#$%^&*+=_~`0123456789 \n…“”‘’éЖ你😀\u200b\ue000\ue001\x07½€°² "


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n ",
        "...",
        "?!",
        "😀",
        "[pause:1s]",
        "'",
        "—",
        "\x00",
        "\u200b",
        "()",
        "* * *",
        "[pause:1s]\n\n…",
    ],
)
def test_nothing_to_say_is_an_error(text: str) -> None:
    with pytest.raises(InputError):
        read(text)


def test_wrong_arguments_are_errors() -> None:
    with pytest.raises(InputError, match="accent"):
        read("Hello.", accent="fr")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="string"):
        read(b"Hello.")  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["a", "I", "5", "x", "½", "&", "$", "你", "<a|æ>", "no"])
def test_the_shortest_texts_are_spoken(text: str) -> None:
    assert len(read(text).sentences) == 1


def test_pauses_land_where_they_were_written() -> None:
    reading = read("[pause:1s]Wait [pause:0.4s] here for me. [pause:400ms] [pause:1s] Now, we can go on.")
    first, second = reading.sentences
    assert first.phonemes == "wˈAt hˈɪɹ fɔɹ mˌi."
    assert first.pauses == ((-1, 1.0), (4, 0.4), (len(first.phonemes) - 1, 1.4))
    assert second.pauses == ()


def test_pauses_and_words_keep_their_order_over_sentences() -> None:
    text = " ".join(f"This is <number|nˈʌmbəɹ> for sentence [pause:{n}ms] and so on." for n in range(1, 60))
    sentences = read(text).sentences
    seconds = [seconds for sentence in sentences for _, seconds in sentence.pauses]
    assert seconds == pytest.approx([n / 1000 for n in range(1, 60)])
    assert sum(sentence.phonemes.count("nˈʌmbəɹ") for sentence in sentences) == 59


def test_long_sentences_are_cut_and_no_word_is_lost() -> None:
    text = "we walked along the river, " * 60 + "and then we slept."
    sentences = read(text).sentences
    assert len(sentences) > 5
    assert " ".join(sentence.text for sentence in sentences) == text
    assert all(segment.LONGEST / 3 < len(sentence.phonemes) <= segment.LONGEST for sentence in sentences)


def test_short_sentences_are_joined() -> None:
    assert [sentence.text for sentence in read("No! Stop! Go away! I mean it, all of you.").sentences] == [
        "No! Stop! Go away!", "I mean it, all of you.",
    ]  # fmt: skip


def test_warnings_come_with_the_reading() -> None:
    assert "😀" in read("Hi 😀").warnings[0]
    assert read("Hi.").warnings == ()


def test_a_hundred_thousand_characters() -> None:
    def seconds(size: int) -> float:
        start = time.process_time()
        reading = read((STORY * 1000)[:size])
        assert max(len(sentence.phonemes) for sentence in reading.sentences) <= segment.LONGEST
        return time.process_time() - start

    seconds(1000)
    small, large = seconds(10_000), seconds(100_000)
    assert large < 8
    assert large < 25 * small + 0.5


@pytest.mark.parametrize(
    "unit", ["<", "# ", "a.", "''a", "½", "[pause:", "(", "!?", " ", "1-", "a@", "*a", "—", "I "]
)
def test_odd_texts_take_linear_time(unit: str) -> None:
    text = "Hello. " + unit * (4000 // len(unit))
    start = time.process_time()
    assert read(text).sentences
    assert time.process_time() - start < 3


def _check(text: str, british: bool) -> None:
    once = normalise(text, british=british).text
    assert normalise(once, british=british).text == once
    try:
        reading = read(text, accent="gb" if british else "us")
    except InputError:
        return
    assert reading.sentences
    for sentence in reading.sentences:
        assert decode(encode(sentence.phonemes)) == sentence.phonemes
        assert set(sentence.phonemes) & set(VOWELS + CONSONANTS)
        assert sentence.phonemes == " ".join(sentence.phonemes.split())
        assert len(sentence.phonemes) <= segment.LONGEST
        places = [at for at, _ in sentence.pauses]
        assert places == sorted(set(places))
        assert all(-1 <= at < len(sentence.phonemes) for at in places)


def test_fragments_in_any_order() -> None:
    chance = random.Random(7)
    for number in range(400):
        glue = chance.choice([" ", " ", " ", ""])
        _check(glue.join(chance.choices(FRAGMENTS, k=chance.randint(1, 12))), british=number % 3 == 0)


def test_signs_in_any_order() -> None:
    chance = random.Random(8)
    for number in range(400):
        _check("".join(chance.choices(SIGNS, k=chance.randint(1, 40))), british=number % 3 == 0)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.text(max_size=60), st.booleans())
def test_any_unicode(text: str, british: bool) -> None:
    _check(text, british)
