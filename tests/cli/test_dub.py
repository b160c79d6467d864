"""`emovoice dub` and `emovoice cast`: options, dry runs, exit codes, output for people and programs."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emovoice import cli

CUES = (
    "1\n00:00:00,000 --> 00:00:01,200\nANNA: Hello there.\n\n2\n00:00:01,500 --> 00:00:02,700\nBERT: [sad] Go away.\n\n"
)


@pytest.fixture
def timeline(tmp_path: Path) -> Path:
    path = tmp_path / "cues.srt"
    path.write_text(CUES)
    return path


def run(*arguments: object, code: int = 0) -> None:
    assert cli.main([str(argument) for argument in arguments]) == code


def test_a_dry_run_writes_nothing(timeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = timeline.with_name("out.wav")
    run("dub", timeline, "-o", out, "--model", "debug", "--dry-run", "--json")
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["to_speak"] == 2 and found["length_s"] == 2.7 and set(found["characters"]) == {"ANNA", "BERT"}
    assert "no voice is given for ANNA, BERT" in printed.err
    assert [path.name for path in timeline.parent.iterdir()] == ["cues.srt"]


def test_a_dry_run_knows_faults(timeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timeline.write_text("1\n00:00:05,000 --> 00:00:06,000\nToo late.\n")
    soundfile.write(timeline.with_name("bed.wav"), np.zeros(48_000, np.float32), 48_000)
    pytest.importorskip("av")
    run(
        "dub",
        timeline,
        "-o",
        timeline.with_name("out.wav"),
        "--model",
        "debug",
        "--dry-run",
        "--bed",
        timeline.with_name("bed.wav"),
        code=7,
    )
    assert "behind the end of the programme" in capsys.readouterr().err


def test_a_dub_twice_and_with_a_fault(timeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("av")
    out = timeline.with_name("out.wav")
    run("dub", timeline, "-o", out, "--model", "debug", "--workers", 1, "--judge", "none", "--json")
    found = json.loads(capsys.readouterr().out)
    assert (
        found["verdict"] == "pass" and found["takes_spoken"] == 2 and soundfile.info(out).frames == round(2.7 * 48_000)
    )
    run("dub", timeline, "-o", out, "--model", "debug", "--workers", 1, "--judge", "none")
    assert "verdict: pass" in capsys.readouterr().err
    timeline.write_text(CUES.replace("Go away.", "?!?"))
    run("dub", timeline, "-o", out, "--model", "debug", "--workers", 1, "--judge", "none", "--quiet", code=7)
    printed = capsys.readouterr()
    assert printed.out == "" and "warning: cue 2: not spoken" in printed.err and "verdict" not in printed.err


def test_several_timelines_go_into_a_folder(timeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("av")
    other = timeline.with_name("other.srt")
    other.write_text(CUES.replace("Hello", "Goodbye"))
    folder = timeline.with_name("dubs")
    folder.mkdir()
    run("dub", timeline, other, "-o", folder, "--model", "debug", "--workers", 1, "--judge", "none", "--json")
    spoken = [json.loads(line)["takes_spoken"] for line in capsys.readouterr().out.splitlines()]
    assert sorted(path.name for path in folder.glob("*.wav")) == ["cues.wav", "other.wav"] and all(spoken)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--pick", "1"),
        ("--pick", "1=x"),
        ("--only", "a"),
        ("--only", "9"),
        ("--target", "loud"),
        ("--stretch", "9"),
        ("--video", "missing.mp4"),
        ("--cast", "missing.yaml"),
        ("--engine", "cloud"),
    ],
)
def test_wrong_options(arguments: tuple[str, str], timeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(
        ["dub", str(timeline), "-o", str(timeline.with_name("out.wav")), "--model", "debug", *arguments]
    ) in (2, 3)
    assert capsys.readouterr().err.startswith("error: ")


def test_several_timelines_need_a_folder(timeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("dub", timeline, timeline, "-o", timeline.with_name("out.wav"), "--model", "debug", code=2)
    run("dub", timeline, timeline, "-o", timeline.parent, "--model", "debug", code=2)
    assert "same output" in capsys.readouterr().err


def test_cast_suggest(timeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("av")
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * 48_000)
    soundfile.write(timeline.with_name("original.wav"), noise, 48_000)
    target = timeline.with_name("cast.yaml")
    run("cast", "suggest", timeline.with_name("original.wav"), timeline, "-o", target, "--json")
    printed = capsys.readouterr()
    assert [row["character"] for row in json.loads(printed.out)["characters"]] == ["ANNA", "BERT"]
    assert "only 1.2 s of speech" in printed.err and target.exists()
    run("cast", "suggest", timeline.with_name("original.wav"), timeline, "-o", target, code=5)
    with pytest.raises(SystemExit):
        cli.main(["cast"])
