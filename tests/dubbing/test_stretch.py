"""WSOLA: the length is exact, the pitch stays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emovoice.dubbing.stretch import stretched

RATE = 48_000


def pitch_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 2**18))
    return float(np.argmax(spectrum) * RATE / 2**18)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 30_000), st.integers(1, 40_000))
def test_the_length_is_exact(length: int, wanted: int) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, length).astype(np.float32)
    out = stretched(noise, wanted, RATE)
    assert out.shape == (wanted,) and out.dtype == np.float32 and np.isfinite(out).all()
    assert np.abs(out).max() <= 1.0


@pytest.mark.parametrize("factor", [0.8, 0.87, 0.97, 1.03, 1.2, 1.6])
@pytest.mark.parametrize("hz", [90.0, 220.0, 3000.0])
def test_pitch_and_level_stay(hz: float, factor: float) -> None:
    t = np.arange(2 * RATE) / RATE
    wave = (0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32)
    out = stretched(wave, round(len(wave) * factor), RATE)
    middle = out[RATE // 4 : -RATE // 4]
    assert pitch_hz(middle) == pytest.approx(hz, rel=0.01)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


def test_order_in_time_is_kept() -> None:
    """Two bursts keep their places in proportion."""
    wave = np.zeros(2 * RATE, np.float32)
    noise = np.random.default_rng(0).uniform(-1, 1, 4800).astype(np.float32)
    wave[24_000:28_800], wave[72_000:76_800] = noise, noise
    out = np.abs(stretched(wave, round(1.15 * len(wave)), RATE))
    heard = np.flatnonzero(out > 0.3)
    assert heard[0] / len(out) == pytest.approx(24_000 / len(wave), abs=0.02)
    assert heard[-1] / len(out) == pytest.approx(76_800 / len(wave), abs=0.02)


def test_the_same_length_is_the_same_sound() -> None:
    wave = np.random.default_rng(0).uniform(-1, 1, 9000).astype(np.float32)
    assert stretched(wave, 9000, RATE) is wave
    for length in (0, -1):
        with pytest.raises(ValueError, match="stretch"):
            stretched(wave, length, RATE)
