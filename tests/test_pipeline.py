"""The pipeline on the debug model: exact lengths, pauses where they were asked for, the same seed the same samples."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from emovoice.errors import ModelError
from emovoice.pipeline import Part, Pipeline, parts_of
from emovoice.text import Sentence, read

RATE = 24_000
PLAIN = Sentence("Yes, no.", "jˈɛs, nˈO.")


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.load("debug")


@pytest.fixture(scope="module")
def who_and_how(pipeline: Pipeline) -> tuple[np.ndarray, np.ndarray]:
    timbre = np.random.default_rng(0).standard_normal(192, np.float32)
    return timbre / np.linalg.norm(timbre), pipeline.emotion_vector([0, 0.7, 0, 0, 0, 0, 0, 0])


def joined(chunks: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate(list(chunks))


def silences(samples: np.ndarray, shortest: int) -> list[tuple[int, int]]:
    """(start, length) of the runs of zeros of at least `shortest` samples."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (samples == 0).astype(int), [0]])))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= shortest]


# ---- parts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [
        ((), [("jˈɛs, nˈO.", 0)]),
        (((4, 0.5),), [("jˈɛs,", 12_000), ("nˈO.", 0)]),
        (((3, 0.5),), [("jˈɛs", 12_000), (", nˈO.", 0)]),
        (((-1, 0.5),), [("", 12_000), ("jˈɛs, nˈO.", 0)]),
        (((9, 0.5),), [("jˈɛs, nˈO.", 12_000)]),
        (((8, 0.5),), [("jˈɛs, nˈO.", 12_000)]),
        (((4, 0.5), (5, 0.25)), [("jˈɛs,", 18_000), ("nˈO.", 0)]),
        (((9, 0.5), (-1, 1.0)), [("", 24_000), ("jˈɛs, nˈO.", 12_000)]),
    ],
)
def test_a_sentence_is_cut_after_the_phoneme_of_a_pause(
    pauses: tuple[tuple[int, float], ...], expected: list[tuple[str, int]]
) -> None:
    sentence = Sentence(PLAIN.text, PLAIN.phonemes, pauses)
    assert parts_of(sentence) == [Part(*part) for part in expected]


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("Yes [pause:1s] no.", ["jˈɛs", "nˈO."]),
        ("Yes.[pause:2s] No.", ["jˈɛs.", "nˈO."]),
        ("[pause:0.4s] Yes, no.", ["", "jˈɛs, nˈO."]),
        ("Yes, no.[pause:2s]", ["jˈɛs, nˈO."]),
        ("Yes [pause:1s].", ["jˈɛs."]),
    ],
)
def test_pauses_as_the_reader_gives_them(text: str, phonemes: list[str]) -> None:
    (sentence,) = read(text).sentences
    assert [part.phonemes for part in parts_of(sentence)] == phonemes


def test_punctuation_alone_is_not_lost() -> None:
    assert parts_of(Sentence("...", "…", ((0, 0.5),))) == [Part("…", 12_000)]


# ---- lengths and pauses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 255, 256, 257, 959, 3839, 5000, 12_345, 24_000, 24_001, 48_007, 60_000])
@pytest.mark.parametrize("pauses", [(), ((4, 0.0), (5, 0.0))])
def test_the_length_is_exact(
    pipeline: Pipeline, who_and_how: tuple[np.ndarray, np.ndarray], length: int, pauses: tuple
) -> None:
    sentence = Sentence(PLAIN.text, PLAIN.phonemes, pauses)
    samples = joined(pipeline.speak(sentence, *who_and_how, length_samples=length, seed=1))
    assert samples.dtype == np.float32 and samples.shape == (length,) and np.isfinite(samples).all()


def test_the_free_length_is_the_estimate_for_every_voice(
    pipeline: Pipeline, who_and_how: tuple[np.ndarray, np.ndarray]
) -> None:
    timbre, emotion = who_and_how
    for voice in (timbre, -timbre):
        estimate = pipeline.estimate_samples(PLAIN, voice, emotion)
        assert estimate == len(joined(pipeline.speak(PLAIN, voice, emotion, length_samples=None, seed=0))) > 0


