"""The mark in files: written, read back, and told apart from none."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emovoice import cli, provenance, watermark
from emovoice.engine import Engine
from emovoice.errors import AudioError
from emovoice.serve.encoders import FORMATS, encoder
from emovoice.writing import write_audio

needs_watermark = pytest.mark.skipif(not watermark.available(), reason="needs the extra watermark")


def vowel(seconds: float = 2.0, rate: int = 24_000, seed: int = 0) -> np.ndarray:
    """A buzz with formants that moves: enough like speech for the watermark to have somewhere to hide."""
    t = np.arange(round(seconds * rate)) / rate
    pitch = 2 * np.pi * np.cumsum(110 + 40 * np.sin(2 * np.pi * (1 + seed % 3) * t)) / rate
    tones = sum(np.exp(-(((110 * k - 700) / 600) ** 2)) * np.sin(k * pitch + seed) for k in range(1, 30))
    noise = np.random.default_rng(seed).standard_normal(len(t)) * 0.02
    sound = (tones + noise) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * t))
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_written_files_are_marked(tmp_path: Path, name: str) -> None:
    write_audio(tmp_path / name, [vowel()], 24_000)
    found = provenance.detect(tmp_path / name)
    assert found.found and found.metadata and not found.watermarked
    assert found.metadata["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert found.metadata["generator"].startswith("emovoice")


def test_what_is_said_is_what_the_file_holds(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", [vowel()], 24_000, tags=provenance.tags("some/folder/own", "conversion"))
    found = provenance.detect(tmp_path / "a.wav").metadata
    assert found and found["model"] == "own" and found["process"] == "conversion", "no path of ours"
    assert provenance.carried(tmp_path / "a.wav", False) == "metadata"
    assert provenance.carried(tmp_path / "a.wav", True) == "metadata, watermark"
    soundfile.write(tmp_path / "b.wav", vowel(), 24_000)
    assert provenance.carried(tmp_path / "b.wav", False).startswith("none: ")


@pytest.mark.parametrize("name", [name for name, format in FORMATS.items() if format.carries_metadata])
def test_every_format_of_the_server_is_marked(tmp_path: Path, name: str) -> None:
    if name in ("mp3", "opus", "aac"):
        pytest.importorskip("av", reason="needs the extra media")
    made = encoder(name, 24_000, provenance.tags("some-model", "conversion"))
    path = tmp_path / f"a.{name}"
    path.write_bytes(made.feed(vowel(1)) + made.feed(vowel(1)) + made.close())
    found = provenance.detect(path)
    assert found.metadata and found.metadata["model"] == "some-model" and found.metadata["process"] == "conversion"


def test_unmarked_files_are_told_apart(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", vowel(), 24_000)
    assert not provenance.detect(tmp_path / "a.wav").found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", False), ("{}", False), ("{", False), ("}{", False), ("[1]", False), ('{"a": 1}', False),
        ('noise {"digitalSourceType": "x"} noise', True), ("... trainedAlgorithmicMedia ...", True),
        ("c2pa compositeWithTrainedAlgorithmicMedia", True),
    ],
)  # fmt: skip
def test_comments(text: str, found: bool) -> None:
    assert (provenance.parse(text) is not None) == found


@pytest.mark.parametrize("data", [b"", b"RIFF", b"no sound at all"])
def test_what_is_no_sound(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(AudioError):
        provenance.detect(tmp_path / "a.wav")
    with pytest.raises(AudioError):
        provenance.detect(tmp_path / "missing.wav")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_audio(tmp_path / "marked.wav", [vowel()], 24_000)
    soundfile.write(tmp_path / "plain.wav", vowel(), 24_000)
    assert cli.main(["detect", str(tmp_path / "marked.wav"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metadata"]["generator"].startswith("emovoice")
    assert cli.main(["detect", str(tmp_path / "plain.wav")]) == 1
    assert "metadata:  none" in capsys.readouterr().out
    assert cli.main(["detect", str(tmp_path / "missing.wav")]) == 3


@needs_watermark
def test_the_watermark_is_there_and_nowhere_else() -> None:
    for seed in range(3):
        plain = vowel(3, seed=seed)
        marked = watermark.mark(plain, 24_000)
        assert marked.shape == plain.shape and marked.dtype == np.float32
        assert (watermark.score(plain, 24_000) or 0) < 0.2 < watermark.THRESHOLD < 0.8
        assert (watermark.score(marked, 24_000) or 0) > 0.8
        assert np.abs(marked - plain).max() < 0.2 * np.abs(plain).max()


@needs_watermark
def test_chunks_are_marked_one_by_one() -> None:
    whole = vowel(3)
    marker = watermark.Marker(24_000)
    chunks = list(marker.each([np.zeros(99, np.float32), whole[:40_000], whole[40_000:]]))[1:]
    assert marker.has_marked
    assert [len(chunk) for chunk in chunks] == [40_000, len(whole) - 40_000]
    assert all((watermark.score(chunk, 24_000) or 0) > 0.8 for chunk in chunks)


@needs_watermark
@pytest.mark.parametrize("samples", [np.zeros(24_000, np.float32), np.ones(100, np.float32), np.zeros(0, np.float32)])
def test_what_cannot_be_marked_is_left(samples: np.ndarray) -> None:
    marker = watermark.Marker(24_000)
    assert np.array_equal(marker(samples), samples) and not marker.has_marked
    assert np.array_equal(marker(np.stack([samples] * 2, 1)), np.stack([samples] * 2, 1)) and not marker.has_marked
    assert watermark.score(samples, 24_000) is None


@needs_watermark
@pytest.mark.parametrize("name", ["mp3", "opus", "aac"])
def test_the_watermark_survives_codecs(tmp_path: Path, name: str) -> None:
    pytest.importorskip("av", reason="needs the extra media")
    made = encoder(name, 24_000, {})
    path = tmp_path / f"a.{name}"
    path.write_bytes(made.feed(watermark.mark(vowel(4), 24_000)) + made.close())
    found = provenance.detect(path)
    assert found.metadata is None and found.watermarked


@needs_watermark
def test_each_channel_is_marked(tmp_path: Path) -> None:
    plain = vowel(3)
    marked = watermark.mark(np.stack([plain, 0.5 * plain, 0 * plain], 1), 24_000)
    assert marked.shape == (72_000, 3) and marked.dtype == np.float32 and not marked[:, 2].any()
    assert all((watermark.score(marked[:, c], 24_000) or 0) > 0.8 for c in (0, 1))
    write_audio(tmp_path / "a.flac", [marked], 24_000)
    assert provenance.detect(tmp_path / "a.flac").watermarked


def test_without_the_extra_chunks_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(watermark, "find_spec", lambda _: None)
    chunk = vowel(1)
    marker = watermark.Marker(24_000)
    assert marker(chunk) is chunk and not marker.has_marked and not marker.active
    write_audio(tmp_path / "a.wav", [chunk], 24_000)
    assert any("watermark" in note for note in provenance.detect(tmp_path / "a.wav").notes)


def test_what_carries_no_mark_says_so(engine_factory: Callable[..., Engine]) -> None:
    from emovoice.serve.work import mark_of

    assert mark_of("pcm", False).startswith("none: ") and mark_of("pcm", True) == "watermark"
    assert mark_of("wav", True) == "metadata, watermark" and mark_of("mp3", False) == "metadata"
    assert not soundfile.SoundFile(io.BytesIO(b"".join([encoder("wav", 8000, provenance.tags()).close()]))).frames
