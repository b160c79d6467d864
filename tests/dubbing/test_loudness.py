"""Loudness, against ffmpeg's meter and the test signals of EBU Tech 3341, and the limiter's promise."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emovoice.dubbing import PROGRAMME_RATE_HZ as RATE
from emovoice.dubbing.loudness import Meter, limited, measured, target_of, true_peaks
from emovoice.errors import InputError
from emovoice.testing.meters import ebur128


def tone(hz: float, dbfs: float, seconds: float, phase: float = 0.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    wave = 10 ** (dbfs / 20) * np.sin(2 * np.pi * hz * t + phase)
    return np.stack([wave, wave], axis=1).astype(np.float32)


@pytest.mark.parametrize(("dbfs", "expected"), [(-23.0, -23.0), (-33.0, -33.0)])
def test_tech_3341_case_1_and_2(dbfs: float, expected: float) -> None:
    assert measured([tone(1000, dbfs, 20)], 2).lufs == pytest.approx(expected, abs=0.1)


def test_tech_3341_case_3_the_gate() -> None:
    signal = np.concatenate([tone(1000, -36, 10), tone(1000, -23, 60), tone(1000, -36, 10)])
    assert measured([signal], 2).lufs == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("phase", [0.0, math.pi / 4, math.pi / 3])
def test_true_peak_between_samples(phase: float) -> None:
    """A quarter of the rate at 45 degrees: samples say -3 dB, the wave has 0."""
    found = measured([tone(RATE / 4, -6.0, 1, phase)], 2).peak_dbtp
    assert found == pytest.approx(-6.0, abs=0.4)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 30_000), max_size=5))
def test_blocks_do_not_matter(cuts: list[int]) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (60_000, 2)).astype(np.float32)
    edges = [0, *sorted(cuts), len(noise)]
    pieces = measured([noise[a:b] for a, b in itertools.pairwise(edges)], 2)
    whole = measured([noise], 2)
    assert pieces.lufs == pytest.approx(whole.lufs, abs=1e-6) and pieces.samples == len(noise)
    assert pieces.peak == pytest.approx(whole.peak, abs=1e-5)


def test_silence_and_nothing() -> None:
    assert Meter(1).lufs == -math.inf and Meter(1).peak_dbtp == -math.inf
    assert measured([np.zeros((RATE, 1), np.float32)], 1).lufs == -math.inf


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 99), st.floats(0.1, 20), st.integers(5000, 50_000))
def test_the_limiter_keeps_its_ceiling_and_the_length(seed: int, gain: float, block: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.2, (40_000, 2)).astype(np.float32)
    noise[20_000:] *= 0.01
    out = np.concatenate(list(limited(noise, gain, -1.0, block)))
    assert out.shape == noise.shape
    assert measured([out], 2).peak_dbtp <= -0.95
    quiet = true_peaks(noise * np.float32(gain)).max() < 10 ** (-1.2 / 20)
    if quiet:
        assert np.allclose(out, noise * np.float32(gain), atol=1e-6), "nothing is touched that is below the ceiling"


def test_the_limiter_does_not_depend_on_its_blocks() -> None:
    noise = np.random.default_rng(1).normal(0, 0.5, (30_000, 1)).astype(np.float32)
    whole, parts = (np.concatenate(list(limited(noise, 2.0, -1.0, block))) for block in (30_000, 7_001))
    assert np.allclose(whole, parts, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2])
def test_ffmpeg_measures_the_same(channels: int) -> None:
    random = np.random.default_rng(3)
    noise = random.normal(0, 0.2, (5 * RATE, channels)) * np.abs(np.sin(np.arange(5 * RATE) / RATE))[:, None]
    noise = noise.astype(np.float32)
    lufs, peak_dbtp = ebur128(noise)
    found = measured([noise], channels)
    assert found.lufs == pytest.approx(lufs, abs=0.1) and found.peak_dbtp == pytest.approx(peak_dbtp, abs=0.2)


def test_an_unknown_target() -> None:
    with pytest.raises(InputError, match=re.escape("ebu")):
        target_of("loud")
