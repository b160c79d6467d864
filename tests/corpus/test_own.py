"""`emovoice corpus import`: own recordings to a corpus, with the debug model (whose ears are random)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emovoice.cli import main
from emovoice.corpus import own
from emovoice.corpus.build import read_manifest
from emovoice.encoder.melody import pitch_per_code
from emovoice.errors import InputError, ModelError, OutputError
from emovoice.training.data import load

HEADER = "file,text,speaker,emotion,intensity"
TEXTS = ("The door is open.", "Well, I never!", "Where did you put it?", "Come home soon.", "It was late.", "No way.")
Import = Callable[..., tuple[int, dict[str, Any], str]]


def voice(path: Path, seconds: float = 1.4, rate: int = 24_000, channels: int = 1, seed: int = 0) -> None:
    """Something with a pitch and pauses."""
    t = np.arange(round(seconds * rate)) / rate
    rng = np.random.default_rng(seed)
    tone = sum(np.sin(2 * np.pi * (110 + 20 * seed) * k * t) / k for k in range(1, 6)) * (np.sin(9 * t) > -0.5)
    samples = 0.1 * tone + 0.003 * rng.standard_normal(len(t))
    soundfile.write(path, np.repeat(samples[:, None], channels, 1), rate)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six recordings at several rates, and their metadata."""
    out = tmp_path / "recordings"
    out.mkdir()
    rows = [HEADER]
    for i, text in enumerate(TEXTS):
        voice(out / f"{i}.wav", 1.4 + 0.1 * i, (8_000, 24_000, 44_100)[i % 3], 1 + i % 2, i)
        rows.append(f'{i}.wav,"{text}",{("anna", "")[i % 2]},{("", "Joy", "sad")[i % 3]},{("", "0.5")[i % 2]}')
    (out / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return out


@pytest.fixture
def bring(folder: Path, capsys: pytest.CaptureFixture[str]) -> Import:
    """`emovoice corpus import`: exit code, JSON summary, standard error."""

    def run(*options: str) -> tuple[int, dict[str, Any], str]:
        fit = () if "--least-fit" in options else ("--least-fit", "0")
        out = str(folder.parent / "corpus")
        code = main(["corpus", "import", str(folder), "--out", out, "--model", "debug", "--json", *fit, *options])
        printed, told = capsys.readouterr()
        return code, json.loads(printed) if printed else {}, told

    return run


def rewrite(folder: Path, *rows: str, header: str = HEADER) -> None:
    (folder / "metadata.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def test_recordings_become_a_corpus_that_a_tokenizer_is_trained_on(folder: Path, bring: Import, tmp_path: Path) -> None:
    code, summary, _ = bring()
    assert code == 0 and summary["imported"] == 6 and summary["refused"] == [] and summary["texts"] == 6
    items = load(tmp_path / "corpus")
    assert [u.group for u in items] == list(range(6)), "one is held out, the others are trained on"
    assert [u.speaker for u in items] == ["anna", "own"] * 3
    assert [(u.emotion, u.intensity) for u in items[:4]] == [
        ("neutral", 0.0),
        ("happy", 0.5),
        ("sad", 1.0),
        ("neutral", 0.0),
    ]
    for i, u in enumerate(items):
        assert u.samples is not None and u.codes == len(u.samples) // 960 == round((1.4 + 0.1 * i) * 24_000) // 960
        assert (np.diff(u.pointer) >= 0).all() and u.pointer[-1] < len(u.text)
    runs = tmp_path / "runs"
    arguments = ["--corpus", str(tmp_path / "corpus"), "--runs", str(runs), "--minutes", "0.02"]
    assert main(["train", "tokenizer", *arguments]) == 0
    assert (runs / "tokenizer" / "state.pt").is_file()
    (curve,) = (runs / "tokenizer" / "curves.jsonl").read_text().splitlines()
    assert np.isfinite(json.loads(curve)["phone"])


def test_what_is_there_is_kept_and_what_changed_is_done_again(folder: Path, bring: Import, tmp_path: Path) -> None:
    bring()
    manifest = tmp_path / "corpus" / "manifest.jsonl"
    before = manifest.read_bytes()
    assert bring()[1]["kept"] == 6 and manifest.read_bytes() == before

    (tmp_path / "corpus" / json.loads(before.splitlines()[0])["file"]).unlink()
    voice(folder / "1.wav", 2.0)
    told = (folder / "metadata.csv").read_text().replace("It was late.", "It was very late.")
    (folder / "metadata.csv").write_text(told)
    _, summary, _ = bring()
    assert (summary["imported"], summary["kept"]) == (3, 3)
    rows = {row["text"]: row for row in read_manifest(manifest)}
    assert len(read_manifest(manifest)) == len(rows) == 6 and rows["Well, I never!"]["seconds"] == 2.0
    assert len(list((tmp_path / "corpus" / "wavs").iterdir())) == 6
    assert bring("--accent", "gb")[1]["imported"] == 6, "read in another way"


def test_a_crash_costs_one_item(bring: Import, tmp_path: Path) -> None:
    bring()
    manifest = tmp_path / "corpus" / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-50])
    _, summary, _ = bring()
    assert (summary["imported"], summary["kept"]) == (1, 5)
    assert len(load(tmp_path / "corpus")) == 6


