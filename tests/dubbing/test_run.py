"""A dub from beginning to end, on the debug model; loudness is checked by ffmpeg's own meter."""

import itertools
import json
import re
import shutil
from collections.abc import Iterable
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

import emovoice
from emovoice import provenance
from emovoice.dubbing import media, timelines
from emovoice.dubbing.cues import Cue, Timeline
from emovoice.dubbing.edl import timecode
from emovoice.dubbing.edl import write as write_edl
from emovoice.dubbing.job import Options, prepare
from emovoice.dubbing.journal import Journal
from emovoice.dubbing.run import options_of
from emovoice.errors import AudioError, InputError, ModelError, OutputError
from emovoice.testing.meters import RATE, ebur128, make_video
from tests.dubbing.conftest import CAST, CUES, SECONDS, Made


def dub_sound(path: Path, channels: int, track: int = 0) -> np.ndarray:
    return np.concatenate(list(media.sound(path, channels, track=track)))


# ---- what was made -------------------------------------------------------------------------------


def test_the_video_has_the_dub_beside_the_original(made: Made) -> None:
    found = media.probe(made.dubbed.output)
    assert found.sounds == ("fra", "eng") and found.samples == SECONDS * RATE
    assert made.dubbed.passed and made.dubbed.spoken == 3
    assert made.dubbed.report["within_40_ms_of_slot"] == made.dubbed.report["spoken"] == 3


def test_an_independent_meter_agrees(made: Made) -> None:
    lufs, peak_dbtp = ebur128(dub_sound(made.dubbed.output, 2, track=1))
    assert lufs == pytest.approx(-23.0, abs=0.5) and peak_dbtp <= -1.0 + 0.1
    assert made.dubbed.report["lufs"] == pytest.approx(lufs, abs=0.2)


def test_the_report(made: Made) -> None:
    report = json.loads((made.dubbed.folder / "report.json").read_text())
    assert report["verdict"] == "pass" and report["cues"] == 4 and len(report["rows"]) == 4
    first, second, third, _ = report["rows"]
    assert first["slot_s"] == first["placed_s"] == pytest.approx(1.3) and first["off_slot_ms"] == 0
    assert first["emotion_asked"] == {"angry": 0.8} and first["emotion_source"] == "line"
    assert second["emotion_asked"] == {"calm": 0.7} and second["emotion_source"] == "cast"
    assert second["unspoken"] == ["(sighs)"] and third["take"] is None and third["unspoken"] == ["♪ la la la ♪"]
    assert all(-1 <= row["timbre"] <= 1 and row["emotion_measured"] is not None for row in (first, second))


