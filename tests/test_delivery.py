"""From instructions, tags and lines to sentences, and what the engine does with them."""

from typing import Any

import numpy as np
import pytest

from emovoice import delivery
from emovoice.emotion import names, understand
from emovoice.emotion.curve import EmotionCurve, Keyframe
from emovoice.emotion.path import waypoints
from emovoice.engine import Engine
from emovoice.errors import InputError
from emovoice.text import Sentence, read
from tests import fakes

TWO = "This is one. And here comes the other."


def plain(text: str) -> tuple[tuple[Sentence, ...], tuple[str, ...]]:
    reading = read(text)
    return tuple(reading.sentences), tuple(reading.warnings)


def weights(text: str, **options: Any) -> list[dict[str, float]]:
    spoken, _ = delivery.read(text, plain)
    how, _ = delivery.deliveries(spoken, **options)
    return [names.named(each.weights or names.NEUTRAL) for each in how]


def test_a_sequence_goes_over_the_sentences() -> None:
    first, second = weights(TWO, instruction="starts calm, ends shouting")
    assert max(first, key=first.__getitem__) == "calm" and max(second, key=second.__getitem__) == "angry"


def test_a_tag_decides_against_the_request() -> None:
    first, second = weights("[sad:0.5]This is one.[/sad] And here comes the other.", weights=names.parse("angry"))
    assert first == {"sad": 0.5} and second == {"angry": 0.7}


def test_auto_reads_each_line() -> None:
    found = weights("Get out of my house, you liar! The bus leaves at ten o'clock from the station.", auto=True)
    assert max(found[0], key=found[0].__getitem__) == "angry" and max(found[1], key=found[1].__getitem__) == "calm"


def test_a_curve_gives_each_sentence_its_stretch_of_time() -> None:
    points = waypoints([(0.0, "sad", 0.2), (2.0, "sad", 0.2), (2.0, "happy", 0.9)], None)
    equal = "This is one two. This is one two."
    first, second = weights(equal, points=points, length_s=4.0)
    assert first == {"sad": pytest.approx(0.2)} and second == {"happy": pytest.approx(0.9)}
    spoken, _ = delivery.read(equal, plain)
    assert not delivery.deliveries(spoken, points=points, length_s=4.0)[1]
    (mixed, _), warnings = delivery.deliveries(spoken, points=points, length_s=6.0)
    assert mixed.weights is not None and 0 < mixed.weights[names.EMOTIONS.index("happy")] < 0.45
    assert any("within a sentence" in warning for warning in warnings)


def test_intensity_scales_what_was_understood() -> None:
    whole, half = (weights(TWO, instruction="furious", intensity=x)[0]["angry"] for x in (None, 0.5))
    assert half == pytest.approx(whole / 2, abs=1e-5)


def test_pace_and_level_go_together() -> None:
    spoken, _ = delivery.read('<prosody rate="slow">This is one.</prosody> And here comes the other.', plain)
    how, warnings = delivery.deliveries(spoken, instruction="sad, slow, whispered")
    assert how[0].rate == pytest.approx(0.8 * how[1].rate) and how[1].rate < 1 and how[1].loudness_db < -5
    assert any("whisper" in warning for warning in warnings)


def test_doubts_are_told() -> None:
    spoken, _ = delivery.read(TWO, plain)
    _, warnings = delivery.deliveries(spoken, instruction="sad and blorfengurk")
    assert any("blorfengurk" in warning for warning in warnings)


@pytest.mark.parametrize("empty", ["[angry][/angry]", "<speak> </speak>", "[whisper] ... "])
def test_tags_alone_say_nothing(empty: str) -> None:
    with pytest.raises(InputError):
        delivery.read(empty, plain)


@pytest.mark.parametrize(
    "both", [{"emotion": "sad", "instruction": "sad"}, {"instruction": "sad", "emotion_audio": "x.wav"}]
)
def test_only_one_says_what_is_felt(fake_engine: Engine, both: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        fake_engine.stream(TWO, **both)


def test_the_engine_speaks_each_sentence_its_own_way(fake_engine: Engine) -> None:
    plain = fake_engine.synthesize("One. Two.")
    mixed = fake_engine.synthesize("One. Two.", instruction="starts calm, ends furious")
    assert len(plain.samples) == len(mixed.samples) and not np.array_equal(plain.samples, mixed.samples)
    understood = fake_engine.synthesize("One. Two.", instruction=understand("starts calm, ends furious"))
    assert np.array_equal(understood.samples, mixed.samples)


def test_a_curve_in_seconds_and_one_over_the_whole_are_spoken(fake_engine: Engine) -> None:
    calm, angry = {"calm": 1.0}, {"angry": 1.0}
    whole = EmotionCurve((Keyframe(0.0, calm, 0.3), Keyframe(0.5, calm, 0.3), Keyframe(0.51, angry, 1.0)))
    asked: list[Any] = [None, "angry", [(0.0, "calm", 0.3), (0.5, "calm", 0.3), (0.51, "angry", 1.0)], whole]
    made = [fake_engine.synthesize("One. Two.", emotion=emotion, duration_s=1.0).samples for emotion in asked]
    assert all(len(samples) == fakes.FakePipeline.sample_rate for samples in made)
    assert np.array_equal(made[2], made[3]), "half a second is half of a second"
    assert not np.array_equal(made[2], made[0]) and not np.array_equal(made[2], made[1])
    assert fake_engine.estimate("One. Two.", emotion=whole) > 0
    with pytest.raises(InputError):
        fake_engine.stream("One. Two.", emotion=[(1.0, "sad", 0.5), (0.0, "sad", 0.5)])


def test_tags_change_length_and_level(fake_engine: Engine) -> None:
    plain = fake_engine.synthesize("Hello there.")
    slow = fake_engine.synthesize('<prosody rate="50%">Hello there.</prosody>')
    soft = fake_engine.synthesize('<prosody volume="-20dB">Hello there.</prosody>')
    assert len(slow.samples) == 2 * len(plain.samples)
    assert np.allclose(soft.samples, plain.samples * np.float32(0.1), atol=1e-6)
    assert fake_engine.synthesize("[angry]Hello there.[/angry]").samples.shape == plain.samples.shape


def test_a_length_is_met_with_tags(fake_engine: Engine) -> None:
    audio = fake_engine.synthesize('One two three. <prosody rate="slow">Four five six.</prosody>', duration_s=2.5)
    assert len(audio.samples) == round(2.5 * fakes.FakePipeline.sample_rate)


def test_a_real_model_takes_an_instruction(engine_factory: Any) -> None:
    engine = engine_factory()
    angry = engine.synthesize("You did what?", instruction="absolutely furious")
    assert not np.array_equal(angry.samples, engine.synthesize("You did what?").samples)
    assert np.array_equal(
        engine.synthesize("You did what?", emotion="auto").samples,
        engine.synthesize("You did what?", emotion="auto").samples,
    )
