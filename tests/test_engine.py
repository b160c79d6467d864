"""What `Engine`, `synthesize` and `stream` promise, with any model behind them."""

import math
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import emovoice
from emovoice.emotion import names
from emovoice.engine import Engine, shared_engine
from emovoice.errors import AudioError, EmovoiceError, InputError, LengthError, ModelError
from emovoice.limits import Limits
from emovoice.speech import sentence_seed
from emovoice.voice import Voice
from tests import fakes
from tests.fakes import SAMPLES_PER_CHARACTER, FakePipeline

Factory = Callable[..., Engine]

TEXT = "The door was open. Nobody had come in! Who was it?"


def recording(seconds: float = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * 24_000)).astype(np.float32)


def same(a: emovoice.Audio, b: emovoice.Audio) -> bool:
    return np.array_equal(a.samples, b.samples)


def free_s(engine: Engine, text: str) -> float:
    """The estimated free length: the middle of the range that a hopeless request is answered with."""
    with pytest.raises(LengthError) as caught:
        engine.synthesize(text, duration_s=1e-3)
    return float(str(caught.value).split("about ")[1].split(" s")[0])


# ---- the same request, the same speech -----------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"emotion": "anger", "intensity": 0.9},
        {"emotion": [0, 0, 0.5, 0, 0, 0.2, 0, 0], "seed": 7},
        {"emotion": {"fear": 0.4}, "timbre": "bert"},
        {"emotion_audio": recording(), "intensity": 0.5},
        {"timbre": recording()},
    ],
)
def test_a_stream_in_one_piece_is_the_synthesis(engine_factory: Factory, request_: dict[str, Any]) -> None:
    engine = engine_factory()
    speech = engine.stream(TEXT, **request_)
    chunks = list(speech)
    whole = engine.synthesize(TEXT, **request_)
    assert all(chunk.dtype == np.float32 and chunk.ndim == 1 for chunk in chunks)
    assert np.array_equal(np.concatenate(chunks), whole.samples)
    assert speech.warnings == whole.warnings and speech.duration_s == whole.duration_s
    assert whole.rate == 24_000 and whole.duration_s > 0 and whole.real_time_factor > 0
    assert speech.sentences == speech.sentences_done >= 1


def test_a_seed_decides(engine_factory: Factory) -> None:
    engine = engine_factory()
    assert same(engine.synthesize(TEXT, seed=3), engine.synthesize(TEXT, seed=3))
    assert same(engine.synthesize(TEXT, seed=3), engine_factory().synthesize(TEXT, seed=3))
    assert not same(engine.synthesize(TEXT, seed=3), engine.synthesize(TEXT, seed=4))
    engine.synthesize(TEXT, seed=2**63 - 1)
    assert same(engine.synthesize(TEXT, seed=np.int64(3)), engine.synthesize(TEXT, seed=3))  # type: ignore[arg-type]


def test_the_order_of_requests_does_not_matter(engine_factory: Factory) -> None:
    engine = engine_factory()
    texts = ["One more time.", "And again!", "Is that all?"]
    forwards = [engine.synthesize(text, seed=index).samples for index, text in enumerate(texts)]
    backwards = [engine.synthesize(texts[index], seed=index).samples for index in (2, 1, 0)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))


def test_streams_can_be_taken_in_turns(engine_factory: Factory) -> None:
    engine = engine_factory()
    one, two = engine.stream(TEXT, seed=1), engine.stream(TEXT, seed=2, emotion="sad")
    chunks: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    while True:
        pair = [next(one, None), next(two, None)]
        for chunk, heard in zip(pair, chunks, strict=True):
            if chunk is not None:
                heard.append(chunk)
        if all(chunk is None for chunk in pair):
            break
    assert np.array_equal(np.concatenate(chunks[0]), engine.synthesize(TEXT, seed=1).samples)
    assert np.array_equal(np.concatenate(chunks[1]), engine.synthesize(TEXT, seed=2, emotion="sad").samples)