class _Tags(HTMLParser):
    """Tags and addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_every_file_with_speech_in_it_is_marked(made: Made) -> None:
    folder = made.dubbed.folder
    assert made.dubbed.report["mark"] in ("metadata", "metadata, watermark")
    whole = provenance.detect(made.dubbed.output).metadata
    assert whole and whole["process"] == "dub" and "composite" in whole["digitalSourceType"]
    speech = [*(folder / "clips").iterdir(), *(folder / "takes").iterdir(),
              *(path for path in (folder / "stems").iterdir() if path.stem != "bed")]  # fmt: skip
    for path in speech:
        found = provenance.detect(path).metadata
        assert found and found["process"] == "dub" and "composite" not in found["digitalSourceType"], path
    assert len(speech) == 8 and provenance.detect(folder / "stems" / "bed.wav").metadata is None


def test_the_page_needs_nothing_else(made: Made) -> None:
    tags = _Tags()
    tags.feed((made.dubbed.folder / "report.html").read_text())
    assert tags.tags.count("audio") == tags.tags.count("svg") == 3
    assert "script" not in tags.tags and all(address.startswith("data:") for address in tags.addresses)


def test_stems_add_up_to_the_mix(made: Made) -> None:
    stems = {path.stem: soundfile.read(path, always_2d=True)[0] for path in (made.dubbed.folder / "stems").iterdir()}
    assert set(stems) == {"ANNA", "BERT", "bed"}
    assert all(len(stem) == SECONDS * RATE for stem in stems.values()), "exact to the sample"
    mixed = stems["ANNA"] + stems["BERT"] + stems["bed"]
    programme = dub_sound(made.dubbed.output, 2, track=1)[: len(mixed)]
    assert np.corrcoef(mixed[:, 0], programme[:, 0])[0, 1] > 0.7, "but for the codec, to which noise is hard"
    quiet, under = stems["bed"][-RATE // 2 :], stems["bed"][round(0.6 * RATE) : 2 * RATE]
    assert np.sqrt(np.mean(under**2)) < 0.6 * np.sqrt(np.mean(quiet**2)), "the bed makes room"


def test_edit_lists_and_subtitles(made: Made) -> None:
    edl = (made.dubbed.folder / "takes.edl").read_text()
    assert "FCM: NON-DROP FRAME" in edl and "00:00:00:12 00:00:01:20" in edl
    assert len(re.findall(r"^\d{3}  ", edl, re.M)) == 3
    adjusted = timelines.read(made.dubbed.folder / "subtitles.srt")
    assert [(cue.start_ms, cue.end_ms) for cue in adjusted.cues] == [
        (500, 1800),
        (2500, 4000),
        (4500, 5000),
        (5500, 6700),
    ]
    assert adjusted.cues[0].written == "ANNA:  I told you so, Bert."
    otio = pytest.importorskip("opentimelineio")
    timeline = otio.adapters.read_from_file(str(made.dubbed.folder / "takes.otio"))
    assert {track.name for track in timeline.tracks} == {"ANNA", "BERT"}
    for clip in timeline.find_clips():
        path = made.dubbed.folder / clip.media_reference.target_url
        assert soundfile.info(path).frames == clip.source_range.duration.value
    starts = [
        clip.transformed_time(otio.opentime.RationalTime(0, RATE), timeline.tracks).to_seconds()
        for clip in timeline.tracks[0].find_clips()
    ]
    assert starts == [0.5, 5.5]
    assert all(track.duration().to_seconds() == SECONDS for track in timeline.tracks)


# ---- run again -----------------------------------------------------------------------------------


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Made:
    """The same dub in another place, so that a test may change it."""
    folder = tmp_path / "copy"
    shutil.copytree(made.folder, folder)
    return Made(
        folder, folder / "cues.srt", folder / "in.mp4", made.dubbed, {**made.options, "video": str(folder / "in.mp4")}
    )


def test_run_again_speaks_nothing_and_gives_the_same_bytes(copy: Made, made: Made) -> None:
    again = emovoice.dub(copy.timeline, copy.folder / "out.mp4", **copy.options)
    assert again.spoken == 0
    for name in ("out.mp4", "out.mp4.dub/report.html", "out.mp4.dub/takes.edl", "out.mp4.dub/plan.json"):
        assert (copy.folder / name).read_bytes() == (made.folder / name).read_bytes(), name


def test_a_changed_line_is_spoken_again_alone(copy: Made) -> None:
    options = {**copy.options, "stems": False, "bed": "none"}
    copy.timeline.write_text(CUES.replace("stay a while", "go"))
    assert emovoice.dub(copy.timeline, copy.folder / "out.mp4", **options).spoken == 1
    moved = CUES.replace("BERT: And yet I am here. (sighs)", "(nothing)").replace("2\n", "\n", 1)
    copy.timeline.write_text(moved)
    assert emovoice.dub(copy.timeline, copy.folder / "out.mp4", **options).spoken <= 1, "but for a tight neighbour"
    assert emovoice.dub(copy.timeline, copy.folder / "out.mp4", seed=9, only=(4,), **options).spoken == 1


def test_takes_only_and_pick(copy: Made) -> None:
    options = {**copy.options, "stems": False, "bed": "none"}
    more = emovoice.dub(copy.timeline, copy.folder / "out.mp4", only=(1,), takes=2, **options)
    assert more.spoken == 1 and more.report["rows"][0]["takes"] == 2 and more.report["rows"][1]["takes"] == 1
    picked = emovoice.dub(copy.timeline, copy.folder / "out.mp4", pick={1: 2}, **options)
    first = (copy.folder / "out.mp4").read_bytes()
    assert picked.spoken == 0 and picked.report["rows"][0]["take"] == 2
    kept = emovoice.dub(copy.timeline, copy.folder / "out.mp4", **options)
    assert kept.report["rows"][0]["take"] == 2 and (copy.folder / "out.mp4").read_bytes() == first
    with pytest.raises(InputError, match="no such take"):
        emovoice.dub(copy.timeline, copy.folder / "out.mp4", pick={1: 7}, **options)


def test_what_was_not_spoken_is_a_fault(tmp_path: Path) -> None:
    timeline = Timeline((Cue(1, 0, 900, "Hello."), Cue(2, 1000, 1900, "?!"), Cue(3, 2000, 2900, "There.")))
    found = emovoice.dub(timeline, tmp_path / "out.wav", model="debug", workers=1, only=(1, 2), judge="none")
    kinds = {remark.cue: remark.kind for remark in found.remarks if remark.fault}
    assert kinds == {"2": "not-spoken", "3": "not-spoken"} and not found.passed
    assert soundfile.info(tmp_path / "out.wav").frames == round(2.9 * RATE), "and the length is exact all the same"


def test_loudness_that_a_codec_takes_away_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does that moves a bed across the gate of the meter."""
    write, written = media.write_sound, []

    def quieter(path: Path, blocks: Iterable[np.ndarray], *rest: object) -> None:
        written.append(path)
        write(path, (0.8 * block for block in blocks), *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(media, "write_sound", quieter)
    timeline = Timeline((Cue(1, 0, 1900, "Hello, and good evening."), Cue(2, 2000, 3900, "There you are at last.")))
    found = emovoice.dub(timeline, tmp_path / "out.wav", model="debug", workers=1, judge="none", stems=True)
    lufs, _ = ebur128(soundfile.read(tmp_path / "out.wav", always_2d=True)[0].astype(np.float32))
    assert lufs == pytest.approx(-23.0, abs=0.5) and found.report["lufs"] == pytest.approx(lufs, abs=0.2)
    assert len([path for path in written if path == tmp_path / "out.wav"]) == 2
    assert not [remark for remark in found.remarks if remark.kind == "loudness"]


def test_carry_over_proposes_what_it_hears(tmp_path: Path) -> None:
    speech = (
        emovoice.Engine("debug").synthesize("Where have you been all this time, my friend?", duration_s=3.0).samples
    )
    loud = np.repeat(np.concatenate([speech, 0.25 * speech]), 2)[:, None]
    soundfile.write(tmp_path / "original.wav", loud / np.abs(loud).max(), RATE)
    timeline = Timeline(
        (
            Cue(1, 0, 3000, "One two three four."),
            Cue(2, 3000, 6000, "Five six seven eight.", emotion="sad"),
            Cue(3, 6000, 6000, "Nine."),
        )
    )
    found = emovoice.dub(
        timeline,
        tmp_path / "out.wav",
        original=str(tmp_path / "original.wav"),
        carry_over=True,
        model="debug",
        workers=1,
        judge="none",
    )
    first, second, _ = found.report["rows"]
    assert first["emotion_source"] == "original" and second["emotion_source"] == "line"
    side = timelines.read_yaml(found.folder / "targets.yaml", "side")
    assert set(side["cues"]) == {1, 2} and timelines.with_side(timeline, side).cues[0].emotion
    clips = [np.sqrt(np.mean(soundfile.read(found.folder / "clips" / f"0000{n}_nobody.wav")[0] ** 2)) for n in (1, 2)]
    takes = {row["cue"]: row for row in found.report["rows"]}
    assert takes["1"]["lufs"] is not None and clips[0] > clips[1], "the original's level is carried over"


# ---- refused before any work ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"video": "missing.mp4"}, AudioError),
        ({"bed": "missing.wav"}, AudioError),
        ({"cast": "missing.yaml"}, InputError),
        ({"target": "loud"}, InputError),
        ({"language": "english"}, InputError),
        ({"takes": 0}, InputError),
        ({"only": (7,)}, InputError),
        ({"pick": {7: 1}}, InputError),
        ({"engine": "cloud"}, InputError),
        ({"model": "no such model"}, ModelError),
        ({"duck_db": -3}, InputError),
        ({"workers": 0}, InputError),
        ({"cast": {"characters": {"ANNA": "nobody_of_that_name"}}}, InputError),
        ({"nonsense": 1}, InputError),
        ({"judge": "maybe"}, InputError),
        ({"seed": -1}, InputError),
    ],
)
def test_refused_before_any_work(options: dict, error: type[Exception], tmp_path: Path) -> None:
    timeline = tmp_path / "cues.srt"
    timeline.write_text(CUES)
    with pytest.raises(error):
        prepare(timeline, tmp_path / "out.wav", options_of(**{"model": "debug", **options}))
    assert [path.name for path in tmp_path.iterdir()] == ["cues.srt"], "nothing was written"


