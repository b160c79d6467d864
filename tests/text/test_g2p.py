import subprocess
import sys

import pytest

from emovoice.text import g2p, read
from emovoice.text.markup import Accent


def phonemes(text: str, accent: Accent = "us") -> str:
    return " ".join(sentence.phonemes for sentence in read(text, accent=accent).sentences)


@pytest.mark.parametrize(
    ("text", "us", "gb"),
    [
        ("Hello there, world!", "həlˈO ðˈɛɹ, wˈɜɹld!", "həlˈQ ðˈɛː, wˈɜːld!"),
        ("The apple, the pear.", "ði ˈæpᵊl, ðə pˈɛɹ.", "ði ˈapᵊl, ðə pˈɛː."),
        ("Water", "wˈɔTəɹ.", "wˈɔːtə."),
    ],
)
def test_dictionary_words(text: str, us: str, gb: str) -> None:
    assert phonemes(text) == us
    assert phonemes(text, "gb") == gb


def test_word_classes_tell_homographs_apart() -> None:
    assert phonemes("I read it yesterday; I will read it.").count("ɹˈɛd") == 1
    assert phonemes("A record, to record.") == "ɐ ɹˈɛkəɹd, tə ɹəkˈɔɹd."


def test_final_punctuation_is_kept() -> None:
    for mark in ".!?…:":
        assert phonemes(f"We go to the U.S{mark}").endswith(f"jˌuˈɛs{mark}")


def test_quotes_are_silent_and_brackets_are_not() -> None:
    assert phonemes('He said, "go away" (quickly).') == "hˌi sˈɛd, ɡˌO əwˈA (kwˈɪkli)."


@pytest.mark.parametrize(
    "word", ["zorbling", "Qwxv", "brfgh", "Łódź", "xkcdqrs", "aaiou", "pneumonoultramicroscopix"]
)
@pytest.mark.parametrize("accent", ["us", "gb"])
def test_unknown_words_are_never_silent(word: str, accent: Accent) -> None:
    assert len(phonemes(word, accent)) >= len(word) / 3


def test_words_longer_than_the_net_reads_are_read_to_the_end() -> None:
    word = "zorbling" * 5
    assert phonemes(word).count("zˈ") + phonemes(word).count("z") >= 5


def test_spelling_is_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    speller = g2p.Speller("us")
    monkeypatch.setattr(speller, "_ask_net", lambda letters: "")
    assert speller.tokens("zorbqux", iter(()))[0].phonemes == "zˈi ˈO ˈɑɹ bˈi kjˈu jˈu ˈɛks"


@pytest.mark.parametrize(
    ("stretched", "plain"),
    [
        ("Nooooo!", "No!"),
        ("yesss.", "yes."),
        ("goood.", "good."),
        ("Hmmmm.", "Hmm."),
        ("AHHHH!", "Ahh!"),
        ("wayyy.", "way."),
    ],
)
def test_stretched_words_sound_like_the_word(stretched: str, plain: str) -> None:
    assert phonemes(stretched) == phonemes(plain)


def test_roman_numerals_and_acronyms_are_not_stretched_words() -> None:
    assert phonemes("WWII XXX") != phonemes("WI X")


def test_given_pronunciations_are_taken_as_they_are() -> None:
    assert phonemes("Mr <Nguyen|W IH1 N>, come.") == "mˈɪstəɹ wˈɪn, kˈʌm."


def test_a_given_vowel_changes_the_article_before_it() -> None:
    assert phonemes("the <hour|ˈWəɹ> ends").startswith("ði ")


def test_importing_and_help_load_nothing_heavy() -> None:
    code = (
        "import sys, emovoice.text; from emovoice.text import g2p, normalise, segment;"
        "print([m for m in ('torch', 'numpy', 'onnxruntime', 'hibari', 'anyascii') if m in sys.modules]);"
        "from emovoice.text import read; read('Hello there, 5 friends.');"
        "print([m for m in ('torch', 'numpy', 'onnxruntime', 'hibari') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]
