"""The suites of conversion, on an engine that hums what it should, and on ones that do not."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from emovoice.corpus.correlates import correlates
from emovoice.emotion.names import EMOTIONS
from emovoice.errors import InputError, ModelError
from emovoice.evaluation import material, suites_convert
from emovoice.evaluation.material import Prompt
from emovoice.evaluation.rows import Row
from emovoice.evaluation.suites import Plan
from tests.evaluation.fakes import RATE, TEXTS, Ears, FakeEngine, Hum, hum, make_bench

pytestmark = pytest.mark.usefixtures("plain_reading")


class Tracker(Ears):
    """Pitch by zero crossings, on a grid of 16 ms."""

    def track(self, samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
        times = np.arange(0, len(samples) / rate, 0.016)
        crossings = np.flatnonzero((samples[:-1] < 0) & (samples[1:] >= 0))
        if len(crossings) < 3:
            return times, np.full(len(times), np.nan)
        return times, np.interp(times * rate, crossings[1:], rate / np.diff(crossings))


def sung(text: str, emotion: str, intensity: float, seconds: float | None = None, base: float = 84.0) -> np.ndarray:
    how = correlates(emotion, intensity)
    length = len(text) * 0.02 * how.duration if seconds is None else seconds
    return hum(length, base + how.f0_shift_st, 4 * how.f0_range, -26 + how.gain_db)


class Converts(FakeEngine):
    """Hums the text of a recording, which it knows by its name, in the emotion asked for."""

    def __init__(self, texts: dict[str, str], strength: float = 1.0) -> None:
        super().__init__()
        self.texts, self.strength = texts, strength
        self.pipeline: Any = SimpleNamespace(
            sample_rate=RATE, converter=lambda: SimpleNamespace(vocoded=lambda samples: samples)
        )

    def convert(self, source: Path, emotion: str, intensity: float, *, tempo: bool = False,
                duration_s: float | None = None, decoding: Any = None) -> Hum:
        text = self.texts[Path(source).stem]
        length = len(text) * 0.02 if not tempo and duration_s is None else duration_s
        return Hum(sung(text, emotion, self.strength * intensity, length))


@pytest.fixture
def sources(tmp_path: Path) -> list[Prompt]:
    made = []
    for index, text in enumerate(TEXTS):
        path = tmp_path / f"source{index}.wav"
        soundfile.write(path, sung(text, "neutral", 0.0), RATE)
        made.append(Prompt(f"v{index}", path, index == 3, text=text))
    return made


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Pairs of a neutral and an emotional recording of seven texts, a little noisy."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    rows, draw = [], np.random.default_rng(0)
    for group in range(7 * len(EMOTIONS)):
        emotion, text = EMOTIONS[group % 8], "a" * (40 + 5 * (group // 8))
        base = 78 + group % 5
        for kind, intensity in (("neutral", 0.0), (emotion, (0.4, 0.7, 1.0)[group % 3])):
            name = f"{group}{kind}.wav"
            samples = sung(text, kind, intensity, base=base)
            soundfile.write(folder / name, samples + 1e-4 * draw.standard_normal(len(samples)), RATE)
            rows.append({"id": name, "group": group, "voice": "anna", "emotion": kind, "intensity": intensity,
                         "text": text, "file": name})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def plan_of(tmp_path: Path, prompts: list[Prompt], corpus: Path | None, engine: Any, **more: Any) -> Plan:
    bench = make_bench(FakeEngine(), tmp_path / "work", prompts)
    bench.pitch = Tracker()  # type: ignore[assignment]
    bench.recogniser.heard = {round(RATE * 0.02 * len(text)): text for text in TEXTS}  # type: ignore[attr-defined]
    emotions = more.pop("emotions", ("happy", "sad"))
    return Plan(bench, TEXTS, material.bars(), prompts, emotions, corpus=corpus, engine=lambda: engine, **more)


def texts_of(prompts: list[Prompt]) -> dict[str, str]:
    return {prompt.path.stem: prompt.text for prompt in prompts}


def by_name(rows: list[Row]) -> dict[str, Row]:
    return {row.what: row for row in rows}


def test_an_engine_that_does_as_it_is_told(tmp_path: Path, sources: list[Prompt], corpus: Path) -> None:
    rows = by_name(suites_convert.convert(plan_of(tmp_path, sources, corpus, Converts(texts_of(sources)))))
    bars = {name: bar.what for name, bar in material.bars().items()}
    assert rows[bars["convert_spearman_system"]].value > 0.95
    assert rows[bars["convert_spearman_utterance"]].value > 0.9
    assert 0.8 < rows[bars["convert_range"]].value < 1.3
    assert rows[bars["convert_accuracy"]].value > 0.8
    assert rows["convert: emotion heard between intensity 0 and 1"].value > 0.8
    assert rows[bars["convert_length"]].value == 1.0
    assert rows[bars["convert_timbre"]].value > 0.95 and abs(rows[bars["convert_timbre_drop"]].value) < 0.05
    assert rows[bars["convert_speed"]].passed
    assert rows[bars["convert_wer_trained"]].n == 6 and rows[bars["convert_wer_held_out"]].n == 2
    assert rows["convert: judge of emotions on real recordings, texts kept out"].value > 0.7
    assert rows["convert: log-spectral distance of intensity 0 to the vocoder's copy"].value < 0.1
    assert rows["convert: heard as sad at intensity 1"].n == 4
    for name, bar in material.bars().items():
        assert not name.startswith("convert_") or rows[bar.what].bar == bar.bar


def test_an_engine_that_goes_half_way_or_nowhere(tmp_path: Path, sources: list[Prompt], corpus: Path) -> None:
    bars = material.bars()
    half = by_name(suites_convert.convert(plan_of(tmp_path, sources, corpus, Converts(texts_of(sources), 0.5))))
    assert 0.35 < half[bars["convert_range"].what].value < 0.7
    none = by_name(suites_convert.convert(plan_of(tmp_path, sources, corpus, Converts(texts_of(sources), 0.0))))
    assert none[bars["convert_spearman_system"].what].passed is False
    assert abs(none[bars["convert_range"].what].value) < 0.1


def test_conversions_are_made_once(tmp_path: Path, sources: list[Prompt], corpus: Path) -> None:
    engine = Converts(texts_of(sources))
    plan = plan_of(tmp_path, sources, corpus, engine)
    studio = suites_convert.Studio(plan, suites_convert.sources(plan)[0])
    source = suites_convert.sources(plan)[1]
    one = studio.take(source, "sad", 1.0)
    engine.convert = None  # type: ignore[assignment, method-assign]
    assert studio.take(source, "sad", 1.0) == one
    with pytest.raises(TypeError):
        studio.take(source, "sad", 0.9)


def test_the_solvers_are_compared(tmp_path: Path, sources: list[Prompt], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites_convert, "STEPS", (2, 4))
    rows = suites_convert.solvers(plan_of(tmp_path, sources, None, Converts(texts_of(sources))))
    names = [row.what.split(",")[0] for row in rows]
    assert names == [f"solvers: {name}" for name in ("dpm", "ddim", "ml") for _ in range(2)]
    assert all(row.value < 0.1 and "WER" in row.note and "real-time factor" in row.note for row in rows)


def test_what_more_emotion_costs(
    tmp_path: Path, sources: list[Prompt], corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suites_convert, "KEPT", (0.0, 1.0))
    rows = suites_convert.tradeoff(plan_of(tmp_path, sources[:2], corpus, Converts(texts_of(sources))))
    assert len(rows) == 4 and "keep 1, guidance of emotion 2" in rows[-1].what
    assert all(0.7 < row.value < 1.4 and "WER" in row.note for row in rows)


def test_what_is_missing_is_told(tmp_path: Path, sources: list[Prompt], corpus: Path) -> None:
    engine = Converts(texts_of(sources))
    with pytest.raises(InputError, match="corpus"):
        suites_convert.convert(plan_of(tmp_path, sources, None, engine))
    silent = [Prompt(p.voice, p.path, p.held_out) for p in sources]
    with pytest.raises(InputError, match="no recordings"):
        suites_convert.convert(plan_of(tmp_path, silent, corpus, engine))
    (corpus / "manifest.jsonl").write_text("")
    with pytest.raises(InputError, match="too few pairs"):
        suites_convert.convert(plan_of(tmp_path, sources, corpus, engine))
    bare = Plan(make_bench(FakeEngine(), tmp_path / "w", sources), TEXTS, material.bars(), sources)
    with pytest.raises(ModelError, match="convert"):
        suites_convert.convert(bare)


def test_distance_of_spectra() -> None:
    one = sung(TEXTS[0], "neutral", 0.0)
    assert suites_convert.log_spectral_db(one, RATE, one, RATE) == 0
    assert suites_convert.log_spectral_db(one, RATE, 2 * one, RATE) == pytest.approx(6.02, abs=0.3)
    other = sung(TEXTS[0], "happy", 1.0, len(one) / RATE)
    assert suites_convert.log_spectral_db(one, RATE, other, RATE) > 1
