import pytest

from emovoice.errors import InputError
from emovoice.text import markup, read
from emovoice.text.characters import PAUSE_MARK, WORD_MARK


def test_marks_become_single_characters() -> None:
    marked = markup.parse("A [pause:0.4s] <Nguyen|W IH1 N>[pause: 400 ms]!")
    assert marked.text == f"A {PAUSE_MARK} {WORD_MARK}{PAUSE_MARK}!"
    assert marked.pauses_s == (0.4, 0.4)
    assert marked.words == (("Nguyen", "wˈɪn"),)


@pytest.mark.parametrize(
    ("written", "seconds"), [("0s", 0), ("10s", 10), (".5s", 0.5), ("1.5S", 1.5), ("10000ms", 10), ("2 s", 2)]
)
def test_pause_lengths(written: str, seconds: float) -> None:
    assert markup.parse(f"[pause:{written}]").pauses_s == (seconds,)


@pytest.mark.parametrize(
    "written", ["", "1", "-1s", "10.1s", "10001ms", "1m", "nans", "infs", "1e1s", "1,5s", "abc"]
)
def test_bad_pauses_are_named(written: str) -> None:
    with pytest.raises(InputError) as caught:
        read(f"Hello [pause:{written}] there.")
    assert f"[pause:{written}]" in str(caught.value)


@pytest.mark.parametrize(
    ("written", "us", "gb"),
    [
        ("M IH1 N AH0 T", "mˈɪnət", "mˈɪnət"),
        ("HH AH0 L OW1", "həlˈO", "həlˈQ"),
        ("B ER1 D", "bˈɜɹd", "bˈɜːd"),
        ("G OW2 IY0", "ɡˌOi", "ɡˌQi"),
        ("S AY K", "sIk", "sIk"),
        ("həlˈO", "həlˈO", "həlˈO"),
        ("ˈkæt", "ˈkæt", "ˈkæt"),
        ("dʒʌdʒ", "ʤʌʤ", "ʤʌʤ"),
        ("naɪt", "nIt", "nIt"),
        ("greɪt", "ɡɹAt", "ɡɹAt"),
        ("tu wˈʌn", "tu wˈʌn", "tu wˈʌn"),
        ("ʃ", "ʃ", "ʃ"),
    ],
)
def test_pronunciations(written: str, us: str, gb: str) -> None:
    assert markup.phonemes(written, "us") == us
    assert markup.phonemes(written, "gb") == gb


@pytest.mark.parametrize("written", ["", " ", "ˈ", "x$y", "ж", "a.b", "M9 IH1", "N IH1 QQ", "M1 IH1", "həl3"])
def test_bad_pronunciations_are_named(written: str) -> None:
    with pytest.raises(InputError) as caught:
        read(f"The <word|{written}> here.")
    assert "phonemes" in str(caught.value)
    assert caught.value.value == " ".join(written.split())


@pytest.mark.parametrize(
    "prose",
    ["[laughs] Hello", "[pause] Hello", "a < b | c > d", "<b>bold</b>", "<3 you", "[1] {x} (y)", "[pause:1s"],
)
def test_other_brackets_are_prose(prose: str) -> None:
    marked = markup.parse(prose)
    assert marked == (prose, (), ())
    assert read(prose).sentences


def test_given_marks_cannot_be_smuggled_in() -> None:
    reading = read(f"Hello {PAUSE_MARK}{WORD_MARK} there.")
    assert reading.sentences[0].pauses == ()
    assert reading.warnings


def test_square_brackets_do_not_reach_the_markup_of_the_g2p() -> None:
    assert "zzz" not in read("[word](/zzz/) here.").sentences[0].phonemes
