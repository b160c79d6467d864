"""Timing in processes of their own."""

import json
import sys
from pathlib import Path

import pytest

from emovoice.errors import ModelError
from emovoice.evaluation import material, speed
from tests.evaluation.fakes import TEXTS, FakeEngine


def test_the_first_sentences_do_not_count() -> None:
    engine = FakeEngine()
    wall, audio = speed.speak_all(engine, TEXTS)
    assert len(wall) == len(audio) == len(TEXTS) and len(engine.asked) == len(TEXTS) + 2
    assert audio == pytest.approx([0.02 * len(text) for text in TEXTS], abs=1e-3)
    assert len(speed.speak_all(FakeEngine(), TEXTS[:1])[0]) == 1


def test_peak_memory_is_that_of_the_process_itself() -> None:
    # This one, with torch in it, has held far more than the one it starts.
    code = (
        "import numpy as np; from emovoice.evaluation.speed import peak_memory_gb as peak; "
        "before = peak(); held = np.ones(25_000_000); print(before, peak())"
    )
    before, after = map(float, speed._run([sys.executable, "-c", code], "").split())
    assert 0.2 <= after - before < 0.25 and before < 0.15


def test_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {
        "wall_s": [1.0, 2.0],
        "audio_s": [4.0, 2.0],
        "load_s": 3.0,
        "peak_gb": 0.9,
        "cores": 2,
        "threads": 2,
    }
    monkeypatch.setattr(speed, "_run", lambda command, given: "some notice\n" + json.dumps(figures))
    factor, memory, say, load = speed.measure("mini", TEXTS[:2], material.bars())
    assert factor.value == 0.5 and factor.passed and factor.n == 2 and "2 cores" in factor.note
    assert memory.value == 0.9 and memory.passed
    assert say.n == speed.SAY_RUNS and say.passed
    assert load.value == 3.0 and load.passed is None


def test_a_process_that_fails_is_reported() -> None:
    with pytest.raises(ModelError, match="no such thing"):
        speed._run([sys.executable, "-c", "import sys; sys.exit('no such thing')"], "")


def test_saying_is_timed_from_the_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(speed, "_run", lambda command, given: commands.append(command))
    assert len(speed.first_says("debug", 2)) == 2
    assert len(commands) == 3 and commands[0][3] == "say" and commands[0][-1] == "debug"
    assert len({command[6] for command in commands}) == 3
    assert not Path(commands[0][6]).parent.exists()
