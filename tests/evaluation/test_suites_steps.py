"""The suite of solver steps, on the model of random weights and judges that are told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from emovoice import Engine
from emovoice.errors import ModelError
from emovoice.evaluation import material, report, suites_steps
from emovoice.evaluation.bench import Bench
from emovoice.evaluation.suites import Plan
from tests.evaluation.fakes import TEXTS, Deaf, Ears

pytestmark = pytest.mark.usefixtures("plain_reading")


class Score(Ears):
    version = "score"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine("debug")


def test_steps_change_the_mel_and_nothing_else(engine: Engine) -> None:
    own = engine.synthesize(TEXTS[0], seed=3).samples
    two, eight = (suites_steps.with_steps(engine, n).synthesize(TEXTS[0], seed=3).samples for n in (2, 8))
    assert suites_steps.steps_of(engine) == 2 and np.array_equal(own, two)
    assert len(eight) == len(own) and not np.allclose(eight, own, atol=1e-4)
    assert np.array_equal(engine.synthesize(TEXTS[0], seed=3).samples, own)  # it is as it was


def test_every_number_of_steps_is_judged_against_the_models_own(engine: Engine, tmp_path: Path) -> None:
    prompts = material.prompts()[:2]
    bench = Bench(engine, tmp_path, prompts, lambda p: engine.voice_from(p.path, name=p.voice, accent=p.accent))
    bench.recogniser = Deaf({1: "The lawyer cleared his throat."})  # type: ignore[assignment]
    bench.speaker, bench.quality = Ears(), Score()  # type: ignore[assignment]
    plan = Plan(bench, TEXTS[:2], material.bars(), prompts, model="debug", engine=lambda: engine)
    rows = suites_steps.steps(plan)
    found = {row.what: row for row in rows}
    assert len(found) == len(rows) == 4 * 5 + 3 * 4
    assert found["steps: 2 WER"].note and "steps: 2 WER, less that of 2" not in found
    assert found["steps: 8 WER, less that of 2"].value == 0 and found["steps: 0 cost"].value > 0
    assert found["steps: 4 similarity"].n == 2 and found["steps: 8 DNSMOS"].value == pytest.approx(3.2)
    entry = report.entry(rows, 2, 1.0, ())
    lines = suites_steps.table({"model": "debug", "fingerprint": "f", "suites": {"steps": entry}}).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:7]] == ["0", "1", "2", "4", "8"]
    assert lines[4].split("|")[3].strip() == "–" and "+0.0 (+0.0 .. +0.0)" in lines[6]
    spoken = len(list((tmp_path / "audio").iterdir()))
    suites_steps.steps(plan)
    assert len(list((tmp_path / "audio").iterdir())) == spoken == 2 + 2 * 5


def test_without_prompts_there_is_no_likeness(engine: Engine, tmp_path: Path) -> None:
    bench = Bench(engine, tmp_path)
    bench.recogniser = Deaf({1: ""})  # type: ignore[assignment]
    bench.speaker, bench.quality = Ears(), Score()  # type: ignore[assignment]
    rows = suites_steps.steps(Plan(bench, TEXTS[:1], material.bars(), model="debug", engine=lambda: engine))
    text = suites_steps.table({"model": "debug", "fingerprint": "f",
                               "suites": {"steps": report.entry(rows, 1, 1.0, ())}})  # fmt: skip
    assert "| 100.0 | – | 3.200 | – | – | – | " in text


def test_other_models_have_other_steps(tmp_path: Path) -> None:
    published: Any = SimpleNamespace(pipeline=SimpleNamespace(name="indextts-2"))
    with pytest.raises(ModelError, match="solver_steps"):
        suites_steps.steps_of(published)
