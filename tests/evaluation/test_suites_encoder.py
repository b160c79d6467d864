"""`copy` and `leak`, on stand-ins and on the debug model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emovoice.cli import main
from emovoice.errors import InputError, ModelError
from emovoice.evaluation import judges, material, suites_encoder
from emovoice.evaluation.material import Prompt
from emovoice.evaluation.rows import Row
from emovoice.evaluation.suites import SUITES, Plan
from emovoice.evaluation.suites_encoder import copy, leak, pitch_difference
from tests.evaluation.fakes import RATE, TEXTS, FakeEngine, hum, make_bench

SPEAKERS, KINDS = ("anna", "bert", "carl"), ("neutral", "sad", "angry")


class Telling:
    """Timbre tells the speaker (by pitch); emotion tells the level, which is the kind of emotion."""

    sample_rate = RATE
    copies = 0

    def __init__(self, leaky: bool = False, bend: float = 1.0) -> None:
        self.leaky, self.bend = leaky, bend

    def embed(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rises = np.count_nonzero((samples[:-1] < 0) & (samples[1:] >= 0)) / len(samples) * RATE
        level = 10 * np.log10(np.mean(samples.astype(np.float64) ** 2))
        who, how = np.zeros(192), np.zeros(256)
        who[int(np.clip(rises / 60, 0, 9))] = 1
        how[int(np.clip(-level / 6, 0, 9))] = 1
        if self.leaky:
            how[20:30] = who[:10]
        return who, how

    def resynthesise(self, samples: np.ndarray) -> np.ndarray:
        self.copies += 1
        whole = samples[: len(samples) // 960 * 960]
        return np.interp(np.arange(len(whole)) * self.bend % len(whole), np.arange(len(whole)), whole)


class Tracker:
    """A pitch of 100 Hz times what the first sample says, voiced but for every fifth frame."""

    version = "told"

    def track(self, samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
        times = np.arange(0, len(samples) / rate, 0.016)
        return times, np.where(np.arange(len(times)) % 5, 100.0, np.nan)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three voices, neutral and two emotions, 20 texts: 180 hums of half a second."""
    folder = tmp_path / "corpus"
    (folder / "wavs").mkdir(parents=True)
    rows = []
    for i in range(180):
        speaker, kind = SPEAKERS[i % 3], KINDS[i // 3 % 3]
        name = f"wavs/{i:03d}.flac"
        sound = hum(0.5, (80, 86, 92)[i % 3], 0.2, (-20, -26, -32)[i // 3 % 3])
        soundfile.write(folder / name, sound, RATE)
        rows.append({"id": f"{i:03d}", "group": i // 9, "text": f"text {i // 9}", "voice": speaker, "emotion": kind,
                     "intensity": 0.0 if kind == "neutral" else 0.3 if i >= 162 else 0.8, "warp": 1.0,
                     "phonemes": "hˈʌm", "durations": [10, 10], "f0_hz": [100.0] * 40, "file": name})  # fmt: skip
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def make_plan(work: Path, prompts: list[Prompt], encoder: Telling | None = None, **more: object) -> Plan:
    bench = make_bench(FakeEngine(), work / "work", prompts)
    bench.pitch = Tracker()  # type: ignore[assignment]
    make = None if encoder is None else lambda: encoder
    return Plan(bench, TEXTS, material.bars(), prompts, encoder=make, **more)  # type: ignore[arg-type]


def by_name(rows: list[Row]) -> dict[str, Row]:
    assert all(row.passed is None for row in rows), "no bars"
    return {row.what: row for row in rows}


def test_vectors_that_tell_only_their_own(corpus: Path, tmp_path: Path) -> None:
    rows = by_name(leak(make_plan(tmp_path, [], Telling(), corpus=corpus)))
    assert rows["leak: speaker from the timbre vector"].value == 1
    assert rows["leak: emotion from the emotion vector"].value == 1
    for what, vector in (("speaker", "emotion"), ("emotion", "timbre")):
        chance = rows[f"leak: {what} by chance"]
        assert rows[f"leak: {what} from the {vector} vector"].value == pytest.approx(chance.value, abs=0.15)
        assert chance.value == pytest.approx(1 / 3, abs=0.1)
    assert rows["leak: speaker by chance"].n == 54, "three texts in ten"
    assert "3 classes" in rows["leak: emotion from the timbre vector"].note


def test_a_leak_is_found(corpus: Path, tmp_path: Path) -> None:
    rows = by_name(leak(make_plan(tmp_path, [], Telling(leaky=True), corpus=corpus)))
    row = rows["leak: speaker from the emotion vector"]
    assert row.value == 1 and "100 % of the way" in row.note


def test_weak_emotions_are_not_asked_for() -> None:
    asked = (("sad", 0.59), ("sad", 0.6), ("neutral", 0))
    kinds = [suites_encoder._kind({"emotion": emotion, "intensity": intensity}) for emotion, intensity in asked]
    assert kinds == ["", "sad", "neutral"]


def test_a_large_corpus_is_sampled_by_text(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites_encoder, "MOST_ITEMS", 18)
    rows = suites_encoder._some_items(corpus)
    assert len(rows) == 18 and len({row["text"] for row in rows}) == 2
    assert rows == suites_encoder._some_items(corpus)


def test_a_corpus_with_one_voice_and_no_emotion(corpus: Path, tmp_path: Path) -> None:
    lines = (corpus / "manifest.jsonl").read_text().splitlines()
    (corpus / "manifest.jsonl").write_text("\n".join(lines[:1]) + "\n")
    rows = leak(make_plan(tmp_path, [], Telling(), corpus=corpus))
    assert [row.note for row in rows] == ["too few items"] * 2 and all(np.isnan(row.value) for row in rows)


def test_leak_needs_a_corpus_and_both_need_encoders(corpus: Path, tmp_path: Path, prompts: list[Prompt]) -> None:
    with pytest.raises(InputError, match="--corpus"):
        leak(make_plan(tmp_path, [], Telling()))
    with pytest.raises(InputError, match="no items"):
        leak(make_plan(tmp_path, [], Telling(), corpus=tmp_path))
    with pytest.raises(ModelError):
        copy(make_plan(tmp_path, prompts))


@pytest.mark.usefixtures("plain_reading")
def test_copies_are_judged_beside_their_originals(tmp_path: Path, prompts: list[Prompt]) -> None:
    known = [Prompt(p.voice, p.path, p.held_out, text=TEXTS[0]) for p in prompts]
    rows = by_name(copy(make_plan(tmp_path, known, Telling())))
    assert len(rows) == 10, "five figures for each group of voices"
    assert rows["copy: pitch RMSE, prompts of trained voices"].value == 0
    assert rows["copy: voiced frames that stay voiced, prompts of held-out voices"].value == 1
    assert rows["copy: timbre similarity to the original, prompts of trained voices"].value == pytest.approx(1)
    assert rows["copy: WER of the copies, prompts of trained voices"].n == 2


def test_without_texts_there_are_no_words_to_compare(tmp_path: Path, prompts: list[Prompt]) -> None:
    assert not any("WER" in row.what for row in copy(make_plan(tmp_path, prompts, Telling())))
    (nothing,) = copy(make_plan(tmp_path, [], Telling()))
    assert np.isnan(nothing.value)


@pytest.mark.usefixtures("plain_reading")
def test_renders_of_the_teacher_are_copied_as_well(tmp_path: Path, prompts: list[Prompt]) -> None:
    folder = prompts[0].path.parent
    (folder / "teacher.json").write_text(json.dumps([{"file": prompts[0].path.name, "text": TEXTS[0]}]))
    rows = by_name(copy(make_plan(tmp_path, [], Telling(), teacher=folder)))
    assert len(rows) == 5 and all("teacher renders" in what for what in rows)


def test_copies_are_made_once_and_by_each_model(tmp_path: Path, prompts: list[Prompt]) -> None:
    first, again, other = Telling(), Telling(), Telling(bend=1.01)
    copy(make_plan(tmp_path, prompts, first))
    copy(make_plan(tmp_path, prompts, again))
    copy(make_plan(tmp_path, prompts, other))
    assert (first.copies, again.copies, other.copies) == (4, 1, 4), "one to see which model it is"


def test_pitch_difference() -> None:
    a = np.array([0.0] * 4 + [100.0] * 16)
    up = np.where(a > 0, a * 2 ** (2 / 12), 0)
    assert pitch_difference(a, up) == (pytest.approx(2), 1)
    half = np.where(np.arange(20) < 12, up, 0.0)
    assert pitch_difference(a, half[:19]) == (pytest.approx(2), pytest.approx(8 / 15))
    rmse, share = pitch_difference(a, np.zeros(20))
    assert np.isnan(rmse) and share == 0
    assert all(np.isnan(x) for x in pitch_difference(np.zeros(20), a))


@pytest.mark.usefixtures("shipped")
def test_leak_by_command_without_judges(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(judges, "find_spec", lambda name: None)
    work = str(tmp_path / "work")
    options = ["--model", "debug", "--work", work, "--texts", "1", "--only", "leak", "--json"]
    assert main(["evaluate", *options, "--corpus", str(corpus)]) == 0
    rows = json.loads(capsys.readouterr().out)["suites"]["leak"]["rows"]
    assert len(rows) == 6 and all(0 <= row["value"] <= 1 for row in rows)
    assert main(["evaluate", *options]) == 2
    assert "--corpus" in capsys.readouterr().err


@pytest.mark.judges
@pytest.mark.slow
@pytest.mark.skipif(any(map(judges.missing, SUITES["copy"].judges)), reason="emovoice[judges] is not installed")
@pytest.mark.usefixtures("shipped")
def test_copy_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = material.prompts()[0].path.parent
    listed = json.loads((folder / "prompts.json").read_text())["prompts"][:1]
    (tmp_path / "prompts.json").write_text(json.dumps({"prompts": listed}))
    (tmp_path / listed[0]["file"]).write_bytes((folder / listed[0]["file"]).read_bytes())
    options = ["--model", "debug", "--work", str(tmp_path / "work"), "--texts", "1", "--only", "copy", "--json"]
    assert main(["evaluate", *options, "--prompts", str(tmp_path)]) == 0
    rows = {row["what"]: row for row in json.loads(capsys.readouterr().out)["suites"]["copy"]["rows"]}
    assert rows["copy: WER of the originals, prompts of trained voices"]["value"] < 0.1
    assert rows["copy: WER of the copies, prompts of trained voices"]["value"] > 0.5, "random weights"
