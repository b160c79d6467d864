"""Emotion of lines: alone, in context, after a state, in character."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emovoice.emotion import Personality, lines, taxonomy, understand_line, understand_lines
from emovoice.emotion.names import EMOTIONS
from emovoice.errors import InputError

shares = st.lists(st.floats(0.01, 1), min_size=8, max_size=8).map(lambda row: [x / sum(row) for x in row])
trait = st.floats(-1, 1)
places = st.builds(taxonomy.VAD, trait, trait, trait)
people = st.builds(Personality, trait, trait, trait, trait, trait)


def top(found: object) -> str:
    weights = found.weights  # type: ignore[attr-defined]
    return max(weights, key=lambda name: weights[name])


# ---- the formulas: pure --------------------------------------------------------------------------


@given(shares, places)
def test_a_state_draws_towards_what_is_near_it(row: list[float], state: taxonomy.VAD) -> None:
    after = lines.after_state(row, state)
    assert math.isclose(sum(after), 1) and lines.after_state(row, state, 0) == pytest.approx(row)
    ratios = {name: after[i] / row[i] for i, name in enumerate(EMOTIONS)}
    known = taxonomy.places()
    nearest = min(known, key=lambda name: math.dist(known[name], state))
    assert ratios[nearest] == pytest.approx(max(ratios.values()))


@given(places, people)
def test_an_expected_state_lies_between_the_state_and_rest(state: taxonomy.VAD, person: Personality) -> None:
    v = lines.expected(state, person)
    for axis in range(3):
        low, high = sorted((state[axis], person.rest[axis]))
        assert low - 1e-9 <= v[axis] <= high + 1e-9


def test_temperament_follows_mehrabian() -> None:
    assert Personality().rest == (0, 0, 0)
    assert Personality(agreeableness=1).rest == pytest.approx((0.59, 0.30, -0.32))
    assert Personality(neuroticism=1).rest == pytest.approx((-0.19, 0.57, 0))
    assert Personality(neuroticism=1).lingering > Personality().lingering


@pytest.mark.parametrize("wrong", [1.1, math.nan, "high", True])
def test_traits_are_checked(wrong: object) -> None:
    with pytest.raises(InputError):
        Personality(openness=wrong)  # type: ignore[arg-type]


def test_context_counts_for_short_lines_and_fades() -> None:
    gates = [lines.context_gate(words) for words in range(1, 12)]
    assert gates == sorted(gates, reverse=True) and gates[-1] == lines.LEAST_CONTEXT
    zero, one = [0.0] * 8, [1.0] + [0.0] * 7
    near = lines.in_context(zero, [one, zero], [], 1.0)[0]
    far = lines.in_context(zero, [zero, one], [], 1.0)[0]
    assert near > far > 0 and lines.in_context(one, [], [], 0.3) == one


# ---- with the model ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("You liar! Get out of my house!", "angry"),
        ("He died in my arms.", "sad"),
        ("Ugh, it's full of maggots!", "disgusted"),
        ("Please don't hurt me, I'll do anything.", "afraid"),
        ("We won! We won! I'm so happy!", "happy"),
        ("The bus leaves at ten.", "calm"),
    ],
)
def test_plain_lines(text: str, emotion: str) -> None:
    assert top(understand_line(text)) == emotion


def test_context_decides_what_a_short_answer_means() -> None:
    quarrel = understand_line("Fine.", ["You lied to me. Again.", "How dare you!"])
    joy = understand_line("Fine.", ["The baby is healthy!", "Oh, how wonderful!"])
    assert quarrel.weights["angry"] > 0.4 > joy.weights["angry"] and joy.weights["happy"] > 0.3


def test_a_long_line_speaks_for_itself() -> None:
    line = "I am so happy that you came to my birthday party tonight!"
    assert top(understand_line(line, ["You lied to me, you swine!"])) == "happy"


def test_a_previous_state_lingers() -> None:
    plain = understand_line("What do you mean?")
    after = understand_line("What do you mean?", previous={"angry": 1.0})
    assert after.weights["angry"] > plain.weights["angry"]
    assert understand_line("What do you mean?", previous=taxonomy.VAD(-0.6, 0.7, 0.45)).weights[
        "angry"
    ] == pytest.approx(after.weights["angry"], abs=0.05)


def test_a_dialogue_has_one_state_a_speaker() -> None:
    script = ["You broke my window!", "Oh dear.", "Pay for it!", "Sorry."]
    found = understand_lines(script, ["Ann", "Bob", "Ann", "Bob"], {"Bob": Personality(neuroticism=0.8)})
    assert [each.text for each in found] == script and top(found[0]) == "angry"
    assert found == understand_lines(script, ["Ann", "Bob", "Ann", "Bob"], {"Bob": Personality(neuroticism=0.8)})
    with pytest.raises(InputError):
        understand_lines(script, ["Ann"])


@pytest.mark.parametrize("wrong", ["", "...", 7])
def test_what_is_no_line(wrong: object) -> None:
    with pytest.raises(InputError):
        understand_line(wrong)  # type: ignore[arg-type]