def test_threads_share_an_engine(engine_factory: Factory) -> None:
    engine = engine_factory()
    heard: dict[int, np.ndarray] = {}

    def speak(seed: int) -> None:
        heard[seed] = engine.synthesize(TEXT, seed=seed).samples

    threads = [threading.Thread(target=speak, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(6):
        assert np.array_equal(heard[seed], engine.synthesize(TEXT, seed=seed).samples)


def test_the_seeds_of_sentences_differ() -> None:
    seeds = {sentence_seed(seed, index) for seed in (0, 1, 2**63 - 1) for index in range(1000)}
    assert len(seeds) == 3000 and all(0 <= seed < 2**63 for seed in seeds)
    assert sentence_seed(5, 3) == sentence_seed(5, 3)


# ---- who speaks, and how --------------------------------------------------------------------------------


def test_ways_to_name_a_voice(engine_factory: Factory, tmp_path: Path, shipped: Path) -> None:
    engine = engine_factory()
    anna = engine.synthesize(TEXT, timbre="anna")
    for timbre in (Voice.load("anna"), shipped / "anna.safetensors", str(shipped / "anna.safetensors")):
        assert same(engine.synthesize(TEXT, timbre=timbre), anna)
    assert same(engine.synthesize(TEXT), engine.synthesize(TEXT, timbre="default"))
    assert not same(anna, engine.synthesize(TEXT))


def test_ways_to_give_a_recording(engine_factory: Factory, tmp_path: Path) -> None:
    engine = engine_factory()
    soundfile.write(tmp_path / "me.wav", recording(), 24_000, subtype="FLOAT")
    expected = engine.synthesize(TEXT, timbre=recording())
    voice = Voice.from_audio(tmp_path / "me.wav", model="debug")
    for timbre in (tmp_path / "me.wav", str(tmp_path / "me.wav"), (recording(), 24_000), voice):
        assert same(engine.synthesize(TEXT, timbre=timbre), expected)


def test_a_recording_without_an_ending(
    engine_factory: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "me.wav", recording(), 24_000)
    (tmp_path / "me.wav").rename(tmp_path / "me")
    monkeypatch.chdir(tmp_path)
    assert engine_factory().voice("me").name == "me"


@pytest.mark.parametrize("emotion", [*names.EMOTIONS, recording(seed=1)])
def test_no_intensity_is_neutral(engine_factory: Factory, emotion: Any) -> None:
    engine = engine_factory()
    field = "emotion" if isinstance(emotion, str) else "emotion_audio"
    neutral = engine.synthesize(TEXT, emotion="neutral")
    assert same(engine.synthesize(TEXT, intensity=0, **{field: emotion}), neutral)
    assert same(engine.synthesize(TEXT), neutral)


def test_an_emotion_is_heard(fake_engine: Engine) -> None:
    neutral = fake_engine.synthesize(TEXT)
    angry = fake_engine.synthesize(TEXT, emotion="angry")
    assert not same(neutral, angry)
    assert same(angry, fake_engine.synthesize(TEXT, emotion="anger", intensity=0.7))
    assert same(angry, fake_engine.synthesize(TEXT, emotion=[0, 0.7, 0, 0, 0, 0, 0, 0]))
    recorded = fake_engine.synthesize(TEXT, emotion_audio=recording())
    assert same(recorded, fake_engine.synthesize(TEXT, emotion_audio=recording(), intensity=1))
    assert not same(recorded, fake_engine.synthesize(TEXT, emotion_audio=recording(), intensity=0.5))


def test_the_accent_is_the_voice_s_own_unless_asked(fake_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []

    def listening(text: str, *, accent: str) -> fakes.Reading:
        heard.append(accent)
        return fakes.read(text, accent=accent)

    monkeypatch.setattr(sys.modules["emovoice.text"], "read", listening)
    fake_engine.synthesize(TEXT, timbre="bert")
    fake_engine.synthesize(TEXT, timbre="bert", accent="us")
    fake_engine.synthesize(TEXT)
    assert heard == ["gb", "us", "us"]


# ---- how long ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pace", [0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 2.0])
@pytest.mark.parametrize("text", ["Only one sentence, but a longer one.", TEXT])
def test_the_length_asked_for_is_met(engine_factory: Factory, text: str, pace: float) -> None:
    engine = engine_factory()
    asked_s = pace * free_s(engine, text)
    audio = engine.synthesize(text, duration_s=asked_s)
    assert audio.asked_s == asked_s and abs(audio.duration_s - asked_s) <= 0.5 / 24_000 + 1e-9
    strained = [warning for warning in audio.warnings if "strained" in warning]
    assert len(strained) == (pace in (0.5, 2.0))


def test_without_a_length_it_takes_as_long_as_it_takes(fake_engine: Engine) -> None:
    audio = fake_engine.synthesize("One. Two.")
    assert len(audio.samples) == 8 * SAMPLES_PER_CHARACTER + 0.15 * 24_000
    assert audio.asked_s is None
    gap = audio.samples[4 * SAMPLES_PER_CHARACTER :][:3600]
    assert not gap.any()


def test_sentences_share_the_length_by_their_estimates(fake_engine: Engine) -> None:
    fake_engine.synthesize("Short. A much longer sentence.", duration_s=2)
    (_, short, _), (_, long, _) = fake_engine.pipeline.spoken  # type: ignore[attr-defined]
    assert long / short == pytest.approx(23 / 6, rel=1e-3)
    assert short + long < 48_000


def test_a_pause_in_the_text_and_a_length(engine_factory: Factory) -> None:
    engine = engine_factory()
    text = "Wait for it. [pause:0.7s] There it is, at last."
    asked_s = free_s(engine, text)
    audio = engine.synthesize(text, duration_s=asked_s)
    assert abs(audio.duration_s - asked_s) <= 0.5 / 24_000 + 1e-9
    silent = (audio.samples == 0).astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], silent, [0]])))
    assert (edges[1::2] - edges[::2]).max() >= round(0.7 * 24_000)


