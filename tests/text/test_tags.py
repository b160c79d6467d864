"""Tags and SSML: what is taken out, what stays prose, and that nothing breaks the parser."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emovoice.emotion import names
from emovoice.errors import InputError
from emovoice.text.tags import Style, parse

ANGRY = names.parse("angry", 0.8)


def told(text: str) -> list[tuple[str, Style]]:
    return [(" ".join(span.text.split()), span.style) for span in parse(text).spans]


def test_an_emotion_around_words() -> None:
    assert told("[angry:0.8] Get out! [/angry] Now.") == [("Get out!", Style(emotion=ANGRY)), ("Now.", Style())]
    assert told("[ANGER: 80%]Get out![/angry]") == [("Get out!", Style(emotion=ANGRY))]
    assert told("[angry]No![/anger] Yes.")[0][1] == Style(emotion=names.parse("angry"))


@pytest.mark.parametrize("name", [*names.EMOTIONS, "joy", "awe", "Bitterness", "nervousness", "neutral"])
def test_any_name_of_an_emotion_is_a_tag(name: str) -> None:
    assert told(f"[{name}]Oh.[/{name}]") == [("Oh.", Style(emotion=names.parse(name)))]


def test_tags_nest_and_end_with_the_text() -> None:
    spans = told("[sad]One. [whisper]Two. [happy:1]Three.[/sad] Four.")
    assert [text for text, _ in spans] == ["One.", "Two.", "Three.", "Four."]
    assert spans[1][1].emotion == names.parse("sad") and spans[1][1].whisper and spans[1][1].loudness_db < 0
    assert spans[2][1].emotion == names.parse("happy", 1.0) and spans[2][1].whisper
    assert spans[3][1] == Style()


def test_ssml_in_plain_text_and_as_a_document() -> None:
    spans = told('<prosody rate="slow" volume="-3dB">Down. <prosody rate="50%">Slower.</prosody></prosody> Up.')
    assert spans == [
        ("Down.", Style(rate=0.8, loudness_db=-3)),
        ("Slower.", Style(rate=0.4, loudness_db=-3)),
        ("Up.", Style()),
    ]
    document = '<?xml version="1.0"?><speak version="1.1"><p><s>Hi</s></p><voice name="x">you &lt; me</voice></speak>'
    found = parse(document)
    assert " ".join("".join(span.text for span in found.spans).split()) == "Hi you < me"
    assert found.warnings == ("<voice> is not known and was left out; the text in it is spoken",)


@pytest.mark.parametrize(
    ("tag", "mark"),
    [('<break time="500ms"/>', "500ms"), ("<break time='0.5s' />", "500ms"), ("<break/>", "500ms"),
     ('<break strength="none"/>', "0ms"), ('<break strength="strong"></break>', "800ms")],
)  # fmt: skip
def test_breaks_are_pauses(tag: str, mark: str) -> None:
    assert told(f"One {tag} two") == [(f"One [pause:{mark}] two", Style())]


@pytest.mark.parametrize(
    ("how", "written", "said"),
    [
        ("characters", "FBI", "<F|EH1 F> <B|B IY1> <I|AY1>"),
        ("digits", "2026", "2 0 2 6"),
        ("ordinal", "1 12 23", "1st 12th 23rd"),
        ("cardinal", "12", "12"),
    ],
)
def test_say_as(how: str, written: str, said: str) -> None:
    assert told(f'<say-as interpret-as="{how}">{written}</say-as>') == [(said, Style())]


def test_letters_are_read_by_their_names() -> None:
    from emovoice.text import read

    (span,) = parse('The <say-as interpret-as="characters">AI</say-as> knows.').spans
    assert "ˈA ˈI" in read(span.text).sentences[0].phonemes


def test_an_emotion_element() -> None:
    assert told('<emotion name="sad" intensity="0.5">Oh.</emotion>')[0][1].emotion == names.parse("sad", 0.5)
    assert told('<emotion valence="-0.6" arousal="0.7">Oh.</emotion>')[0][1].emotion == names.parse(
        {"valence": -0.6, "arousal": 0.7}
    )
    assert told('Take the <sub alias="underground">tube</sub>.') == [("Take the underground.", Style())]


@pytest.mark.parametrize(
    "prose",
    ["[laughs] Hello", "[1] {x} (y)", "<b>bold</b>", "a < b and c > d", "[angry: he left]", "[None]", "[mad]", "[angry",
     "I <3 you", "[see angry]", "<word|W ER1 D>", "x[0] = [y]", "<!-- note --> hi", "<brake/>"],
)  # fmt: skip
def test_other_brackets_are_spoken(prose: str) -> None:
    assert parse(prose).spans[0].text == prose and parse(prose).is_plain


def test_what_cannot_be_done_is_said() -> None:
    assert "closes nothing" in parse("Hi.[/angry]").warnings[0]
    assert "no known tag" in parse("[agnry:0.8]Hi.[/agnry]").warnings[0]
    assert "pitch" in parse('<prosody pitch="high">Hi.</prosody>').warnings[0]
    assert "not known" in parse('<say-as interpret-as="riddle">Hi.</say-as>').warnings[0]


@pytest.mark.parametrize(
    "wrong",
    ["[angry:1.5]Hi", "[sad:-1]Hi", '<break time="11s"/>Hi', '<break time="soon"/>Hi', '<break strength="big"/>Hi',
     '<prosody rate="9">Hi</prosody>', '<prosody rate="quick">Hi</prosody>', '<prosody volume="11">Hi</prosody>',
     '<emotion>Hi</emotion>', '<emotion name="hungry">Hi</emotion>', '<emotion name="sad" value="2">Hi</emotion>'],
)  # fmt: skip
def test_a_known_tag_with_a_wrong_value_is_refused(wrong: str) -> None:
    with pytest.raises(InputError):
        parse(wrong)


def test_no_entity_is_ever_expanded() -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><speak>&b; hi</speak>'
    text = "".join(span.text for span in parse(bomb).spans)
    assert "aaaa aaaa" not in text and len(text) <= len(bomb)


PIECES = st.sampled_from(
    ["[angry]", "[/angry]", "[sad:0.5]", "[/sad]", "[whisper]", "[/whisper]", "[pause:0.2s]", "<speak>", "</speak>",
     "<p>", "</p>", '<prosody rate="fast">', "</prosody>", "<break/>", '<say-as interpret-as="digits">',
     "</say-as>", "<s/>", '<emotion name="joy">', "</emotion>", '<sub alias="b">', "</sub>", "<x>", "[", "]", "<", ">",
     "&lt;", "/", '"', "word", "12", " ", ". ", "<w|W AH1>", "<!--", "-->", "[:", "\n\n"]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=5), max_size=25).map("".join))
@settings(max_examples=400, deadline=None)
def test_anything_is_parsed_and_no_word_is_lost(text: str) -> None:
    try:
        script = parse(text)
    except InputError:
        return
    joined = "".join(span.text for span in script.spans)
    assert joined.count("word") == text.count("word") or "<sub" in text
    assert all(span.style.rate > 0 for span in script.spans)
    if not any(sign in text for sign in "[<"):
        assert joined.strip() == text.strip() or not text


@given(st.lists(PIECES, max_size=12).map("".join))
@settings(max_examples=60, deadline=None)
def test_closing_everything_changes_nothing_before(text: str) -> None:
    try:
        script = parse("start " + text)
    except InputError:
        return
    assert script.spans[0].text.startswith("start") or "<sub" in text


@pytest.mark.parametrize("flood", ["[angry]" * 3000, "<s" * 9000, "[" * 20000, "<prosody " * 2000, '<p a="' * 3000,
                                   "<!--" * 5000, "<speak>" + "<!" * 9000])  # fmt: skip
def test_floods_take_no_time(flood: str) -> None:
    start = time.process_time()
    try:
        parse(flood)
    except InputError:
        pass
    assert time.process_time() - start < 2
