"""What a subtitle's text means: names, tags and sounds are understood and never spoken."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emovoice.dubbing.cues import Cue, Key
from emovoice.dubbing.marks import Line, share_ms, understand, write
from emovoice.errors import EmovoiceError, InputError


def one(text: str, *known: str) -> Line:
    lines = understand(text, known).lines
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("written", "character", "text"),
    [
        ("[SPEAKER_01]: Hello.", "SPEAKER_01", "Hello."),
        ("[Anna]: Hello.", "Anna", "Hello."),
        ("ANNA: Hello.", "ANNA", "Hello."),
        ("ANNA (V.O.): Hello.", "ANNA", "Hello."),
        ("- ANNA: Hello.", "ANNA", "Hello."),
        (">> ANNA: Hello.", "ANNA", "Hello."),
        ("DR. O'NEIL: Hello.", "DR. O'NEIL", "Hello."),
        ("ANNA:\nHello.\nHow are you?", "ANNA", "Hello. How are you?"),
        ("<v Anna Lee>Hello.</v>", "Anna Lee", "Hello."),
        ("Remember this: no.", "", "Remember this: no."),
        ("At 10:30 we go.", "", "At 10:30 we go."),
        ("AT 10:30 we go.", "", "AT 10:30 we go."),
        ("I: am.", "", "I: am."),
        ("HTTP://example.org", "", "HTTP://example.org"),
        ("Hello <b>there</b>, <font color='#f00'>you</font>.", "", "Hello there, you."),
        ("{\\an8}{\\i1}Hello{\\i0}", "", "Hello"),
        ("Tom &amp; Jerry", "", "Tom & Jerry"),
        ("<Nguyen|W IH1 N> came. [pause:0.4s] Late.", "", "<Nguyen|W IH1 N> came. [pause:0.4s] Late."),
        ("- Hello.", "", "Hello."),
        ("3 < 4 and 5 > 4", "", "3 < 4 and 5 > 4"),
    ],
)
def test_who_says_what(written: str, character: str, text: str) -> None:
    line = one(written)
    assert (line.character, line.text) == (character, text)


def test_a_known_name_needs_no_capitals() -> None:
    assert one("anna: Hello.", "Anna").character == "Anna"
    assert one("[anna] Hello.", "Anna").character == "Anna"
    assert one("[door] Hello.", "Anna").unspoken == ["[door]"]


@pytest.mark.parametrize(
    ("written", "text", "unspoken"),
    [
        ("[noise] Hello.", "Hello.", ["[noise]"]),
        ("Hello (sighs) there.", "Hello there.", ["(sighs)"]),
        ("(sighs)", "", ["(sighs)"]),
        ("（叹气）Hello.", "Hello.", ["（叹气）"]),
        ("♪ la la\nla la ♪\nHello.", "Hello.", ["♪ la la la la ♪"]),
        ("♪", "", ["♪"]),
        ("Hello. ♪ la la", "Hello.", ["♪ la la"]),
        ("{a note}Hello.", "Hello.", ["{a note}"]),
        ("(music\nplaying)\nHello.", "Hello.", ["(music playing)"]),
    ],
)
def test_what_is_never_spoken(written: str, text: str, unspoken: list[str]) -> None:
    line = one(written)
    assert (line.text, line.unspoken) == (text, unspoken)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[angry:0.8] Hi.", Line(text="Hi.", emotion="angry", intensity=0.8)),
        ("[Anger 0.8] Hi.", Line(text="Hi.", emotion="anger", intensity=0.8)),
        ("[auto] Hi.", Line(text="Hi.", emotion="auto")),
        ("[emotion: 0,0,0.5,0,0,0.3,0,0] Hi.", Line(text="Hi.", emotion="0,0,0.5,0,0,0.3,0,0")),
        ("ANNA: [sad] Hi. [/sad]", Line("ANNA", "Hi.", "sad")),
        ("[sad] ANNA: Hi.", Line("ANNA", "Hi.", "sad")),
        ("[intensity:0.5] Hi.", Line(text="Hi.", intensity=0.5)),
        ("[instruction: furious, but (still) quiet] Hi.", Line(text="Hi.", instruction="furious, but (still) quiet")),
        (
            "[curve: 0 calm 0.2; 1.5 rage 0.9] Hi.",
            Line(text="Hi.", curve=(Key(0, "calm", 0.2), Key(1.5, "angry", 0.9))),
        ),
    ],
)
def test_our_own_marks(written: str, expected: Line) -> None:
    assert one(written) == expected


def test_the_first_mark_counts() -> None:
    line = one("[sad] Hello [happy] there.")
    assert line.emotion == "sad" and line.unspoken == ["[emotion:happy]"] and line.text == "Hello there."


@pytest.mark.parametrize("written", ["[angry:2] x", "[curve: 1 2] x", "[curve: 0 hapy 1] x", "[intensity: a] x"])
def test_a_mark_that_cannot_be_used(written: str) -> None:
    with pytest.raises(InputError):
        understand(written)


def test_two_speakers_in_one_cue() -> None:
    found = understand("- ANNA: Hi.\n- BERT: [sad] Hello (sighs) you.")
    assert [(line.character, line.text, line.emotion) for line in found.lines] == [
        ("ANNA", "Hi.", None),
        ("BERT", "Hello you.", "sad"),
    ]
    assert not found.nameless_dialogue
    assert understand("- Hi.\n- Hello.").nameless_dialogue


@given(st.text(st.sampled_from("aB :[](){}<>|/\\♪-\n.:A1&;")))
def test_anything_is_understood_or_refused_with_an_error_of_ours(text: str) -> None:
    try:
        found = understand(text, ["Ab"])
    except EmovoiceError:
        return
    assert found.lines
    assert not any(set("♪\ue000") & set(line.text) for line in found.lines)


def test_a_cue_as_text() -> None:
    cue = Cue(1, 0, 1, "Hi.", "ANNA", "angry", 0.8, "do it", (Key(0, "sad", 1.0),))
    assert write(cue) == "[ANNA]: [angry:0.8] [instruction:do it] [curve:0 sad 1] Hi."


@given(st.integers(0, 10**6), st.integers(-5, 10**6), st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_shares_follow_each_other(start_ms: int, length_ms: int, texts: list[str]) -> None:
    spans = share_ms(start_ms, start_ms + length_ms, texts)
    assert len(spans) == len(texts)
    if length_ms > 0:
        assert spans[0][0] == start_ms and spans[-1][1] == start_ms + length_ms
        assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))
