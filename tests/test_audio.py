"""Any recording becomes 24 kHz mono speech, with warnings where it suffered, or a clear AudioError."""

import math
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emovoice.audio import USED_S, Audio, read_audio
from emovoice.errors import AudioError
from emovoice.limits import Limits
from emovoice.waveform import SAMPLE_RATE_HZ, rms


def tone(seconds: float, rate: int = 24_000, peak: float = 0.5, hertz: float = 220.0) -> np.ndarray:
    """`(N,)` float64, loud all the way."""
    return peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def wav(folder: Path, samples: np.ndarray, rate: int = 24_000, subtype: str = "PCM_16", name: str = "a.wav") -> Path:
    soundfile.write(folder / name, samples, rate, subtype=subtype)
    return folder / name


def refused(source: object, limits: Limits | None = None) -> str:
    """The message of the AudioError that reading `source` must end in."""
    with pytest.raises(AudioError) as caught:
        read_audio(source, **({"limits": limits} if limits else {}))  # type: ignore[arg-type]
    return str(caught.value)


# ---- what is read ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_rates_and_sample_types(tmp_path: Path, rate: int, subtype: str) -> None:
    reference = read_audio(wav(tmp_path, tone(4, rate), rate, subtype))
    assert reference.samples.dtype == np.float32 and reference.samples.ndim == 1
    assert len(reference.samples) == pytest.approx(4 * SAMPLE_RATE_HZ, abs=SAMPLE_RATE_HZ * 0.03)
    assert rms(reference.samples) == pytest.approx(0.5 / math.sqrt(2), rel=0.02)
    crossings = np.count_nonzero(np.diff(np.signbit(reference.samples))) / 2
    assert crossings / (len(reference.samples) / SAMPLE_RATE_HZ) == pytest.approx(220, rel=0.01)
    assert [warning for warning in reference.warnings if "8000 Hz" in warning or "11025 Hz" in warning] == list(
        reference.warnings
    )


@pytest.mark.parametrize(("subtype", "name"), [("PCM_U8", "a.wav"), ("ULAW", "a.wav"), ("PCM_16", "a.flac"),
    ("VORBIS", "a.ogg"), ("OPUS", "a.opus"), ("PCM_16", "a.aiff"), ("MPEG_LAYER_III", "a.mp3")])  # fmt: skip
def test_other_formats(tmp_path: Path, subtype: str, name: str) -> None:
    container = {"opus": "OGG", "ogg": "OGG"}.get(name.split(".")[1])
    soundfile.write(tmp_path / name, tone(4, peak=0.4), 24_000, subtype=subtype, format=container)
    reference = read_audio(str(tmp_path / name))
    assert reference.warnings == ()
    assert rms(reference.samples) == pytest.approx(0.4 / math.sqrt(2), rel=0.1)


def test_the_ending_of_the_name_does_not_matter(tmp_path: Path) -> None:
    path = wav(tmp_path, tone(4))
    for name in ("a.mp3", "a.raw", "a", "ä ; $(x) '%d'.txt"):
        path = path.rename(tmp_path / name)
        assert read_audio(path).warnings == ()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, np.int32, np.uint8])
def test_arrays_of_any_sample_type(dtype: type) -> None:
    scale = {"int16": 2**15, "int32": 2**31, "uint8": 2**7}.get(np.dtype(dtype).name, 1)
    samples = (tone(4) * scale + (128 if dtype is np.uint8 else 0)).astype(dtype)
    reference = read_audio(samples)
    assert reference.warnings == ()
    assert rms(reference.samples) == pytest.approx(0.5 / math.sqrt(2), rel=0.02)


@pytest.mark.parametrize("rate", [24_000, 16_000, 48_000, 44_100.0, np.int64(22_050)])
def test_an_array_with_its_rate(rate: int) -> None:
    assert len(read_audio((tone(4, int(rate)), rate)).samples) == pytest.approx(4 * SAMPLE_RATE_HZ, abs=700)


def test_the_array_given_is_neither_changed_nor_kept() -> None:
    samples = tone(4).astype(np.float32)
    before = samples.copy()
    reference = read_audio(samples)
    assert np.array_equal(samples, before) and not np.shares_memory(samples, reference.samples)


