"""What moves melody, level and tempo: nothing for no change, and what was measured is what is made."""

from __future__ import annotations

import numpy as np
import pytest

from emovoice.emotion import prosody
from emovoice.emotion.prosody import MOVES, ProsodyMoves
from emovoice.text import symbols

VOWEL, CONSONANT = symbols.encode("æ")[0], symbols.encode("s")[0]


def phrase(codes: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    pitch = 150 * 2 ** (0.3 * np.sin(np.arange(codes) / 5) + 0.05 * draw.standard_normal(codes))
    pitch[::7] = 0
    level = -30 + 6 * np.sin(np.arange(codes) / 4)
    classes = np.where(np.arange(codes) % 10 == 0, 0, np.where(np.arange(codes) % 2, VOWEL, CONSONANT))
    level[classes == 0] = -70
    return pitch, level, classes


def moves(codes: int = 60, **values: float) -> np.ndarray:
    out = np.zeros((codes, len(MOVES)))
    for name, value in values.items():
        out[:, MOVES.index(name)] = value
    return out


def applied(one: tuple[np.ndarray, np.ndarray, np.ndarray], how: np.ndarray) -> tuple[np.ndarray, ...]:
    pitch, level, classes = one
    moved = pitch * prosody.pitch_ratio(pitch, how, ends=True), prosody.moved_level(level, how)
    # codes are repeated as often as their factor says, which is enough to count them
    times = np.round(10 * prosody.tempo(classes, how)).astype(int)
    return moved[0], moved[1], np.repeat(classes, times)


def test_no_moves_change_nothing() -> None:
    pitch, level, classes = phrase()
    none = moves()
    assert np.allclose(prosody.pitch_ratio(pitch, none, ends=True), 1)
    assert np.allclose(prosody.moved_level(level, none), level)
    assert np.allclose(prosody.tempo(classes, none), 1)


def test_what_is_applied_is_what_would_be_measured() -> None:
    how = moves(pitch_st=3.0, range_log=0.3, end_st=-2.0, level_db=4.0, level_range_log=0.2,
                vowels_log=0.2, consonants_log=0.1, pauses_log=0.4)
    before = phrase()
    after = applied(before, how)
    measured = prosody.changes((before[0], before[1], np.repeat(before[2], 10)), after)  # type: ignore[arg-type]
    found = dict(zip(MOVES, measured, strict=True))
    assert found["pitch_st"] == pytest.approx(3.0, abs=0.5), "the end is part of the mean"
    assert found["range_log"] == pytest.approx(0.3, abs=0.12)
    assert found["end_st"] == pytest.approx(-2.0, abs=0.6)
    assert found["level_db"] == pytest.approx(4.0, abs=0.2)
    assert found["level_range_log"] == pytest.approx(0.2, abs=0.08)
    assert found["vowels_log"] == pytest.approx(0.2, abs=0.03)
    assert found["consonants_log"] == pytest.approx(0.1, abs=0.03)
    assert found["pauses_log"] == pytest.approx(0.4, abs=0.03)


def test_the_map_is_found_again_and_is_linear() -> None:
    draw = np.random.default_rng(1)
    basis = np.linalg.qr(draw.standard_normal((40, 6)))[0].T
    truth = draw.standard_normal((len(MOVES), 6)) @ basis
    differences = draw.standard_normal((150, 6)) @ basis
    changed = differences @ truth.T + 0.02 * draw.standard_normal((150, len(MOVES)))
    changed[::9, 7] = np.nan  # texts without a pause
    timbres = draw.standard_normal((80, 5))
    asked = np.eye(3)[draw.integers(0, 3, 150)] * draw.uniform(0.2, 1, (150, 1))
    directions = draw.standard_normal((3, 6)) @ basis
    differences[:75] = asked[:75] @ directions
    changed[:75] = differences[:75] @ truth.T
    exact = ProsodyMoves.fit(differences[:75], changed[:75], asked[:75], directions)
    assert np.allclose(exact.named, directions @ truth.T, atol=0.1), "each emotion has the moves of its pairs"
    found = ProsodyMoves.fit(differences, changed, np.zeros((150, 3)), directions)
    assert np.allclose(found.weights, truth, atol=0.1)
    found = found.with_register(timbres, timbres @ np.arange(5) + 80)
    assert np.array_equal(found.of(np.zeros((3, 40))), np.zeros((3, len(MOVES))))
    assert found.pitch_of(np.array([0, 0, 0, 0, 1.0])) == pytest.approx(84, abs=0.5)


def test_what_lies_among_neutral_recordings_is_neutral() -> None:
    draw = np.random.default_rng(2)
    basis = np.linalg.qr(draw.standard_normal((40, 6)))[0].T
    neutral = draw.standard_normal((400, 6)) * [3, 2, 1, 1, 0.5, 0.1] @ basis
    none = np.zeros((1, len(MOVES)))
    moves = ProsodyMoves.fit(np.ones((1, 40)), none, np.ones((1, 2)), np.ones((2, 40))).with_ear(neutral, basis)
    beyond = moves.audible(neutral)
    assert (np.abs(beyond).max(1) == 0).mean() == pytest.approx(0.95, abs=0.01)
    far = 50 * basis[5]
    assert moves.audible(far) == pytest.approx(far, rel=0.01, abs=1e-5), "what is far is heard whole"
    assert np.all(np.linalg.norm(moves.audible(neutral), axis=1) <= np.linalg.norm(neutral, axis=1))


def test_a_phrase_that_goes_on_keeps_its_end() -> None:
    pitch, _, _ = phrase()
    how = moves(end_st=-5.0)
    assert np.allclose(prosody.pitch_ratio(pitch, how, ends=False), 1)
    ended = prosody.pitch_ratio(pitch, how, ends=True)
    assert np.allclose(ended[:50], 1) and ended[59] < 0.8


def test_pitch_stays_where_a_voice_can_be() -> None:
    pitch, _, _ = phrase()
    high, low = (pitch * prosody.pitch_ratio(pitch, moves(pitch_st=by), ends=True) for by in (60.0, -60.0))
    assert high.max() <= prosody.HIGHEST_HZ + 0.01 and low[low > 0].min() >= prosody.LOWEST_HZ - 0.01
    assert np.array_equal(high == 0, pitch == 0)


def test_another_voice_shifts_everything() -> None:
    pitch, _, _ = phrase()
    assert np.allclose(prosody.pitch_ratio(pitch, moves(), ends=True, shift_st=12), 2)


def test_whispers_and_silence_are_no_trouble() -> None:
    unvoiced = np.zeros(20)
    assert np.array_equal(prosody.pitch_ratio(unvoiced, moves(20, pitch_st=3), ends=True), np.ones(20))
    silent = np.full(20, -100.0)
    assert np.isfinite(prosody.moved_level(silent, moves(20, level_db=3))).all()
    nothing = prosody.changes((unvoiced, silent, np.zeros(20, int)), (unvoiced, silent, np.zeros(20, int)))
    assert np.isnan(nothing[:3]).all() and nothing[7] == 0


def test_no_sound_is_torn_or_crushed() -> None:
    _, _, classes = phrase()
    for by in (9.0, -9.0):
        factors = prosody.tempo(classes, moves(vowels_log=by, consonants_log=by, pauses_log=by))
        assert factors.min() >= 0.5 and factors.max() <= 2.0