def test_pauses_in_the_text_keep_their_length(fake_engine: Engine) -> None:
    audio = fake_engine.synthesize("Yes[1s]. No no.", duration_s=1.6)
    (_, first, _), (_, second, _) = fake_engine.pipeline.spoken  # type: ignore[attr-defined]
    assert len(audio.samples) == round(1.6 * 24_000)
    assert (first - 24_000) / second == pytest.approx(4 / 6, rel=1e-3)


@pytest.mark.parametrize("duration_s", [0.1, 1000])
def test_a_length_that_cannot_be_spoken(engine_factory: Factory, duration_s: float) -> None:
    with pytest.raises(LengthError, match="Ask for") as caught:
        engine_factory().synthesize(TEXT * 5, duration_s=duration_s)
    assert caught.value.field == "duration_s"


# ---- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "field"),
    [
        ({"text": ""}, InputError, "text"),
        ({"text": " \n\t "}, InputError, "text"),
        ({"text": "?! ... --"}, InputError, "text"),
        ({"text": None}, InputError, "text"),
        ({"text": b"Hello."}, InputError, "text"),
        ({"text": "Hello \udc80."}, InputError, "text"),
        ({"text": "Hello. " * 15_000}, InputError, "length"),
        ({"emotion": "angery"}, InputError, "emotion"),
        ({"emotion": [0.1] * 7}, InputError, "emotion"),
        ({"emotion": "sad", "intensity": 1.5}, InputError, "intensity"),
        ({"emotion": "sad", "intensity": math.nan}, InputError, "intensity"),
        ({"intensity": 2}, InputError, "intensity"),
        ({"emotion": "sad", "emotion_audio": recording()}, InputError, "emotion"),
        ({"emotion": "neutral", "emotion_audio": recording()}, InputError, "emotion"),
        ({"emotion_audio": recording(), "intensity": -1}, InputError, "intensity"),
        ({"emotion_audio": "none.wav"}, AudioError, "path"),
        ({"timbre": "none.wav"}, AudioError, "path"),
        ({"timbre": "none"}, InputError, "timbre"),
        ({"timbre": "none.safetensors"}, ModelError, "path"),
        ({"timbre": 5}, AudioError, "source"),
        ({"timbre": recording(0.05)}, AudioError, "seconds"),
        ({"timbre": np.zeros(72_000)}, AudioError, None),
        ({"timbre": "x" * 5000}, InputError, "timbre"),
        ({"timbre": "x" * 5000 + ".wav"}, AudioError, "path"),
        ({"duration_s": 0}, InputError, "duration_s"),
        ({"duration_s": math.nan}, InputError, "duration_s"),
        ({"duration_s": "2"}, InputError, "duration_s"),
        ({"duration_s": 0.01}, LengthError, "duration_s"),
        ({"seed": -1}, InputError, "seed"),
        ({"seed": 2**63}, InputError, "seed"),
        ({"seed": 1.0}, InputError, "seed"),
        ({"seed": True}, InputError, "seed"),
        ({"seed": None}, InputError, "seed"),
        ({"accent": "fr"}, InputError, "accent"),
    ],
)
def test_bad_requests_are_refused_before_the_first_chunk(
    engine_factory: Factory, arguments: dict[str, Any], kind: type[EmovoiceError], field: str | None
) -> None:
    with pytest.raises(EmovoiceError) as caught:
        engine_factory().stream(**{"text": TEXT, **arguments})
    assert type(caught.value) is kind and caught.value.field == field


