"""From instructions, tags and lines to sentences, and what the engine does with them."""

from typing import Any

import numpy as np
import pytest

from emovoice import delivery
from emovoice.emotion import names, understand
from emovoice.engine import Engine
from emovoice.errors import InputError
from tests import fakes

TWO = "This is one. And here comes the other."


def weights(text: str, **options: Any) -> list[dict[str, float]]:
    spoken, _ = delivery.read(text, "us")
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


def test_intensity_scales_what_was_understood() -> None:
    whole, half = (weights(TWO, instruction="furious", intensity=x)[0]["angry"] for x in (None, 0.5))
    assert half == pytest.approx(whole / 2, abs=1e-5)


def test_pace_and_level_go_together() -> None:
    spoken, _ = delivery.read('<prosody rate="slow">This is one.</prosody> And here comes the other.', "us")
    how, warnings = delivery.deliveries(spoken, instruction="sad, slow, whispered")
    assert how[0].rate == pytest.approx(0.8 * how[1].rate) and how[1].rate < 1 and how[1].loudness_db < -5
    assert any("whisper" in warning for warning in warnings)


def test_doubts_are_told() -> None:
    spoken, _ = delivery.read(TWO, "us")
    _, warnings = delivery.deliveries(spoken, instruction="sad and blorfengurk")
    assert any("blorfengurk" in warning for warning in warnings)


@pytest.mark.parametrize("empty", ["[angry][/angry]", "<speak> </speak>", "[whisper] ... "])
def test_tags_alone_say_nothing(empty: str) -> None:
    with pytest.raises(InputError):
        delivery.read(empty, "us")


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