def test_random_weights_read_at_the_pace_of_speech(
    pipeline: Pipeline, who_and_how: tuple[np.ndarray, np.ndarray]
) -> None:
    sentences = read("She walked along the river. Nobody had seen her since the morning.").sentences
    samples = sum(pipeline.estimate_samples(sentence, *who_and_how) for sentence in sentences)
    assert 0.03 < samples / RATE / sum(len(sentence.phonemes) for sentence in sentences) < 0.15


@pytest.mark.parametrize("length", [None, 60_001])
def test_pauses_lie_inside_and_keep_their_length(
    pipeline: Pipeline, who_and_how: tuple[np.ndarray, np.ndarray], length: int | None
) -> None:
    sentence = Sentence(PLAIN.text, PLAIN.phonemes, ((-1, 0.25), (4, 0.5)))
    samples = joined(pipeline.speak(sentence, *who_and_how, length_samples=length, seed=1))
    (first, second) = silences(samples, 2000)
    assert first == (0, 6000) and second[1] == 12_000
    assert 6000 < second[0] < len(samples) - 12_000
    assert length is None or len(samples) == length


# ---- repeatable -------------------------------------------------------------------------------------------


def test_a_seed_decides(pipeline: Pipeline, who_and_how: tuple[np.ndarray, np.ndarray]) -> None:
    one, again, other = (
        joined(pipeline.speak(PLAIN, *who_and_how, length_samples=20_000, seed=seed)) for seed in (5, 5, 6)
    )
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_voice_and_emotion_are_heard(pipeline: Pipeline, who_and_how: tuple[np.ndarray, np.ndarray]) -> None:
    timbre, emotion = who_and_how
    neutral = pipeline.emotion_vector([0] * 8)
    spoken = [
        joined(pipeline.speak(PLAIN, who, how, length_samples=20_000, seed=1))
        for who, how in ((timbre, emotion), (-timbre, emotion), (timbre, neutral))
    ]
    assert not np.array_equal(spoken[0], spoken[1]) and not np.array_equal(spoken[0], spoken[2])


# ---- recordings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.2, 1.0, 20.0])
def test_a_recording_gives_two_vectors(pipeline: Pipeline, seconds: float) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * RATE)).astype(np.float32)
    timbre, emotion = pipeline.embed(samples)
    assert timbre.shape == (192,) and emotion.shape == (256,)
    assert timbre.dtype == emotion.dtype == np.float32
    assert np.linalg.norm(timbre) == pytest.approx(1, abs=1e-5) and np.isfinite(emotion).all()
    again = pipeline.embed(samples)
    assert np.array_equal(timbre, again[0]) and np.array_equal(emotion, again[1])


def test_a_recording_is_spoken_again(pipeline: Pipeline) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, RATE + 17).astype(np.float32)
    assert pipeline.resynthesise(samples).shape == (RATE,)


def test_emotions_add_up(pipeline: Pipeline) -> None:
    neutral, sad, calm = (pipeline.emotion_vector(np.eye(9, 8, -1)[row]) for row in (0, 3, 8))
    both = pipeline.emotion_vector([0, 0, 0.5, 0, 0, 0, 0, 0.25])
    assert np.allclose(both - neutral, 0.5 * (sad - neutral) + 0.25 * (calm - neutral), atol=1e-5)


# ---- loading ----------------------------------------------------------------------------------------------


def test_what_it_is(pipeline: Pipeline) -> None:
    info = pipeline.info()
    assert info["model"] == "debug" and info["sample_rate"] == RATE
    assert set(info["parameters"]) == {"encoders", "t2s", "prior", "flow", "vocoder", "convert"}
    assert all(info["parameters"].values())


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(ModelError) as caught:
        Pipeline.load("debug", device)
    assert caught.value.field == "device"


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        Pipeline.load(str(tmp_path))


def test_of_a_long_recording_the_first_15_seconds_make_the_voice(pipeline: Pipeline) -> None:
    samples = 0.1 * np.random.default_rng(0).standard_normal(40 * RATE).astype(np.float32)
    whole, first, less = (pipeline.embed(samples[: seconds * RATE]) for seconds in (40, 15, 14))
    assert all(np.array_equal(a, b) for a, b in zip(whole, first, strict=True))
    assert not np.array_equal(first[0], less[0])
