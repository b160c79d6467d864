"""What is converted: every kind of source, what is said about it, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emovoice.conversion.source import Mixing, open_source
from emovoice.errors import AudioError, InputError
from emovoice.limits import Limits

RATE = 16_000


def voice(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """A buzz with syllables, which counts as speech."""
    t = np.arange(round(seconds * RATE)) / RATE
    shape = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * t + seed)
    return (0.3 * np.sign(np.sin(2 * np.pi * 120 * t)) * shape).astype(np.float32)


def opened(source: Any, rate: int | None = None, **limits: float) -> Any:
    return open_source(source, rate, Limits(**limits))  # type: ignore[arg-type]


def mono(source: Any, rate: int | None = None) -> np.ndarray:
    return np.concatenate(list(opened(source, rate).mono()))


def test_file_array_and_stream_are_one(tmp_path: Path) -> None:
    samples = voice()
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    expected = samples  # what mean it has is its own, and no offset
    for source, rate in ((tmp_path / "a.wav", None), ((samples, RATE), None), (samples, RATE)):
        incoming = opened(source, rate)
        assert (incoming.rate, incoming.channels, incoming.frames) == (RATE, 1, len(samples))
        assert np.allclose(np.concatenate(list(incoming.mono())), expected, atol=1e-6) and incoming.notes == []
    live = opened((samples[i : i + 999] for i in range(0, len(samples), 999)), RATE)
    assert live.frames is None
    assert np.allclose(np.concatenate(list(live.mono())), samples) and live.heard


@pytest.mark.parametrize("gains", [(1.0, 1.0), (1.0, 0.25), (0.0, 1.0), (1.0, -1.0), (0.5, -0.5, 1.0)])
def test_channels_keep_their_levels(gains: tuple[float, ...]) -> None:
    samples = voice()[:, None] * np.array(gains)
    incoming = opened((samples, RATE))
    back = incoming.all_channels(np.concatenate(list(incoming.mono())))
    assert back.shape == samples.shape
    assert np.allclose(back, samples - samples.mean(0), atol=1e-3)
    assert any(f"{len(gains)} channels" in note for note in incoming.notes)
    assert any("cancel" in note for note in incoming.notes) == (abs(sum(gains)) < 0.1)


def test_an_offset_is_taken_away() -> None:
    assert abs(mono((voice() + 0.2, RATE)).mean()) < 1e-4


def test_too_loud_is_made_quieter_and_told() -> None:
    incoming = opened((4 * voice(), RATE))
    assert np.abs(np.concatenate(list(incoming.mono()))).max() <= 1.01
    assert any("beyond 1" in note for note in incoming.notes)
    live = opened(iter([4 * voice()]), RATE)
    assert np.abs(np.concatenate(list(live.mono()))).max() <= 1 and any("clipped" in note for note in live.notes)


def test_clipping_and_a_low_rate_are_told() -> None:
    assert any("flat tops" in note for note in opened((np.clip(6 * voice(), -1, 1), RATE)).notes)
    assert any("4 kHz" in note for note in opened((voice(), 8000)).notes)


def test_a_file_cut_short_is_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", voice(), RATE)
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "b.wav").write_bytes(whole[: len(whole) // 2])
    incoming = opened(tmp_path / "b.wav")
    assert any("cut short" in note for note in incoming.notes)
    assert sum(map(len, incoming.mono())) == incoming.frames


@pytest.mark.parametrize(
    ("source", "field"),
    [
        (np.zeros(RATE), None),
        (voice() * 1e-5, None),
        (np.array([0.1, np.nan] * RATE), "count"),
        (np.zeros(0), "shape"),
        (np.zeros((2, 2, 2)), "shape"),
        ((voice(), 3), "rate"),
        (5, "source"),
        (None, "source"),
        ("nowhere.wav", "path"),
        (".", "path"),
    ],
)
def test_what_cannot_be_used(source: Any, field: str | None) -> None:
    with pytest.raises(AudioError) as caught:
        list(opened(source).mono())
    assert caught.value.field == field


def test_what_is_no_sound_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("hello")
    with pytest.raises(AudioError):
        opened(tmp_path / "a.wav")


def test_a_stream_needs_a_rate_and_good_blocks() -> None:
    with pytest.raises(InputError, match="rate"):
        opened(iter([voice()]))
    for blocks in ([], [np.zeros(0)], [voice(), "x"], [voice(), np.zeros((5, 2))], [voice(), np.full(5, np.inf)]):
        with pytest.raises(AudioError):
            list(opened(iter(blocks), RATE).mono())


def test_a_block_may_be_shorter_than_it_is_wide() -> None:
    live = opened(iter([np.stack([voice(), voice()], 1), np.ones((1, 2), np.float32)]), RATE)
    assert live.channels == 2 and sum(map(len, live.mono())) == len(voice()) + 1


def test_the_limit_holds_for_files_and_streams() -> None:
    with pytest.raises(AudioError, match="longer than 1 s"):
        opened((voice(), RATE), source_s=1.0)
    with pytest.raises(AudioError, match="longer than 1 s"):
        list(opened((voice(0.4) for _ in range(9)), RATE, source_s=1.0).mono())


def test_a_stream_is_not_read_ahead() -> None:
    taken = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield voice(0.1)

    stream = opened(blocks(), RATE).mono()
    for count in range(1, 5):
        next(stream)
        assert taken <= count + 1


def test_silence_has_no_gains_to_tell() -> None:
    mixing = Mixing(3)
    mixing.see(np.zeros((10, 3)))
    assert np.array_equal(mixing.gains(), np.ones(3))