def test_a_file_and_its_array_are_the_same(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (100_000, 2)).astype(np.float32)
    from_file = read_audio(wav(tmp_path, samples, 44_100, "FLOAT"))
    from_array = read_audio((samples, 44_100))
    assert np.array_equal(from_file.samples, from_array.samples) and from_file.warnings == from_array.warnings
    assert np.array_equal(read_audio((samples.T, 44_100)).samples, from_array.samples)


# ---- what is warned of ---------------------------------------------------------------------------------


def only_warning(source: object) -> str:
    reference = read_audio(source)  # type: ignore[arg-type]
    assert len(reference.warnings) == 1, reference.warnings
    return reference.warnings[0]


@pytest.mark.parametrize("channels", [2, 6])
def test_channels_are_mixed_with_a_warning(channels: int) -> None:
    frames = np.stack([tone(4)] * channels, axis=1)
    assert f"{channels} channels were mixed" in only_warning(frames)
    assert rms(read_audio(frames).samples) == pytest.approx(0.5 / math.sqrt(2), rel=0.02)


def test_channels_that_cancel_out() -> None:
    assert "cancel each other" in only_warning(np.stack([tone(4), -tone(4)], axis=1))


def test_a_telephone_recording() -> None:
    assert "8000 Hz" in only_warning((tone(4, 8_000), 8_000))


def test_clipping() -> None:
    assert "clipped" in only_warning(np.clip(tone(4, peak=2), -1, 1))
    assert read_audio(tone(4, peak=0.98)).warnings == ()


def test_samples_beyond_one_are_scaled() -> None:
    reference = read_audio(tone(4, peak=20_000))
    assert "beyond 1" in reference.warnings[0]
    assert np.abs(reference.samples).max() <= 1


def test_little_speech() -> None:
    assert "1.0 s of speech" in only_warning(tone(1.0))


def test_of_a_long_recording_the_densest_part_is_used() -> None:
    quiet, loud = 0.0005 * tone(1), tone(1)
    gappy = np.concatenate([loud, quiet, quiet, loud] * 6)
    reference = read_audio(np.concatenate([gappy, tone(20), gappy]))
    assert len(reference.samples) == USED_S * SAMPLE_RATE_HZ
    assert rms(reference.samples) == pytest.approx(0.5 / math.sqrt(2), rel=0.02)
    assert "densest 15 s were used" in reference.warnings[0]


def test_silence_around_the_speech_is_trimmed() -> None:
    silence = np.zeros(48_000)
    reference = read_audio(np.concatenate([silence, tone(4), silence]))
    assert 4.0 <= len(reference.samples) / SAMPLE_RATE_HZ <= 4.2 and reference.warnings == ()


def test_an_offset_is_removed() -> None:
    assert abs(read_audio(tone(4, peak=0.3) + 0.4).samples.mean()) < 0.01


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_a_truncated_file_is_used_as_far_as_it_goes(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 10 * 24_000)
    soundfile.write(tmp_path / name, noise, 24_000)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    reference = read_audio(tmp_path / name)
    assert "cut short" in reference.warnings[0]
    assert 3 <= len(reference.samples) / SAMPLE_RATE_HZ <= 6


def test_a_wav_of_unknown_length_is_whole(tmp_path: Path) -> None:
    path = wav(tmp_path, tone(4))
    data = bytearray(path.read_bytes())
    start = data.index(b"data") + 4
    data[4:8] = data[start : start + 4] = b"\xff" * 4
    path.write_bytes(data)
    assert read_audio(path).warnings == ()


# ---- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.05, 0.49])
def test_too_short(tmp_path: Path, seconds: float) -> None:
    assert "too short" in refused(wav(tmp_path, tone(seconds)))
    assert "too short" in refused(tone(seconds))
    click = np.concatenate([np.zeros(24_000), tone(0.1), np.zeros(24_000)])
    assert "too little speech" in refused(click)


@pytest.mark.parametrize("level", [0.0, 1e-5, 0.5])
def test_silence(tmp_path: Path, level: float) -> None:
    assert "silent" in refused(wav(tmp_path, np.full(72_000, level)))


def test_three_hours_are_refused_by_their_header(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    size = 3 * 3600 * 48_000
    header = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 1, 1, 24_000, 48_000, 2, 16) + b"data" + struct.pack("<I", size)
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(44 + size)  # a hole: takes no room on the disk
    message = refused(path)
    assert "longer than 600 s" in message and "10800" in message and "Limits.reference_s" in message


