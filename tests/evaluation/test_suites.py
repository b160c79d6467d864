"""The suites, on an engine that does as it is told and on ones that do not."""

import json
from pathlib import Path

import numpy as np
import pytest

from emovoice.errors import InputError, ModelError
from emovoice.evaluation import SUITE_NAMES, material, suites
from emovoice.evaluation.judges import PACKAGES
from emovoice.evaluation.material import Prompt
from emovoice.evaluation.rows import Row
from emovoice.evaluation.suites import SUITES, Plan
from tests.evaluation.fakes import TEXTS, FakeEngine, make_bench

pytestmark = pytest.mark.usefixtures("plain_reading")


def make_plan(engine: FakeEngine, work: Path, prompts: list[Prompt], **more: object) -> Plan:
    bench = make_bench(engine, work / "work", prompts)
    return Plan(bench, TEXTS, material.bars(), prompts, **more)  # type: ignore[arg-type]


def by_name(rows: list[Row]) -> dict[str, Row]:
    return {row.what: row for row in rows}


def test_every_name_has_a_suite_and_every_suite_known_judges() -> None:
    assert tuple(SUITES) == SUITE_NAMES
    assert {judge for suite in SUITES.values() for judge in suite.judges} == set(PACKAGES)


def test_voices_rotate_and_the_held_out_stay_apart(tmp_path: Path, prompts: list[Prompt]) -> None:
    plan = make_plan(FakeEngine(), tmp_path, prompts)
    assert [item.voice for item in plan.items()] == ["af_one", "am_two"] * 2
    assert plan.held_out == ("bf_three",)
    mixed = make_plan(FakeEngine(), tmp_path, prompts).mixed()
    assert [item.emotion for item in mixed] == ["happy", "happy", "angry", "angry"]
    assert all(item.intensity == 1 for item in mixed)


def test_words_are_judged_neutral_and_in_each_emotion(tmp_path: Path, prompts: list[Prompt]) -> None:
    plan = make_plan(FakeEngine(), tmp_path, prompts, emotions=("happy", "sad"))
    (neutral,) = suites.wer_neutral(plan)
    assert (neutral.value, neutral.n, neutral.passed) == (0.0, 4, True)
    assert [row.what for row in suites.wer_emotions(plan)] == [
        "WER at intensity 1, happy",
        "WER at intensity 1, sad",
    ]


def test_word_errors_miss_the_bar(tmp_path: Path, prompts: list[Prompt]) -> None:
    plan = make_plan(FakeEngine(), tmp_path, prompts)
    plan.bench.recogniser.heard = {1: "something else altogether"}  # type: ignore[attr-defined]
    (row,) = suites.wer_neutral(plan)
    assert row.value == 1.0 and row.passed is False


def test_lengths_met(tmp_path: Path, prompts: list[Prompt]) -> None:
    rows = suites.length(make_plan(FakeEngine(off_s=0.019), tmp_path, prompts))
    assert (rows[0].value, rows[0].n, rows[0].passed) == (1.0, 16, True)
    speech = by_name(rows)["part of the length with speech in it, at 0.75"]
    assert speech.passed is None and 0.8 < speech.value < 1


def test_lengths_missed_by_more_than_a_frame(tmp_path: Path, prompts: list[Prompt]) -> None:
    rows = suites.length(make_plan(FakeEngine(off_s=-0.021), tmp_path, prompts))
    assert (rows[0].value, rows[0].passed) == (0.0, False)


def test_refused_lengths_are_missed(tmp_path: Path, prompts: list[Prompt]) -> None:
    rows = by_name(suites.length(make_plan(FakeEngine(refuses="sails"), tmp_path, prompts)))
    assert rows["length asked for met within 20 ms"].value == 0.75
    assert rows["WER at 0.75 of the free length"].value > 0.2


def test_timbre_of_known_and_new_voices(tmp_path: Path, prompts: list[Prompt]) -> None:
    trained, new = suites.timbre(make_plan(FakeEngine(), tmp_path, prompts))
    assert trained.passed and new.passed and trained.n == new.n == 4


