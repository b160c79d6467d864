"""The mix: length to the sample, takes where they belong, a bed that makes room."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from emovoice import watermark
from emovoice.dubbing import PROGRAMME_RATE_HZ as RATE
from emovoice.dubbing.master import _mark, dialogue, write_clips
from emovoice.dubbing.mix import Placed, duck_depth_db, ducking, mixed, only_under, reblocked, take_samples
from emovoice.dubbing.plan import Fit
from tests.test_provenance import vowel


@pytest.fixture
def take(tmp_path: Path) -> Path:
    t = np.arange(24_000) / 24_000
    soundfile.write(tmp_path / "take.wav", (0.4 * np.sin(2 * np.pi * 200 * t)).astype(np.float32), 24_000, "PCM_24")
    return tmp_path / "take.wav"


def fit(start: int, length: int, cut: int = 0) -> Fit:
    return Fit(start, length, RATE, cut=cut)


@pytest.mark.parametrize(("length", "cut"), [(RATE, 0), (RATE - 3000, 0), (RATE + 501, 0), (RATE - 5000, 4000)])
def test_a_take_has_the_length_of_its_place(take: Path, length: int, cut: int) -> None:
    samples = take_samples(Placed(take, fit(0, length, cut), gain_db=-6))
    assert samples.shape == (length,) and samples[0] == 0 and samples[-1] == pytest.approx(0, abs=1e-3)
    assert np.abs(samples).max() == pytest.approx(0.2, rel=0.05)


def test_dialogue_lies_where_it_should(take: Path, tmp_path: Path) -> None:
    total = 5 * RATE + 17
    placed = [Placed(take, fit(1000, RATE)), Placed(take, fit(3 * RATE, RATE + 700))]
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "stale.wav").write_bytes(b"x")
    clips = write_clips(placed, ["a", "b"], tmp_path / "clips", {})
    assert sorted(path.name for path in (tmp_path / "clips").iterdir()) == ["a.wav", "b.wav"]
    out = np.concatenate(list(dialogue(clips, total)))
    assert out.shape == (total, 1)
    loud = np.flatnonzero(np.abs(out[:, 0]) > 0.01)
    assert 1000 < loud[0] < 1300 and total - 0.1 * RATE > loud[-1] > 4 * RATE + 400
    assert not out[RATE + 1000 : 3 * RATE].any()


@given(st.lists(st.integers(0, 50)), st.integers(1, 30))
def test_blocks_change_nothing(sizes: list[int], size: int) -> None:
    whole = np.arange(sum(sizes))[:, None]
    edges = np.cumsum([0, *sizes])
    out = list(reblocked([whole[a:b] for a, b in itertools.pairwise(edges)], size))
    assert all(len(block) == size for block in out[:-1])
    assert np.array_equal(np.concatenate([whole[:0], *out]), whole)


def test_the_bed_makes_room_and_comes_back(take: Path) -> None:
    total = 10 * RATE
    fits = [fit(3 * RATE, RATE), fit(4 * RATE + 20_000, RATE)]
    bed = np.full((total, 2), 0.1, np.float32)
    out = np.concatenate(
        list(mixed(iter([np.zeros((total, 1), np.float32)]), [bed[:777], bed[777:]], ducking(fits, 20), 2))
    )
    assert out.shape == (total, 2)
    assert out[RATE, 0] == pytest.approx(0.1) and out[-1, 1] == pytest.approx(0.1)
    assert np.allclose(out[3 * RATE : 5 * RATE], 0.01, rtol=1e-3), "gaps of less than a second are bridged"
    assert np.abs(np.diff(out[:, 0])).max() < 1e-4, "no jumps"
    assert np.array_equal(np.concatenate(list(mixed(iter([out[:, :1]]), None, ducking([], 0), 1))), out[:, :1])


def test_the_bed_under_speech() -> None:
    bed = np.arange(30 * RATE, dtype=np.float32)[:, None]
    fits = [fit(100, 50), fit(12 * RATE - 10, 20), fit(29 * RATE, RATE)]
    found = np.concatenate(list(only_under([bed], fits)))[:, 0]
    expected = np.concatenate([np.arange(one.start, one.end) for one in fits])
    assert np.array_equal(found, expected)


def test_depth_follows_the_loudness() -> None:
    assert duck_depth_db(-20, -20) == 15 and duck_depth_db(-50, -20) == 6 and duck_depth_db(0, -40) == 30
    assert duck_depth_db(-np.inf, -20) == 0


def test_a_clip_louder_than_full_scale_is_as_loud_in_the_mix(take: Path, tmp_path: Path) -> None:
    (clip,) = write_clips([Placed(take, fit(0, RATE), gain_db=12)], ["loud"], tmp_path / "clips", {})
    assert np.abs(soundfile.read(clip.path)[0]).max() <= 1
    assert np.abs(np.concatenate(list(dialogue([clip], RATE)))).max() == pytest.approx(0.4 * 10 ** (12 / 20), rel=0.05)


@pytest.mark.skipif(not watermark.available(), reason="needs the extra watermark")
def test_the_watermark_lies_where_somebody_speaks_and_nowhere_else(tmp_path: Path) -> None:
    speech, total = vowel(3.0, RATE), 8 * RATE
    raw = np.random.default_rng(0).standard_normal((total, 2)).astype(np.float32) * 0.003
    raw[2 * RATE : 5 * RATE] += speech[:, None]
    before, marker = raw.copy(), watermark.Marker(RATE)
    _mark(raw, [Placed(tmp_path, fit(2 * RATE, 3 * RATE))], marker)
    assert marker.has_marked and np.array_equal(raw[: 2 * RATE], before[: 2 * RATE])
    assert np.array_equal(raw[5 * RATE :], before[5 * RATE :])
    for channel in raw[2 * RATE : 5 * RATE].T:
        assert (watermark.score(channel, RATE) or 0) > 0.8
    assert np.abs(np.diff(raw - before, axis=0)).max() < 0.2 * np.abs(speech).max(), "no click where it begins"