def test_a_corpus_that_is_there_is_added_to(bring: Import, tmp_path: Path) -> None:
    other = {"id": "000007a", "group": 7, "text": "The door is open.", "kind": "wordnet", "file": "wavs/x.flac"}
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "manifest.jsonl").write_text(json.dumps(other) + "\n")
    bring()
    rows = read_manifest(tmp_path / "corpus" / "manifest.jsonl")
    assert rows[0] == other and [row["group"] for row in rows[1:]] == list(range(8, 14))


def test_one_text_is_one_group(folder: Path, bring: Import, tmp_path: Path) -> None:
    rewrite(folder, "0.wav,Come home.", "1.wav,Go away.", "2.wav,Come home.", header="file,text")
    assert bring()[0] == 0
    assert [u.group for u in load(tmp_path / "corpus")] == [0, 1, 0]
    rewrite(folder, "3.wav,Stay.", header="File , Text")
    assert "two texts" in bring()[2]


BAD = {
    "gone.wav,Hello.,,,": "there is no such recording",
    "noise.wav,Hello.,,,": "cannot be read",
    "folder.wav,Hello.,,,": "this is a directory",
    "short.wav,Hello.,,,": "too short (seconds=0.3)",
    "long.wav,Hello.,,,": "longer than 30 s",
    "silent.wav,Hello.,,,": "silent",
    "0.wav,,,,": "the text is empty",
    "1.wav,!?,,,": "no letters",
    "0.wav,Hello.,,furious-ish,": "unknown emotion (emotion='furious-ish')",
    "0.wav,Hello.,,sad,1.5": "0..1 (intensity=1.5)",
    "0.wav,Hello.,,sad,nan": "0..1",
    "0.wav,Hello.,,sad,much": "not a number (intensity='much')",
    "0.wav,Hello, there.,,,": "more fields",
    ",Hello.,,,": "no file",
    "5.wav,Hello.,,,": "listed twice",
    "2.wav," + "Nobody expected such an extraordinarily long sentence here. " * 9 + ",,,": "400 phonemes",
    "half.wav," + "Nobody expected such an extraordinarily long sentence here. " * 3 + ",,,": "too short for its text",
}


def test_bad_rows_are_told_and_passed_over(folder: Path, bring: Import) -> None:
    (folder / "noise.wav").write_bytes(b"not a sound" * 99)
    (folder / "folder.wav").mkdir()
    for name, seconds in (("short", 0.3), ("long", 31), ("half", 0.5)):
        voice(folder / f"{name}.wav", seconds)
    soundfile.write(folder / "silent.wav", np.zeros(24_000), 24_000)
    rewrite(folder, "5.wav,No way.,,,", *BAD)
    code, summary, told = bring()
    assert code == 0 and summary["imported"] == 1 and summary["rows"] == 1 + len(BAD)
    lines = {line.split(",")[0]: line for line in summary["refused"]}
    assert len(lines) == len(BAD)
    for number, (row, why) in enumerate(BAD.items(), 3):
        assert why in lines[f"line {number}"], row
        assert lines[f"line {number}"] in told.splitlines()


def test_nothing_usable_is_exit_code_two(folder: Path, bring: Import) -> None:
    rewrite(folder, "gone.wav,Hello.,,,")
    code, summary, told = bring()
    assert code == 2 and summary["imported"] == 0 and "error: not one recording" in told


def test_random_ears_find_that_nothing_fits(bring: Import) -> None:
    code, summary, _ = bring("--least-fit", "0.99")
    assert code == 2 and all("does not say its text (fit=0." in line for line in summary["refused"])


@pytest.mark.parametrize("content", [None, b"", b"file;text\n", b"\xff\xfe", b'file,text\n0.wav,"open\n'])
def test_bad_metadata(folder: Path, bring: Import, content: bytes | None) -> None:
    (folder / "metadata.csv").unlink()
    if content is not None:
        (folder / "metadata.csv").write_bytes(content)
    code, _, told = bring()
    assert code == 2 and told.startswith("error: ") and told.count("\n") == 1


def test_bad_places_and_models(folder: Path, bring: Import, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError):
            own.import_folder(folder, out, own.Options("debug"))
    with pytest.raises(ModelError):
        own.import_folder(folder, tmp_path / "corpus", own.Options("no-such-model"))
    with pytest.raises(InputError):
        own.import_folder(tmp_path / "nowhere", tmp_path / "corpus", own.Options("debug"))
    assert bring("--least-fit", "7")[0] == bring("--least-fit", "nan")[0] == 2


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir(mode=0o500)
    with pytest.raises(OutputError):
        own.import_folder(folder, tmp_path / "corpus", own.Options("debug"))


def test_pitch_spread_over_frames_comes_back() -> None:
    hz = np.random.default_rng(0).choice([0.0, 90.0, 130.5, 222.2], 101)
    assert np.allclose(pitch_per_code(own.spread_pitch(hz), 80, 101), hz, rtol=1e-6)


def test_a_length_that_is_no_whole_code_loses_less_than_one() -> None:
    phones, pitch = own.Labeller(own.Options("debug")).hear(np.zeros(960 * 20 + 959, np.float32))
    assert phones.shape == (40, 68) and pitch.shape == (20,)
    assert np.allclose(np.exp(phones).sum(1), 1, atol=1e-4)