def test_outputs_that_are_refused(made: Made, tmp_path: Path) -> None:
    other = tmp_path / "other.wav"
    other.write_bytes(b"mine")
    cases = [
        ("out.mp4", Options(model="debug"), InputError),
        ("out.doc", Options(model="debug"), OutputError),
        ("other.wav", Options(model="debug"), OutputError),
        ("none/out.wav", Options(model="debug"), OutputError),
    ]
    for name, options, error in cases:
        with pytest.raises(error):
            prepare(made.timeline, tmp_path / name, options)
    with pytest.raises(OutputError, match="is the input"):
        prepare(made.timeline, made.video, Options(video=str(made.video), model="debug", force=True))
    with Journal(made.dubbed.folder), pytest.raises(OutputError, match="another process"):
        emovoice.dub(made.timeline, made.dubbed.output, **made.options)


def test_the_programme_is_as_long_as_the_picture(made: Made) -> None:
    late = Timeline((Cue(1, 7500, 9000, "Too late for this."), Cue(2, 9000, 9900, "Far too late.")))
    job = prepare(late, made.folder / "late.mp4", Options(video=str(made.video), model="debug", cast=CAST))
    assert job.total == SECONDS * RATE and job.slots[0] is not None and job.slots[0].end == job.total
    assert [remark.kind for remark in job.remarks if remark.fault] == ["outside"]


