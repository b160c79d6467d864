"""`emovoice evaluate`, with an engine that hums."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

import emovoice
from emovoice.cli import evaluate
from emovoice.errors import InputError, ModelError, OutputError
from emovoice.evaluation import bench, judges, material
from tests.evaluation.fakes import TEXTS, Deaf, Ears, FakeEngine

pytestmark = pytest.mark.usefixtures("plain_reading")


def parse(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    evaluate.add(parser.add_subparsers())
    return parser.parse_args(["evaluate", *options])


@pytest.fixture
def humming(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine(model: str) -> FakeEngine:
        return FakeEngine()

    told = {round(24_000 * 0.02 * len(text)): text for text in TEXTS}
    monkeypatch.setattr(emovoice, "Engine", engine, raising=False)
    monkeypatch.setattr(bench, "Recogniser", lambda threads: Deaf(told))
    for name in ("SpeakerJudge", "PitchJudge", "QualityJudge"):
        monkeypatch.setattr(bench, name, Ears)
    monkeypatch.setattr(judges, "require", lambda *names: None)
    monkeypatch.setattr(material, "held_out_texts", lambda count: list(TEXTS[:count]))
    monkeypatch.setattr(material, "prompts", lambda folder: [])


@pytest.mark.usefixtures("humming")
def test_a_run_prints_a_table_and_writes_two_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = parse("--only", "quality,wer_neutral", "--texts", "3", "--work", str(tmp_path))
    assert args.run(args) == 0
    out = capsys.readouterr().out
    assert out == (tmp_path / "report.md").read_text() and "| WER, neutral, trained voices | 0.0 % |" in out
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["suites"]) == ["wer_neutral", "quality"]


@pytest.mark.usefixtures("humming")
def test_a_missed_bar_is_exit_code_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = parse("--only", "timbre", "--texts", "2", "--work", str(tmp_path), "--json")
    assert args.run(args) == 1  # no prompts, no figure
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [row["passed"] for row in printed["suites"]["timbre"]["rows"]] == [False, False]


@pytest.mark.usefixtures("humming")
@pytest.mark.parametrize("options", [("--only", "wer"), ("--emotions", "happy,glum"), ("--only", ",")])
def test_unknown_names_are_refused(options: tuple[str, ...], tmp_path: Path) -> None:
    args = parse(*options, "--work", str(tmp_path))
    with pytest.raises(InputError, match="Use "):
        args.run(args)


def test_missing_judges_are_noticed_before_anything_is_spoken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judges, "find_spec", lambda name: None)
    args = parse("--work", str(tmp_path / "work"))
    with pytest.raises(ModelError, match=r"emovoice\[judges\]"):
        args.run(args)
    assert not (tmp_path / "work").exists()


@pytest.mark.usefixtures("humming")
def test_a_picture_needs_a_file_that_can_be_written(tmp_path: Path) -> None:
    for options, error in (((), InputError), (("-o", str(tmp_path / "x.txt")), OutputError)):
        args = parse("plot", *options)
        with pytest.raises(error):
            args.run(args)


@pytest.mark.usefixtures("humming")
def test_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="emovoice[judges] is not installed: matplotlib")

    class Tracker(Ears):
        def track(self, samples: Any, rate: int) -> tuple[list[float], list[float]]:
            return [0.0, 0.5], [100.0, 120.0]

    monkeypatch.setattr(bench, "PitchJudge", Tracker)
    out = tmp_path / "look.png"
    args = parse("plot", "--emotions", "sad", "--work", str(tmp_path), "--text", TEXTS[0], "-o", str(out))
    assert args.run(args) == 0 and out.read_bytes().startswith(b"\x89PNG")