def test_timbre_without_prompts_is_not_passed(tmp_path: Path) -> None:
    plan = make_plan(FakeEngine(), tmp_path, [])
    assert [row.passed for row in suites.timbre(plan)] == [False, False]
    assert [row.passed for row in suites.timbre_lost(plan)] == [False]
    assert suites.wer_neutral(plan)[0].passed


def test_timbre_lost_is_neutral_less_emotional(tmp_path: Path, prompts: list[Prompt]) -> None:
    plan = make_plan(FakeEngine(), tmp_path, prompts, emotions=("angry", "calm"))
    vectors = {"neutral": [1.0, 0.0], "angry": [0.8, 0.6], "calm": [1.0, 0.0]}
    known = {plan.bench.take(item).key: "neutral" for item in plan.items()}
    for emotion in ("angry", "calm"):
        known |= {plan.bench.take(item).key: emotion for item in plan.items(emotion, 1.0)}
    plan.bench.embedding = lambda take: np.array(vectors[known.get(take.key, "neutral")])  # type: ignore[method-assign]
    rows = by_name(suites.timbre_lost(plan))
    assert rows["timbre similarity lost from neutral to intensity 1"].value == pytest.approx(0.1)
    assert rows["timbre similarity lost from neutral to intensity 1"].passed is False
    assert rows["timbre similarity lost, angry"].value == pytest.approx(0.2)


def test_prosody_of_an_obedient_engine(tmp_path: Path, prompts: list[Prompt]) -> None:
    sign, growth, *rest = suites.prosody_moves(make_plan(FakeEngine(), tmp_path, prompts))
    assert sign.value == 1.0 and sign.passed and sign.n == 31  # `afraid` is as loud as neutral
    assert growth.value > 0.9 and growth.passed and growth.n == 4
    assert by_name(rest)["Spearman, sad, F0 level"].value == pytest.approx(1)
    assert by_name(rest)["Spearman, sad, F0 level"].note.startswith("-")


def test_prosody_of_an_engine_that_does_the_opposite(tmp_path: Path, prompts: list[Prompt]) -> None:
    plan = make_plan(FakeEngine(wrong=("sad",)), tmp_path, prompts, emotions=("happy", "sad"))
    sign, growth, *rest = suites.prosody_moves(plan)
    assert sign.value == 0.5 and sign.passed is False and growth.passed is False
    assert by_name(rest)["Spearman, sad"].value < -0.9
    assert "WRONG" in by_name(rest)["Spearman, sad, level"].note


def test_quality_is_half_neutral_and_half_emotional(tmp_path: Path, prompts: list[Prompt]) -> None:
    both, neutral, mixed = suites.quality(make_plan(FakeEngine(), tmp_path, prompts))
    assert (both.n, neutral.n, mixed.n) == (8, 4, 4) and both.value == pytest.approx(3.2) and both.passed


def test_the_teacher_is_judged_alike(tmp_path: Path, prompts: list[Prompt]) -> None:
    folder = prompts[0].path.parent
    listed = [{"file": prompts[0].path.name, "text": TEXTS[0], "voice": "af_one"}]
    (folder / "teacher.json").write_text(json.dumps(listed))
    rows = suites.teacher(make_plan(FakeEngine(), tmp_path, prompts, teacher=folder))
    assert [row.what.split(":")[0] for row in rows] == ["teacher"] * 3
    assert rows[2].value == pytest.approx(1) and all(row.passed is None for row in rows)


@pytest.mark.parametrize(
    "content", [None, "{", "[]", '[{"file": "gone.flac", "text": "a"}]', '{"a": 1}', "[1]"]
)
def test_a_bad_list_of_renders(tmp_path: Path, prompts: list[Prompt], content: str | None) -> None:
    if content is not None:
        (tmp_path / "teacher.json").write_text(content)
    with pytest.raises(InputError):
        suites.teacher(make_plan(FakeEngine(), tmp_path, prompts, teacher=tmp_path))


def test_the_teacher_suite_needs_a_folder(tmp_path: Path, prompts: list[Prompt]) -> None:
    with pytest.raises(ModelError, match="--teacher"):
        suites.teacher(make_plan(FakeEngine(), tmp_path, prompts))