def test_limits_can_be_changed(tmp_path: Path) -> None:
    path = wav(tmp_path, np.stack([tone(4)] * 2, axis=1))
    assert "longer than 3 s" in refused(path, Limits(reference_s=3))
    assert "longer than 3 s" in refused(tone(4), Limits(reference_s=3))
    assert "once decoded" in refused(path, Limits(reference_bytes=700_000))
    read_audio(path, limits=Limits(reference_s=4, reference_bytes=800_000))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_samples_that_are_not_numbers(tmp_path: Path, bad: float) -> None:
    samples = tone(4)
    samples[1000] = bad
    assert "not numbers" in refused(samples)
    assert "not numbers" in refused(wav(tmp_path, samples, subtype="FLOAT"))


def test_a_float64_beyond_float32() -> None:
    assert "not numbers" in refused(tone(4) * 1e300)


@pytest.mark.parametrize("data", [b"", b"hello" * 100, b"<html>" * 100, b"RIFF\0\0\0\0WAVE", b"ID3", b"fLaC", b"OggS"])
def test_what_is_not_audio(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(data)
    assert "cannot be read" in refused(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_nothing_but_a_header(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, tone(4), 24_000)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:44])
    refused(tmp_path / name)


@pytest.mark.parametrize("seed", range(30))
def test_damaged_files_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    noise = np.random.default_rng(seed)
    name = ("a.wav", "a.flac", "a.ogg", "a.aiff")[seed % 4]
    soundfile.write(tmp_path / name, noise.uniform(-0.5, 0.5, 24_000), 24_000)
    data = bytearray((tmp_path / name).read_bytes())
    for position in noise.integers(0, min(len(data), 200), 5):
        data[position] = noise.integers(256)
    (tmp_path / name).write_bytes(data[: noise.integers(1, len(data))] if seed % 3 == 0 else data)
    try:
        assert np.isfinite(read_audio(tmp_path / name).samples).all()
    except AudioError:
        pass


def test_what_is_not_a_file(tmp_path: Path) -> None:
    assert "no such recording" in refused(tmp_path / "none.wav")
    assert "directory" in refused(tmp_path)
    os.mkfifo(tmp_path / "pipe.wav")
    assert "plain file" in refused(tmp_path / "pipe.wav")
    assert "plain file" in refused("/dev/zero")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    assert "cannot be opened" in refused(tmp_path / "loop.wav")
    assert "cannot be opened" in refused("a" * 5000)
    assert "cannot be opened" in refused("a\0b")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = wav(tmp_path, tone(4))

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("emovoice.audio.os.open", denied)  # the tests may run as root, who may do everything
    assert "Permission denied" in refused(path)


@pytest.mark.parametrize("rate", [0, -1, 1, 3999, 400_000, math.nan, math.inf, 24_000.5, "24000", None, True])
def test_rates_that_are_none(rate: object) -> None:
    assert "sample rate" in refused((tone(1), rate))


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0), np.zeros((0, 2)), np.array(0.5), np.zeros((9, 9, 9)), np.zeros((1000, 65)),
     np.zeros(48_000, bool), np.zeros(48_000, np.int64), np.zeros(48_000, complex), np.array(["a"] * 48_000),
     np.array([None] * 48_000), [0.0] * 48_000, None, 5, b"RIFF", (1, 2, 3), ([0.0] * 48_000, 24_000)],
)  # fmt: skip
def test_what_is_no_array_of_samples(samples: object) -> None:
    refused(samples)


# ---- the result ----------------------------------------------------------------------------------------


def test_audio_knows_its_length() -> None:
    audio = Audio(np.zeros(36_000, np.float32), 24_000)
    assert audio.duration_s == 1.5 and audio.asked_s is None and audio.warnings == ()
    with pytest.raises(AttributeError):
        audio.rate = 1  # type: ignore[misc]


def test_saving_loud_audio_warns(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="not clipped"):
        path = Audio(tone(1, peak=1.6).astype(np.float32), 24_000).save(tmp_path / "a.wav")
    saved, _ = soundfile.read(path)
    assert np.abs(saved).max() == pytest.approx(1, abs=1e-3)
    assert rms(saved) == pytest.approx(1 / math.sqrt(2), rel=0.01), "made quieter as a whole, not clipped"
