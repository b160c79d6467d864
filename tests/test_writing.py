"""A result is written whole or not at all."""

import errno
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emovoice import writing
from emovoice.errors import OutputError
from emovoice.writing import check_target, write_audio, write_wav_stream

RATE = 24_000
SAMPLES = np.random.default_rng(0).uniform(-0.9, 0.9, 3 * RATE).astype(np.float32)


def in_pieces(samples: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """`samples` cut at random places, some pieces empty."""
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(samples), 20))
    yield from np.split(samples, cuts)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "A.WAV"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str, seed: int) -> None:
    written = write_audio(tmp_path / name, in_pieces(SAMPLES, seed), RATE)
    saved, rate = soundfile.read(tmp_path / name, dtype="float32")
    assert rate == RATE and written.duration_s == 3 and written.warnings == ()
    assert len(saved) == len(SAMPLES) and np.abs(saved - SAMPLES).max() <= 1 / 32_768
    assert soundfile.info(tmp_path / name).subtype == "PCM_16"
    assert os.listdir(tmp_path) == [name]


def test_ogg(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.ogg", [SAMPLES], RATE)
    assert soundfile.info(tmp_path / "a.ogg").frames == len(SAMPLES)


def test_the_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_audio(tmp_path / "a.wav", [SAMPLES], RATE)
    assert (tmp_path / "a.wav").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_a_peak_above_one_makes_all_of_it_quieter(tmp_path: Path, name: str) -> None:
    loud = np.concatenate([SAMPLES, SAMPLES * 3])
    written = write_audio(tmp_path / name, in_pieces(loud, 0), RATE)
    assert len(written.warnings) == 1 and "8.6 dB quieter" in written.warnings[0]
    if name != "a.ogg":
        saved, _ = soundfile.read(tmp_path / name)
        assert np.abs(saved - loud / np.abs(loud).max()).max() < 1e-4


def test_an_existing_file_is_kept_without_force(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists"):
        write_audio(path, [SAMPLES], RATE)
    assert path.read_bytes() == b"mine"
    write_audio(path, [SAMPLES], RATE, force=True)
    assert soundfile.info(path).frames == len(SAMPLES)


@pytest.mark.parametrize(
    ("name", "what"),
    [("", "directory"), ("none/a.wav", "does not exist"), ("a", "ending"), ("a.mp4", "ending"),
     ("x" * 300 + ".wav", "written"), ("a\0.wav", "NUL"), ("file.wav/a.wav", "does not exist")],
)  # fmt: skip
def test_targets_that_cannot_be(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "file.wav").touch()
    for force in (False, True):
        with pytest.raises(OutputError, match=what):
            check_target(tmp_path / name, force)


def test_a_folder_named_like_a_file_is_refused_even_with_force(tmp_path: Path) -> None:
    (tmp_path / "a.wav").mkdir()
    with pytest.raises(OutputError, match="directory"):
        write_audio(tmp_path / "a.wav", [SAMPLES], RATE, force=True)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing.os, "access", lambda *_: False)  # the tests may run as root
    with pytest.raises(OutputError, match="cannot be written to"):
        check_target(tmp_path / "a.wav")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing_and_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.os, call, full)
    (tmp_path / "a.wav").write_bytes(b"old")
    with pytest.raises(OutputError, match="No space left"):
        write_audio(tmp_path / "a.wav", [SAMPLES], RATE, force=True)
    assert os.listdir(tmp_path) == ["a.wav"] and (tmp_path / "a.wav").read_bytes() == b"old"


_UNDER_A_LIMIT = """
import resource, sys
import numpy as np
from emovoice.errors import OutputError
from emovoice.writing import write_audio

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = np.random.default_rng(0).uniform(-0.9, 0.9, 480_000).astype(np.float32)
try:
    write_audio(sys.argv[1], [noise], 24_000)
except OutputError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_when_the_kernel_takes_no_more(tmp_path: Path, name: str) -> None:
    """The real thing: writing fails half-way inside libsndfile, as on a full disk."""
    command = [sys.executable, "-c", _UNDER_A_LIMIT, str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "could not be written" in done.stdout and done.stderr == ""
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OutputError("no"), RuntimeError])
def test_when_the_source_fails_nothing_is_left(tmp_path: Path, error: type[BaseException] | BaseException) -> None:
    def failing() -> Iterator[np.ndarray]:
        yield SAMPLES
        raise error

    with pytest.raises(error if isinstance(error, type) else type(error)):
        write_audio(tmp_path / "a.wav", failing(), RATE)
    assert os.listdir(tmp_path) == []


def test_channels_are_kept(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-2, 2, (1000, 3)).astype(np.float32)
    written = write_audio(tmp_path / "a.wav", [samples[:300], samples[300:]], RATE)
    read, _ = soundfile.read(tmp_path / "a.wav", always_2d=True)
    assert read.shape == (1000, 3) and written.duration_s == 1000 / RATE
    assert np.allclose(read / np.abs(read).max(), samples / np.abs(samples).max(), atol=1e-3)
    with pytest.raises(OutputError):
        write_audio(tmp_path / "b.wav", [samples, samples[:, :2]], RATE)


@pytest.mark.parametrize(
    "chunks", [[], [np.zeros(0)], [np.array([np.nan])], [np.array([np.inf])], [np.zeros((2, 2, 2))]]
)
def test_samples_that_cannot_be_written(tmp_path: Path, chunks: list[np.ndarray]) -> None:
    with pytest.raises(OutputError):
        write_audio(tmp_path / "a.wav", chunks, RATE)
    assert os.listdir(tmp_path) == []


def test_samples_beyond_memory_go_through_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_IN_MEMORY_BYTES", 1000)
    write_audio(tmp_path / "a.wav", in_pieces(SAMPLES, 1), RATE)
    saved, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert np.abs(saved - SAMPLES).max() <= 1 / 32_768


def test_a_stream_gets_the_same_bytes_as_a_file(tmp_path: Path) -> None:
    out = io.BytesIO()
    write_wav_stream(out, in_pieces(SAMPLES, 2), RATE)
    write_audio(tmp_path / "a.wav", [SAMPLES], RATE)
    assert out.getvalue() == (tmp_path / "a.wav").read_bytes()


def test_a_full_stream() -> None:
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OutputError, match="No space left"):
        write_wav_stream(full, [SAMPLES], RATE)  # type: ignore[arg-type]
