"""Media files: length to the sample, sound in step, pictures copied, tracks labelled, the same bytes twice."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from emovoice import provenance
from emovoice.dubbing import media
from emovoice.dubbing.media import probe, sound, write_sound, write_video
from emovoice.errors import AudioError, OutputError
from emovoice.testing.meters import RATE, make_video

av = pytest.importorskip("av")


def burst(total: int, at: int, channels: int = 1) -> np.ndarray:
    """A click of 10 ms in silence, to see where it lands."""
    out = np.zeros((total, channels), np.float32)
    out[at : at + 480] = 0.5 * np.sin(np.arange(480) / 480 * 2 * np.pi * 20)[:, None]
    return out


def centre(samples: np.ndarray) -> float:
    power = np.square(samples.astype(np.float64)).sum(axis=1)
    return float((power * np.arange(len(power))).sum() / power.sum())


def blocks(samples: np.ndarray, size: int = 7001) -> list[np.ndarray]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def video_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size]


@pytest.mark.parametrize("ending", media.SOUND_ENDINGS)
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_files(ending: str, channels: int, tmp_path: Path) -> None:
    total = 100_003
    written = burst(total, 50_000, channels)
    first, second = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    for path in (first, second):
        write_sound(path, blocks(written), channels, total)
    assert first.read_bytes() == second.read_bytes()
    read = np.concatenate(list(sound(first, channels)))
    assert abs(centre(read) - centre(written)) < 100, "in its place within 2 ms"
    if ending in media.PLAIN_ENDINGS:
        assert read.shape == written.shape and np.abs(read - written).max() < 1e-6
    else:
        assert total <= len(read) + 3 and len(read) < total + 2048
    exact = np.concatenate(list(sound(first, channels, total)))
    assert exact.shape == (total, channels)


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
def test_a_dub_beside_the_original(ending: str, tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", 3.0, sound=burst(3 * RATE, 24_000, 2))
    dub = burst(3 * RATE, 96_000)
    outs = [tmp_path / f"{name}{ending}" for name in "ab"]
    for out in outs:
        write_video(out, source, blocks(dub), 1, "eng")
    assert hashlib.sha256(outs[0].read_bytes()).digest() == hashlib.sha256(outs[1].read_bytes()).digest()
    assert video_packets(outs[0]) == video_packets(source), "the picture is not encoded again"
    with av.open(str(outs[0])) as container:
        original, new = container.streams.audio
        assert new.metadata["language"] == "eng" and original.metadata["language"] == "fra"
        default = av.stream.Disposition.default
        assert new.disposition & default and not original.disposition & default
    assert probe(outs[0]).duration_s == pytest.approx(3.0, abs=0.05)
    for track, written in ((0, burst(3 * RATE, 24_000, 2)), (1, dub)):
        read = np.concatenate(list(sound(outs[0], written.shape[1], track=track)))
        assert abs(centre(read) - centre(written)) < 0.005 * RATE, "in step with the picture"


def test_a_start_that_is_not_zero(tmp_path: Path) -> None:
    """MPEG-TS begins at 1.4 s; the dub stays in step with the picture."""
    source = make_video(tmp_path / "in.ts", 3.0, sound=burst(3 * RATE, 24_000, 2))
    out = tmp_path / "out.mkv"
    write_video(out, source, blocks(burst(3 * RATE, 24_000)), 1, "eng")
    original, dub = (np.concatenate(list(sound(out, 1, track=track))) for track in (0, 1))
    assert abs(centre(original) - centre(dub)) < 0.03 * RATE


def test_a_video_without_sound(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", 1.0)
    assert probe(source).sounds == () and probe(source).samples == RATE
    write_video(tmp_path / "out.mp4", source, blocks(burst(RATE, 4800)), 1, "deu")
    assert probe(tmp_path / "out.mp4").sounds == ("deu",)
    with pytest.raises(AudioError, match="no such sound track"):
        list(sound(source, 1))


def test_sound_is_filled_up_and_cut_off(tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav", [burst(1000, 0)], 1, 1000)
    for total in (0, 500, 1000, 123_456):
        found = list(sound(tmp_path / "a.wav", 2, total))
        assert sum(len(block) for block in found) == total


@pytest.mark.parametrize(
    "content", [b"", b"nothing", b"#EXTM3U\n#EXTINF:1,\nin.mp4\n", b"ffconcat version 1.0\nfile in.mp4\n", b"\0" * 5000]
)
def test_files_that_are_no_media(content: bytes, tmp_path: Path) -> None:
    make_video(tmp_path / "in.mp4", 0.2)
    for ending in (".mp4", ".m3u8"):
        path = tmp_path / f"odd{ending}"
        path.write_bytes(content)
        with pytest.raises(AudioError):
            probe(path)
    for path in (tmp_path, tmp_path / "missing.mp4"):
        with pytest.raises(AudioError):
            probe(path)


def test_a_broken_video_ends_in_an_error_or_less_sound(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", 2.0, sound=burst(2 * RATE, 4800, 1))
    half = tmp_path / "half.mkv"
    half.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    assert sum(len(block) for block in sound(half, 1, 2 * RATE)) == 2 * RATE


def test_what_a_container_cannot_hold(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", 0.2)
    target = tmp_path / "none" / "out.mp4"
    with pytest.raises(OutputError):
        write_video(target, source, [], 1, "eng")


TAGS = provenance.tags("some-model", "dub", composite=True)


@pytest.mark.parametrize("ending", [*media.SOUND_ENDINGS, "rf64"])
def test_the_mark_is_in_every_sound_file(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if ending == "rf64":
        monkeypatch.setattr("emovoice.dubbing.media._LARGEST_WAV_BYTES", 0)
    path = tmp_path / ("a.wav" if ending == "rf64" else f"a{ending}")
    write_sound(path, [burst(RATE, 4800)], 1, RATE, TAGS)
    assert ending != "rf64" or path.read_bytes()[:4] == b"RF64"
    assert provenance.carried(path, False) == "metadata"
    found = provenance.detect(path)
    assert found.metadata and found.metadata["model"] == "some-model" and found.metadata["process"] == "dub"
    write_sound(path, [burst(RATE, 4800)], 1, RATE)
    assert provenance.detect(path).metadata is None


@pytest.mark.parametrize("ending", media.VIDEO_ENDINGS)
def test_the_mark_is_in_every_video(tmp_path: Path, ending: str) -> None:
    source = make_video(tmp_path / "in.mp4", 2, sound=burst(2 * RATE, 4800))
    assert provenance.detect(source).metadata is None
    write_video(tmp_path / f"out{ending}", source, [burst(2 * RATE, 4800)], 1, "eng", TAGS)
    found = provenance.detect(tmp_path / f"out{ending}").metadata
    assert found and found["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
