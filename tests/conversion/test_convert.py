"""`Engine.convert` on the debug model: lengths, channels, streams, curves, warnings, and what is refused."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import emovoice
from emovoice import bundle as bundles
from emovoice.conversion.converter import Converter, Decoding, at, pitch_at
from emovoice.emotion import understand
from emovoice.emotion.curve import EmotionCurve, Keyframe
from emovoice.encoder.melody import CODE_SAMPLES, level_of
from emovoice.engine import Engine
from emovoice.errors import AudioError, InputError, LengthError, ModelError
from emovoice.limits import Limits
from emovoice.voice import Voice

RATE = 24_000


def speech(seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    """Syllables of noise and buzz with a pause now and then."""
    draw = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    buzz = np.sign(np.sin(2 * np.pi * (120 + 20 * np.sin(3 * t)) * t))
    shape = np.clip(np.sin(2 * np.pi * 2.5 * t) + 0.6, 0.0, 1.0) * (t % 4.5 < 4.2)
    return (0.2 * shape * (buzz + 0.3 * draw.standard_normal(len(t)))).astype(np.float32)


def somebody() -> Voice:
    timbre = np.random.default_rng(7).standard_normal(192)
    return Voice("somebody", timbre / np.linalg.norm(timbre), np.zeros(256))


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine("debug")


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return speech()


# ---- lengths, rates, channels -----------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 22_050, 24_000, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_rate_channels_and_length_stay(engine: Engine, rate: int, channels: int) -> None:
    samples = speech(1.0)[: 23_957 if rate == 24_000 else 20_001]
    source = samples if channels == 1 else np.stack([samples, 0.5 * samples], 1)
    made = engine.convert((source, rate), "sad", 0.8)
    assert made.samples.shape == source.shape and made.rate == rate and made.samples.dtype == np.float32
    if channels == 2:
        assert np.allclose(made.samples[:, 1], 0.5 * made.samples[:, 0], atol=1e-4)
        assert any("2 channels" in warning for warning in made.warnings)


@pytest.mark.parametrize("seconds", [1.5, 3.0, 3.7009, 6.2])
@pytest.mark.parametrize("tempo", [False, True])
def test_the_length_asked_for_is_met_to_the_sample(
    engine: Engine, clip: np.ndarray, seconds: float, tempo: bool
) -> None:
    made = engine.convert(clip, "happy", 1.0, duration_s=seconds, tempo=tempo)
    assert len(made.samples) == round(seconds * RATE) and made.asked_s == seconds
    assert any("length changed" in warning for warning in made.warnings) == (seconds != 3.0)


@pytest.mark.parametrize("samples", [1, 50, 961, 72_001])
@pytest.mark.parametrize("rate", [24_000, 44_100])
def test_the_shortest_recordings(engine: Engine, samples: int, rate: int) -> None:
    source = speech(4.0)[15_000 : 15_000 + samples]
    try:
        made = engine.convert((source, rate), "sad", tempo=True, duration_s=1.5 * samples / rate)
    except AudioError as error:  # a single sample has nothing but an offset
        assert samples < 960 and "silent" in str(error)
    else:
        assert len(made.samples) == max(1, round(1.5 * samples))


def test_tempo_changes_the_length_and_says_so(engine: Engine, clip: np.ndarray) -> None:
    space, moves = engine.pipeline.bundle.space, engine.pipeline.bundle.moves
    made = engine.convert(clip, "happy", 1.0, tempo=True)
    assert moves is not None and space is not None and len(made.samples) != len(clip)
    assert any("length changed" in warning for warning in made.warnings)


@pytest.mark.parametrize("seconds", [0.9, 9.5, 0.0, -1.0, float("nan"), "2"])
def test_lengths_that_cannot_be(engine: Engine, clip: np.ndarray, seconds: Any) -> None:
    with pytest.raises((LengthError, InputError)) as caught:
        engine.convert(clip, "sad", duration_s=seconds)
    assert caught.value.field == "duration_s"


# ---- streams ----------------------------------------------------------------------------------------------


def in_blocks(samples: np.ndarray, size: int = 4800) -> Iterator[np.ndarray]:
    return (samples[i : i + size] for i in range(0, len(samples), size))


def test_a_stream_is_the_conversion_in_pieces(engine: Engine) -> None:
    samples = speech(11.0)
    stream = engine.convert_stream(samples, "angry", 0.6)
    chunks = list(stream)
    whole = engine.convert(samples, "angry", 0.6)
    assert len(chunks) > 1 and np.array_equal(np.concatenate(chunks), whole.samples)
    assert stream.warnings == whole.warnings and stream.duration_s == whole.duration_s == 11.0
    assert whole.real_time_factor > 0


def test_blocks_in_give_the_same_out(engine: Engine) -> None:
    samples = speech(11.0) - speech(11.0).mean()
    live = engine.convert_stream(in_blocks(samples), "angry", 0.6, rate=RATE).collect()
    whole = engine.convert(samples, "angry", 0.6)
    assert len(live.samples) == len(whole.samples)
    assert rms(live.samples - whole.samples) < 0.1 * rms(whole.samples), "but for rounding"


def test_what_comes_in_goes_out_before_the_end(engine: Engine) -> None:
    taken = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal taken
        samples = speech(9.0)
        while True:
            for block in in_blocks(samples):
                taken += len(block)
                yield block

    given, stream = 0, engine.convert_stream(endless(), "sad", rate=RATE)
    for _ in range(2):
        given += len(next(stream))
        assert taken - given < 9 * RATE


def test_memory_does_not_grow_with_the_length(engine: Engine) -> None:
    def peak(seconds: float) -> int:
        silence = np.zeros(4800, np.float32)
        blocks = (silence for _ in range(round(seconds * 5)))
        tracemalloc.start()
        for _ in engine.convert_stream(blocks, "sad", rate=RATE):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(120) < 1.3 * peak(20)


def test_a_file_is_read_in_blocks(engine: Engine, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.flac", speech(2.0), RATE)
    made = engine.convert(tmp_path / "in.flac", "sad")
    assert len(made.samples) == 2 * RATE
    made.save(tmp_path / "out.wav")
    assert soundfile.info(tmp_path / "out.wav").frames == 2 * RATE


# ---- what is asked for ------------------------------------------------------------------------------------


def test_a_seed_decides_only_what_is_not_the_recordings_own(engine: Engine, clip: np.ndarray) -> None:
    drawn = Decoding(keep=0.5)
    one, again, other = (engine.convert(clip, "sad", seed=seed, decoding=drawn).samples for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_no_intensity_is_the_same_for_every_emotion(engine: Engine, clip: np.ndarray) -> None:
    one, other = (engine.convert(clip, emotion, 0.0, tempo=True).samples for emotion in ("sad", "happy"))
    assert np.array_equal(one, other) and len(one) == len(clip)


def test_no_intensity_is_nearly_the_vocoders_copy(engine: Engine, clip: np.ndarray) -> None:
    """Through noise and back, the mel comes out again: with more steps nearer. Between words it is kept quiet, which
    random weights are not."""
    centred = clip - clip.mean()
    copy = engine.pipeline.converter().vocoded(centred)
    level_db = level_of(centred)
    words = np.repeat(level_db > level_db.max() - 25, CODE_SAMPLES)

    def away(steps: int) -> float:
        made = engine.convert(centred, "sad", 0.0, decoding=Decoding(steps=steps)).samples
        return rms((made / rms(made[words]) - copy / rms(copy[words]))[words])

    assert away(24) < 0.5 * away(3) and away(24) < 0.3


def test_between_words_it_is_as_quiet_as_the_recording(engine: Engine) -> None:
    """Whatever the networks put there: random ones speak all the time."""
    words = speech(3.0) - speech(3.0).mean()
    source = np.concatenate([words, 0.001 * words, words])
    made = engine.convert(source, "angry", 0.0).samples
    before, after = (level_of(samples[80_000:136_000]) for samples in (source, made))
    assert level_of(made[: 3 * RATE]).max() > -50 and np.median(after - before) < 3


def test_words_are_as_loud_as_they_shall_be(engine: Engine) -> None:
    """Within what random weights can be helped with."""
    copy = engine.pipeline.converter().vocoded(speech(3.0))
    source = copy / rms(copy) * rms(engine.convert(speech(3.0), "sad", 0.0).samples)
    made = engine.convert(source, "sad", 0.0).samples
    assert 20 * np.log10(rms(made) / rms(source)) == pytest.approx(0, abs=1.5)


def test_emotion_intensity_timbre_reference_and_curve_are_heard(engine: Engine, clip: np.ndarray) -> None:
    asked: list[dict[str, Any]] = [
        {"emotion": "sad", "intensity": 1.0},
        {"emotion": "sad", "intensity": 0.5},
        {"emotion": "happy", "intensity": 1.0},
        {"emotion": {"sad": 0.5, "happy": 0.5}},
        {"emotion": "neutral", "intensity": 1.0},
        {"reference": speech(2.0, seed=3)},
        {"instruction": "absolutely furious"},
        {"instruction": "starts calm, ends furious"},
        {"emotion": [(0.0, "sad", 1.0), (1.5, "happy", 1.0)]},
        {"emotion": "sad", "intensity": 1.0, "timbre": somebody()},
        {"emotion": "sad", "intensity": 1.0, "decoding": Decoding(guidance=(1.0, 2.0))},
        {"emotion": "sad", "intensity": 1.0, "decoding": Decoding("ml", 3, 0.0)},
    ]
    made = [engine.convert(clip, **one).samples for one in asked]
    for i in range(len(made)):
        for j in range(i):
            assert not np.allclose(made[i], made[j], rtol=0, atol=1e-6), (asked[i], asked[j])


def test_a_curve_changes_only_where_it_changes(engine: Engine, clip: np.ndarray) -> None:
    still = engine.convert(clip, [(0.0, "sad", 0.5), (3.0, "sad", 0.5)]).samples
    curve = EmotionCurve((Keyframe(0.0, {"sad": 1.0}, 0.5), Keyframe(1.0, {"sad": 1.0}, 0.5)))
    assert np.array_equal(still, engine.convert(clip, curve).samples)
    named = engine.convert(clip, "sad", 0.5).samples
    assert rms(still - named) < 0.05 * rms(named), "but for rounding"


def test_an_instruction_is_the_emotion_or_the_curve_that_is_understood(engine: Engine, clip: np.ndarray) -> None:
    for words in ("furious, and blorfengurk", "starts calm, ends shouting"):
        found = understand(words)
        emotion = found.curve if len(found.moments) > 1 else found.emotion
        made = engine.convert(clip, instruction=words)
        assert np.array_equal(made.samples, engine.convert(clip, emotion).samples)
        assert np.array_equal(made.samples, engine.convert(clip, instruction=found).samples)
        assert ("blorfengurk" in words) == any("blorfengurk" in warning for warning in made.warnings)


def test_a_timbre_alone_and_a_length_alone_are_something_to_do(engine: Engine, clip: np.ndarray) -> None:
    assert len(engine.convert(clip, timbre=somebody()).samples) == len(clip)
    assert len(engine.convert(clip, duration_s=4.0).samples) == 4 * RATE


# ---- what is said about it --------------------------------------------------------------------------------


def test_nobody_speaks(engine: Engine) -> None:
    with pytest.raises(AudioError, match="silent"):
        engine.convert(np.zeros(5 * RATE, np.float32), "sad")
    live = engine.convert_stream(in_blocks(np.full(5 * RATE, 1e-6, np.float32)), "sad", rate=RATE).collect()
    assert len(live.samples) == 5 * RATE and any("nobody speaks" in warning for warning in live.warnings)


def test_silence_in_a_recording_is_passed_on_as_it_is(engine: Engine) -> None:
    samples = np.concatenate([speech(4.0), np.zeros(20 * RATE, np.float32), speech(4.0)])
    made = engine.convert(samples - samples.mean(), "sad")
    assert len(made.samples) == len(samples) and np.abs(made.samples[14 * RATE : 16 * RATE]).max() < 1e-2


def test_digital_silence_around_speech_stays_silent(engine: Engine, clip: np.ndarray) -> None:
    hush = np.zeros(RATE // 4, np.float32)
    made = engine.convert(np.concatenate([hush, clip - clip.mean(), hush]), "sad", 1.0).samples
    for part in (made[: RATE // 8], made[-RATE // 8 :]):
        assert rms(part) < 1e-4
    assert rms(made[RATE // 4 : -RATE // 4]) > 1e-3


def test_music_is_told(engine: Engine) -> None:
    """The debug model understands nothing: to it, all is music."""
    assert any("not understood as speech" in warning for warning in engine.convert(speech(), "sad").warnings)


def test_another_speaker_is_told_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    hear, count = Converter.hear, 0

    def by_turns(self: Converter, samples: np.ndarray) -> Any:
        nonlocal count
        heard, count = hear(self, samples), count + 1
        object.__setattr__(heard, "timbre", np.eye(192, dtype=np.float32)[count % 2])
        return heard

    monkeypatch.setattr(Converter, "hear", by_turns)
    made = engine.convert(speech(25.0), "sad")
    (told,) = [warning for warning in made.warnings if "another voice" in warning]
    assert "each keeps its own timbre" in told


def test_an_emotion_that_is_there_already_is_told(engine: Engine, clip: np.ndarray) -> None:
    made = engine.convert(clip, reference=clip)
    assert any("already" in warning for warning in made.warnings)
    assert not any("already" in warning for warning in engine.convert(clip, "sad").warnings)


def test_a_reference_of_another_language_is_no_trouble(engine: Engine, clip: np.ndarray) -> None:
    """Only its emotion vector is taken; nothing asks for words."""
    made = engine.convert(clip, reference=(speech(2.0, 9)[::-1].copy(), 16_000), intensity=0.5)
    assert len(made.samples) == len(clip)


def test_what_the_reference_lacks_is_told(engine: Engine, clip: np.ndarray) -> None:
    made = engine.convert(clip, reference=speech(1.5, 2))
    assert any(warning.startswith("emotion recording: only") for warning in made.warnings)


# ---- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({}, "emotion"),
        ({"emotion": "sadd"}, "emotion"),
        ({"emotion": "sad", "intensity": 1.5}, "intensity"),
        ({"emotion": "sad", "reference": speech(1.0)}, "emotion"),
        ({"emotion": "sad", "instruction": "sad"}, "emotion"),
        ({"instruction": "sad", "reference": speech(1.0)}, "instruction"),
        ({"instruction": " "}, "instruction"),
        ({"emotion": "sad", "seed": -1}, "seed"),
        ({"emotion": "sad", "timbre": "nobody-of-that-name"}, "timbre"),
        ({"emotion": [(0, "sad")]}, "emotion[0]"),
        ({"emotion": "sad", "decoding": Decoding(solver="magic")}, "solver"),
        ({"emotion": "sad", "decoding": Decoding(steps=0)}, "steps"),
        ({"emotion": "sad", "decoding": Decoding(keep=1.1)}, "keep"),
        ({"emotion": "sad", "decoding": Decoding(guidance=(1.0, 99.0))}, "guidance"),
    ],
)
def test_requests_that_cannot_be(engine: Engine, clip: np.ndarray, request_: dict[str, Any], field: str) -> None:
    with pytest.raises((InputError, ModelError)) as caught:
        engine.convert(clip, **request_)
    assert caught.value.field == field


def test_a_stream_has_no_length(engine: Engine) -> None:
    curve = EmotionCurve((Keyframe(0.0, {"sad": 1.0}, 0.5),))
    for more in ({"emotion": "sad", "duration_s": 3.0}, {"emotion": curve}):
        with pytest.raises(InputError, match=r"known|unknown"):
            engine.convert_stream(in_blocks(speech()), rate=RATE, **more)  # type: ignore[arg-type]


def test_too_long_is_refused_before_anything_is_converted() -> None:
    engine = Engine("debug", limits=Limits(source_s=2.0))
    with pytest.raises(AudioError, match="longer than 2 s"):
        engine.convert(speech(2.5), "sad")


def test_a_model_without_conversion_says_how_to_get_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.pipeline.bundle, "moves", None)
    with pytest.raises(ModelError, match="emovoice train") as caught:
        engine.convert(speech(), "sad")
    assert caught.value.field == "model"


def test_numbers_that_are_none_are_not_written(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Converter, "speak", lambda self, piece, *_: np.full(len(piece.samples), np.nan, np.float32))
    with pytest.raises(ModelError, match="not numbers"):
        engine.convert(speech(), "sad")


def test_the_package_has_it(shipped: Path, engine_factory: Callable[..., Engine]) -> None:
    made = emovoice.convert(speech(1.0), "sad", model="debug")
    assert np.array_equal(made.samples, engine_factory().convert(speech(1.0), "sad").samples)
    assert len(emovoice.convert_stream(speech(1.0), "sad", model="debug").collect().samples) == RATE


# ---- values between their places --------------------------------------------------------------------------


def test_values_are_read_between_the_middles_of_their_stretches() -> None:
    values = np.array([[0.0], [2.0], [4.0]])
    assert at(values, np.array([0.0, 5.0, 10.0, 15.0, 30.0]), 10)[:, 0].tolist() == [0, 0, 1, 2, 4]
    assert at(np.array([7.0]), np.array([1.0, 99.0]), 10).tolist() == [7, 7]


def test_pitch_between_voiced_codes_is_voiced_where_the_nearest_is() -> None:
    found = pitch_at(np.array([100.0, 0.0, 200.0]), np.array([480.0, 1000.0, 1900.0, 2400.0]))
    assert found[0] == pytest.approx(100) and found[1] == found[2] == 0 and found[3] == pytest.approx(200)
    assert not pitch_at(np.zeros(3), np.array([10.0])).any()


def test_every_model_says_whether_it_converts() -> None:
    assert bundles.load("debug").convert is not None
