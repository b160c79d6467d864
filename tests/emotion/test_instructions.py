"""Instructions in words: what is understood, why, and that it is the same every time."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emovoice.emotion import cues, understand
from emovoice.emotion.names import EMOTIONS, parse
from emovoice.errors import InputError
from emovoice.evaluation import emotion_words


def top(text: str) -> str:
    weights = understand(text).weights
    return max(weights, key=lambda name: weights[name])


# ---- cues: pure ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "negated", "rest"),
    [
        ("not angry at all", ("angry",), ""),
        ("she isn't angry, just sad", ("angry",), "she, just sad"),
        ("without any trace of fear", ("afraid",), ""),
        ("neither angry nor sad", ("angry", "sad"), ""),
        ("not only angry", (), "not only angry"),
        ("she can't stop laughing", (), "she can't stop laughing"),
        ("trying not to cry", (), "cry"),
        ("it's not that he isn't scared, he's terrified", (), "it's scared, he's terrified"),
    ],
)
def test_negation(text: str, negated: tuple[str, ...], rest: str) -> None:
    (stage,) = cues.stages(text)
    assert [(part.negated, part.text) for part in stage.parts] == [(negated, rest)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("starts calm, ends shouting", ["calm", "shouting"]),
        ("it begins softly and ends in tears", ["softly", "tears"]),
        ("from joy to horror", ["joy", "horror"]),
        ("builds from irritation to blind rage", ["irritation", "blind rage"]),
        ("first surprised, then delighted, finally close to tears", ["surprised", "delighted", "close to tears"]),
        ("hopeful at first, gradually losing all hope", ["hopeful", "losing all hope"]),
        ("warm until she sees the ring, then ice cold fury", ["warm", "ice cold fury"]),
        ("from start to end", ["from start to end"]),
        ("a man from the north", ["a man from the north"]),
    ],
)
def test_sequences(text: str, pieces: list[str]) -> None:
    assert [stage.text for stage in cues.stages(text)] == pieces


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("furious, but sad", [("furious", 0.6), ("sad", 0.6)]),
        ("smiling through tears", [("smiling", 0.6), ("in tears", 0.6)]),
        ("outwardly polite, seething underneath", [("polite", 0.4), ("seething", 0.6)]),
        ("pretending to be calm, but terrified inside", [("calm", 0.4), ("terrified", 0.6)]),
    ],
)
def test_contrasts(text: str, parts: list[tuple[str, float]]) -> None:
    (stage,) = cues.stages(text)
    assert [(part.text, part.share) for part in stage.parts] == parts


def test_a_hint_counts_half_as_much() -> None:
    (stage,) = cues.stages("calm, with a hint of menace")
    calm, menace = stage.parts
    assert (calm.text, menace.text) == ("calm", "menace") and menace.share < calm.share


@pytest.mark.parametrize(
    ("weak", "strong"), [("slightly cross", "cross"), ("cross", "very cross"), ("a tiny bit sad", "a bit sad")]
)
def test_degrees(weak: str, strong: str) -> None:
    assert understand(weak).intensity < understand(strong).intensity and top(weak) == top(strong)


@given(st.text(max_size=80), st.lists(st.sampled_from(
    "not never very slightly but then from to starts ends until with a hint of smiling whispering , . ( ) \" '".split()
), max_size=12))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_cues_take_anything(text: str, words: list[str]) -> None:
    stages = cues.stages(f"{text} {' '.join(words)}")
    assert stages and all(part.degree > 0 and part.share > 0 for stage in stages for part in stage.parts)


# ---- with the model ------------------------------------------------------------------------------


def test_the_result_is_whole() -> None:
    found = understand("furious, but keeping it down")
    assert set(found.weights) == set(EMOTIONS) and math.isclose(sum(found.weights.values()), 1, abs_tol=1e-6)
    assert found.weights["angry"] > 0.5 and found.loudness_db < 0 and found.rate == 1 and not found.whisper
    assert parse(found.emotion) and found.curve.is_steady and 0 <= found.confidence <= 1
    assert "furious" in [reason.words for reason in found.relied_on]
    assert any("dB" in reason.effect for reason in found.relied_on)
    assert json.loads(json.dumps(found.as_dict()))["weights"]["angry"] == round(found.weights["angry"], 4)


DIRECTORS = {
    "cheerful": "happy", "bubbly": "happy", "upbeat": "happy", "proud": "happy", "playful": "happy",
    "stern": "angry", "threatening": "angry", "irritated": "angry", "snappy": "angry",
    "tearful": "sad", "mournful": "sad", "heartbroken": "sad", "pleading": "sad",
    "nervous": "afraid", "panicked": "afraid", "timid": "afraid", "on edge": "afraid",
    "sneering": "disgusted", "contemptuous": "disgusted", "revolted": "disgusted",
    "wistful": "melancholic", "nostalgic": "melancholic", "weary": "melancholic", "pensive": "melancholic",
    "astonished": "surprised", "incredulous": "surprised", "stunned": "surprised",
    "deadpan": "calm", "matter-of-fact": "calm", "soothing": "calm", "businesslike": "calm", "neutral": "calm",
}  # fmt: skip


@pytest.mark.parametrize("word", DIRECTORS)
def test_the_words_of_voice_directors(word: str) -> None:
    assert top(word) == DIRECTORS[word]


@pytest.mark.parametrize(
    ("word", "louder", "faster"),
    [("whispered", -1, 0), ("hushed", -1, 0), ("shouting", 1, 0), ("urgent", 0, 1), ("slow", 0, -1),
     ("rushed and loud", 1, 1), ("soft and unhurried", -1, -1)],
)  # fmt: skip
def test_pace_and_level(word: str, louder: int, faster: int) -> None:
    found = understand(f"sad, {word}")
    assert (found.loudness_db > 0) - (found.loudness_db < 0) == louder
    assert (found.rate > 1) - (found.rate < 1) == faster


def test_a_sequence_is_a_curve() -> None:
    curve = understand("starts calm, ends shouting").curve
    start, end = (dict(zip(EMOTIONS, curve.at(t), strict=True)) for t in (0, 1))
    assert max(start, key=start.get) == "calm" and max(end, key=end.get) == "angry"  # type: ignore[arg-type]
    assert sum(end.values()) > sum(start.values())


def test_only_negation_leaves_what_is_left() -> None:
    found = understand("not angry at all")
    assert found.weights["angry"] < 1 / 8 and found.intensity < 0.4
    assert understand("not calm").weights["calm"] < 1 / 8


def test_words_that_are_none_are_told() -> None:
    found = understand("sad and blorfengurk")
    assert found.not_understood == ("blorfengurk",) and found.confidence < understand("sad").confidence
    assert understand("absolutely melancholically wistful").not_understood == ()


@pytest.mark.parametrize("wrong", ["", "  ", "?!", None, 3, "x " * 1001])
def test_what_is_no_instruction(wrong: object) -> None:
    with pytest.raises(InputError):
        understand(wrong)  # type: ignore[arg-type]


@given(st.text(min_size=1, max_size=60).filter(lambda text: any(c.isalnum() for c in text)))
@settings(max_examples=40, deadline=None)
def test_any_text_is_some_emotion_and_always_the_same(text: str) -> None:
    from emovoice.emotion import instructions

    found = understand(text)
    assert math.isclose(sum(found.weights.values()), 1, abs_tol=1e-6) and 0 <= found.intensity <= 1
    assert min(found.weights.values()) >= 0 and parse(found.emotion) is not None and found.curve
    instructions._understood.cache_clear()
    assert understand(text) == found


def test_an_answer_belongs_to_whom_it_was_given() -> None:
    first = understand("quite cross")
    first.weights["angry"] = 0.0  # type: ignore[index]
    assert understand("quite cross").weights["angry"] > 0.5


def test_the_hard_cases() -> None:
    cases = emotion_words.hard_cases()
    wrong = [(case.name, case.wrong) for case in cases if case.wrong]
    assert len(cases) == 60 and len(wrong) <= 3, wrong