@pytest.mark.parametrize("device", ["tpu", "", "cuda:99"])
def test_a_bad_device(device: str) -> None:
    with pytest.raises(ModelError, match="device"):
        Engine("debug", device)


def test_a_bad_model(engine_factory: Factory) -> None:
    with pytest.raises(ModelError):
        Engine("no such model")


def test_the_text_limit_can_be_changed(engine_factory: Factory) -> None:
    text = "Hello there. " * 1600
    with pytest.raises(InputError, match=r"20,000 characters \(length=20800\).*Limits\(text_chars"):
        engine_factory().stream(text)
    engine_factory(limits=Limits(text_chars=200_000)).stream(text)
    with pytest.raises(InputError, match="longer than 10 characters"):
        engine_factory(limits=Limits(text_chars=10)).stream(TEXT)


def test_warnings_of_all_parts_arrive(fake_engine: Engine) -> None:
    stranger = Voice("x", np.zeros(192), np.zeros(256), model="other")
    audio = fake_engine.synthesize("Ten % more. Yes.", stranger, emotion_audio=recording(1), duration_s=0.5)
    parts = ("model 'other'", "emotion recording: only 1.0 s", "'%' was left out", "strained")
    assert len(audio.warnings) == len(parts)
    assert all(part in warning for part, warning in zip(parts, audio.warnings, strict=True))


def test_a_loud_model_is_warned_of(fake_engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(FakePipeline, "speak", lambda *_, **__: iter([np.full(24_000, 1.5, np.float32)]))
    audio = fake_engine.synthesize(TEXT)
    assert audio.samples.max() == 1.5 and "not clipped" in audio.warnings[0]


def test_a_model_gone_wrong(fake_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakePipeline, "speak", lambda *_, **__: iter([np.array([0, np.nan], np.float32)]))
    with pytest.raises(ModelError, match="not numbers"):
        fake_engine.synthesize(TEXT)


def test_memory_does_not_grow_with_the_text(fake_engine: Engine) -> None:
    def peak_bytes(sentences: int) -> int:
        tracemalloc.start()
        for _ in fake_engine.stream("This one is said again. " * sentences):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(1)
    samples_of_one = 24 * SAMPLES_PER_CHARACTER * 4
    assert peak_bytes(200) - peak_bytes(10) < samples_of_one * 2


# ---- the module's own functions ---------------------------------------------------------------------


def test_the_shared_engine_is_loaded_once(engine_factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Engine] = []
    threads = [threading.Thread(target=lambda: found.append(shared_engine("debug"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(engine) for engine in found}) == 1 and len(found) == 8


def test_the_functions_of_the_package(engine_factory: Factory) -> None:
    expected = engine_factory().synthesize(TEXT, "anna", "joy", 0.4, seed=5)
    assert same(emovoice.synthesize(TEXT, "anna", "joy", 0.4, seed=5, model="debug"), expected)
    chunks = list(emovoice.stream(TEXT, "anna", "joy", 0.4, seed=5, model="debug"))
    assert np.array_equal(np.concatenate(chunks), expected.samples)


def test_the_names_of_the_package() -> None:
    assert sorted(emovoice.__all__) == sorted(
        ["Audio", "AudioError", "EMOTIONS", "EmovoiceError", "Engine", "InputError", "LengthError", "Limits",
         "ModelError", "OutputError", "Speech", "Voice", "stream", "synthesize", "voices"]
    )  # fmt: skip
    assert all(hasattr(emovoice, name) for name in emovoice.__all__) and set(emovoice.__all__) <= set(dir(emovoice))
    with pytest.raises(AttributeError):
        _ = emovoice.nonsense