def test_a_video_at_another_rate(tmp_path: Path) -> None:
    video = make_video(tmp_path / "in.mkv", 2.0, fps=24)
    job = prepare(Timeline((Cue(1, 0, 900, "Hello."),)), tmp_path / "out.mkv", Options(video=str(video), model="debug"))
    assert job.fps == 24 and job.bed is None and job.channels == 1


# ---- edit lists ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "fps", "expected"),
    [
        (0, Fraction(25), "00:00:00:00"),
        (1500, Fraction(25), "00:01:00:00"),
        (1799, Fraction(30_000, 1001), "00:00:59;29"),
        (1800, Fraction(30_000, 1001), "00:01:00;02"),
        (17_982, Fraction(30_000, 1001), "00:10:00;00"),
        (107_892, Fraction(30_000, 1001), "01:00:00;00"),
        (3600, Fraction(60_000, 1001), "00:01:00;04"),
        (24, Fraction(24_000, 1001), "00:00:01:00"),
    ],
)
def test_timecodes(frame: int, fps: Fraction, expected: str) -> None:
    assert timecode(frame, fps) == expected


def test_events_of_an_edit_list_are_in_order_and_apart() -> None:
    placed = [(Cue(n, 0, 1, "Où?\nNow!", "Ännä"), 1000 * n, 1000, f"clips/{n}.wav") for n in range(200)]
    text = write_edl(placed, RATE, Fraction(25), "a\nb")
    events = re.findall(r"^\d{3}  .* (\S+) (\S+) (\S+) (\S+)$", text, re.M)
    assert len(events) == 200 and text.isascii() and text.startswith("TITLE: a b\n")
    assert all(a[3] <= b[2] and a[2] < a[3] for a, b in itertools.pairwise(events))
    with pytest.raises(InputError):
        timecode(1, Fraction(0))
