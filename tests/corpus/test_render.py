"""What an emotion does to a score and to sound, in the quantities that the data file names. Without the teacher."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from emovoice.corpus.correlates import FACTORS, Correlates, correlates, table
from emovoice.corpus.render import PAUSES, VOWELS, bend, colour, render, stretch
from emovoice.corpus.teacher import RATE_HZ, Score, Teacher
from emovoice.emotion.names import EMOTIONS

PHONEMES = "ðə hˈɑɹbəɹ wʌz kwˈIət, ænd ə θˈɪn fˈɑɡ lˈA."


def score(phonemes: str = PHONEMES, frames: int = 3, base_hz: float = 150.0) -> Score:
    """A voiced score whose log F0 swings by a tenth, with an unvoiced beginning and end."""
    durations = np.array([2, *[frames] * len(phonemes), 2])
    count = 2 * int(durations.sum())
    f0 = base_hz * np.exp(0.1 * np.sin(np.arange(count) / 5))
    f0[:8] = f0[-8:] = 0
    return Score(phonemes, np.zeros((1, 256)), durations, np.zeros((1, 512, count // 2)), f0, np.zeros(count))


def tone(seconds: float = 1.0, amplitude: float = 0.1) -> np.ndarray:
    """A harmonic tone of 150 Hz."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (amplitude * sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 60))).astype(np.float32)


def level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.asarray(samples, float) ** 2)))


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# ---- correlates -------------------------------------------------------------------------------------------


def test_the_table_has_every_emotion_and_every_correlate() -> None:
    assert set(table()["emotions"]) == set(EMOTIONS)
    names = {field.name for field in fields(Correlates)}
    for row in table()["emotions"].values():
        assert set(row) == {*names, "sources"} and row["sources"]
        assert set(row["sources"]) <= set(table()["sources"])


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_no_intensity_is_the_neutral_element(emotion: str) -> None:
    assert correlates(emotion, 0.0) == Correlates() == correlates(emotion, 0.0, draw())
    assert correlates("neutral", 1.0) == correlates("neutral", 0.3, draw()) == Correlates()


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_shifts_grow_linearly_and_factors_geometrically(emotion: str) -> None:
    half, full, row = correlates(emotion, 0.5), correlates(emotion, 1.0), table()["emotions"][emotion]
    for field in fields(Correlates):
        a, b = getattr(half, field.name), getattr(full, field.name)
        assert b == row[field.name]
        assert (a * a if field.name in FACTORS else 2 * a) == pytest.approx(b)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_items_are_spread_around_the_table(emotion: str) -> None:
    full, spread = correlates(emotion, 1.0), table()["spread"]
    drawn = [correlates(emotion, 1.0, draw(seed)) for seed in range(200)]
    for field in fields(Correlates):
        def deviation(one: Correlates, name: str = field.name) -> float:
            value = float(getattr(one, name))
            return float(np.log(value)) if name in FACTORS else value

        centre, found = deviation(full), np.array([deviation(one) for one in drawn])
        assert (np.abs(found - centre) <= spread * abs(centre) + 1e-9).all()
        if centre:
            assert np.std(found) > 0.3 * spread * abs(centre)
            assert abs(found.mean() - centre) < 0.1 * abs(centre) and (np.sign(found) == np.sign(centre)).all()


# ---- durations --------------------------------------------------------------------------------------------


def test_a_neutral_stretch_changes_nothing() -> None:
    frames = np.array([20, *range(1, len(PHONEMES) + 1), 3])
    kept = stretch(PHONEMES, frames, Correlates())
    assert np.array_equal(kept, frames)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("emotion", EMOTIONS)
def test_the_stretched_total_is_right_and_no_phoneme_is_lost(emotion: str, seed: int) -> None:
    rng = draw(seed)
    how = correlates(emotion, float(rng.uniform(0, 1)), rng)
    frames = np.array([4, *rng.integers(2, 9, len(PHONEMES)), 4])
    made = stretch(PHONEMES, frames, how)
    assert made.dtype == np.int64 and made.min() >= 1 and len(made) == len(frames)
    factors = [how.pause * how.duration if c in PAUSES else how.duration ** (1.25 if c in VOWELS else 0.75)
               for c in PHONEMES]
    assert abs(made[1:-1].sum() - (frames[1:-1] * factors).sum()) <= 0.5


def test_short_phonemes_keep_a_frame() -> None:
    made = stretch(PHONEMES, np.ones(len(PHONEMES) + 2), Correlates(duration=0.3))
    assert (made[1:-1] == 1).all()


def test_vowels_take_more_of_the_change_than_consonants() -> None:
    made = stretch("ata", np.array([1, 100, 100, 100, 1]), Correlates(duration=1.2))
    assert made[1] == made[3] > made[2] > 100


# ---- pitch ------------------------------------------------------------------------------------------------


def bent(how: Correlates, **options: Any) -> tuple[np.ndarray, np.ndarray, Score]:
    """log2 F0 of the voiced frames in semitones, before and after."""
    made, plain = score(**options), score(**options)
    bend(made, how, draw())
    voiced = plain.f0_hz > 0
    return 12 * np.log2(plain.f0_hz[voiced]), 12 * np.log2(made.f0_hz[voiced]), made


def test_neutral_bends_nothing() -> None:
    before, after, made = bent(Correlates())
    assert np.allclose(before, after) and not made.energy.any()


@pytest.mark.parametrize("shift", [-4.0, 2.5, 5.5])
def test_the_mean_moves_by_the_shift(shift: float) -> None:
    before, after, made = bent(Correlates(f0_shift_st=shift))
    assert after.mean() - before.mean() == pytest.approx(shift, abs=1e-6)
    assert after.std() == pytest.approx(before.std())
    assert np.array_equal(made.f0_hz > 0, score().f0_hz > 0)


@pytest.mark.parametrize("factor", [0.5, 1.6, 2.0])
def test_the_range_grows_by_the_factor(factor: float) -> None:
    before, after, _ = bent(Correlates(f0_range=factor))
    assert after.std() / before.std() == pytest.approx(factor) and after.mean() == pytest.approx(before.mean())


def test_pitch_stays_within_what_a_voice_can_do() -> None:
    for shift in (-40, 40):
        _, _, made = bent(Correlates(f0_shift_st=shift))
        voiced = made.f0_hz[made.f0_hz > 0]
        assert voiced.min() >= 55 and voiced.max() <= 600


def test_the_end_moves_by_the_final_shift() -> None:
    before, after, _ = bent(Correlates(final_st=3.0))
    assert after[-1] - before[-1] == pytest.approx(3) and np.allclose(after[:-20], before[:-20])


def test_stressed_vowels_swing_further() -> None:
    before, after, _ = bent(Correlates(accent=1.5))
    moved = np.abs(after - before) > 1e-9
    assert 0 < moved.mean() < 0.5


def test_jitter_roughens_and_tremor_waves() -> None:
    before, after, _ = bent(Correlates(jitter_pct=2.0))
    assert np.std(after - before) == pytest.approx(12 * 0.02 / np.log(2), rel=0.2)
    before, after, _ = bent(Correlates(tremor_st=0.5))
    assert np.ptp(after - before) == pytest.approx(1.0, rel=0.05)


def test_effort_is_part_of_the_level() -> None:
    _, _, made = bent(Correlates(gain_db=6.0))
    assert np.allclose(made.energy, 0.4 * 6 * np.log(10) / 20)


def test_a_score_without_voice_is_left_alone() -> None:
    made = score()
    made.f0_hz[:] = 0
    bend(made, correlates("angry", 1.0), draw())
    assert not made.f0_hz.any() and not made.energy.any()


# ---- sound ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [-6.0, 0.0, 3.0, 6.0])
@pytest.mark.parametrize("amplitude", [0.003, 0.3])
def test_the_level_is_the_gain_whatever_came_in(gain: float, amplitude: float) -> None:
    made = colour(tone(amplitude=amplitude), Correlates(gain_db=gain), draw())
    assert made.dtype == np.float32 and level_db(made) == pytest.approx(20 * np.log10(0.045) + gain, abs=0.01)


def test_tilt_is_per_octave_above_a_kilohertz() -> None:
    plain, bright = (np.abs(np.fft.rfft(colour(tone(), Correlates(tilt_db_oct=t), draw()))) for t in (0.0, 2.0))
    gained = {hz: 20 * np.log10(bright[hz] / plain[hz]) for hz in (600, 1200, 2400, 4800)}  # one bin a hertz
    assert gained[2400] - gained[1200] == pytest.approx(2, abs=0.05) == gained[4800] - gained[2400]
    assert gained[1200] - gained[600] == pytest.approx(2 * np.log2(1.2), abs=0.05)


def test_breath_is_noise_between_the_harmonics() -> None:
    def between(breath: float) -> float:
        spectrum = np.abs(np.fft.rfft(colour(tone(), Correlates(breath=breath), draw()))) ** 2
        return float(10 * np.log10(spectrum[3075::150][:20].mean()))

    assert between(1.0) - between(0.5) == pytest.approx(6, abs=0.5) and between(0.5) - between(0.0) > 20


def test_shimmer_moves_the_level_of_single_periods() -> None:
    def unevenness(samples: np.ndarray) -> float:
        return float(np.std([level_db(part) for part in samples[: 160 * 149].reshape(-1, 160)]))

    plain, rough = (colour(tone(), Correlates(shimmer_db=s), draw()) for s in (0.0, 1.0))
    assert unevenness(plain) < 0.1 < 0.4 < unevenness(rough)


def test_sound_never_clips() -> None:
    clicks = np.zeros(RATE_HZ, np.float32)
    clicks[::4000] = 1
    assert np.abs(colour(clicks, Correlates(gain_db=6.0), draw())).max() == pytest.approx(0.98, rel=1e-5)


# ---- a whole item -----------------------------------------------------------------------------------------


class Hummer(Teacher):
    """The teacher's interface on arithmetic: three frames a phoneme, 150 Hz, a steady tone."""

    def __init__(self) -> None:
        pass

    def style(self, voice: str, tokens: int) -> np.ndarray:
        return np.zeros((1, 256), np.float32)

    def durations(self, phonemes: str, style: np.ndarray) -> np.ndarray:
        return np.array([9, *[3] * len(phonemes), 9], np.float32)

    def score(self, phonemes: str, style: np.ndarray, durations: np.ndarray) -> Score:
        count = 2 * int(durations.sum())
        return Score(phonemes, style, durations, np.zeros((1, 512, count // 2)), np.full(count, 150.0), np.zeros(count))

    def sing(self, score: Score) -> np.ndarray:
        return tone(score.durations.sum() * 600 / RATE_HZ)


@pytest.mark.parametrize("warp", [0.9, 1.0, 1.16])
@pytest.mark.parametrize("emotion", ["neutral", "angry", "melancholic"])
def test_labels_fit_the_sound(emotion: str, warp: float) -> None:
    made = render(Hummer(), PHONEMES, "af_heart", correlates(emotion, 1.0), draw(), warp)
    frames = int(made.durations.sum())
    assert made.durations[0] == made.durations[-1] == 2 and len(made.durations) == len(PHONEMES) + 2
    assert len(made.f0_hz) == len(made.energy) == 2 * frames
    assert len(made.samples) == pytest.approx(frames * 600 / warp, abs=2)
    assert np.isfinite(made.samples).all() and np.abs(made.samples).max() <= 1


def test_a_warp_keeps_the_tempo_and_raises_the_pitch() -> None:
    plain, warped = (render(Hummer(), PHONEMES, "x", Correlates(), draw(), warp) for warp in (1.0, 1.1))
    assert len(warped.samples) / len(plain.samples) == pytest.approx(1, abs=0.03)
    assert np.median(warped.f0_hz) == pytest.approx(1.1 * np.median(plain.f0_hz))


def test_a_score_without_sound_has_the_same_labels() -> None:
    how = correlates("sad", 0.8)
    full, silent = (render(Hummer(), PHONEMES, "x", how, draw(), audible=audible) for audible in (True, False))
    assert silent.samples.size == 0 and np.array_equal(full.durations, silent.durations)
    assert np.array_equal(full.f0_hz, silent.f0_hz) and np.array_equal(full.energy, silent.energy)
