"""Speaking once, judging once, resuming."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emovoice.errors import ModelError
from emovoice.evaluation.bench import Item, fingerprint
from emovoice.evaluation.material import Prompt
from tests.evaluation.fakes import RATE, TEXTS, FakeEngine, make_bench

pytestmark = pytest.mark.usefixtures("plain_reading")


def test_an_item_is_spoken_and_judged_once(tmp_path: Path, prompts: list[Prompt]) -> None:
    engine = FakeEngine()
    bench = make_bench(engine, tmp_path / "work", prompts)
    first = bench.word_errors(bench.take(Item(TEXTS[0], "af_one")))
    asked, heard = len(engine.asked), bench.recogniser.calls  # type: ignore[attr-defined]
    assert bench.word_errors(bench.take(Item(TEXTS[0], "af_one"))) == first == (0, 5)
    assert (len(engine.asked), bench.recogniser.calls) == (asked, heard)  # type: ignore[attr-defined]


def test_a_second_run_resumes(tmp_path: Path, prompts: list[Prompt]) -> None:
    items = [Item(text, "af_one", "sad", 0.5) for text in TEXTS]
    before = make_bench(FakeEngine(), tmp_path, prompts)
    figures = [(before.word_errors(take), before.prosody(take)) for take in map(before.take, items)]
    engine = FakeEngine()
    after = make_bench(engine, tmp_path, prompts)
    assert [(after.word_errors(take), after.prosody(take)) for take in map(after.take, items)] == figures
    assert after.recogniser.calls == 0  # type: ignore[attr-defined]
    assert not [one for one in engine.asked if one["text"] in TEXTS]


def test_fresh_forgets(tmp_path: Path, prompts: list[Prompt]) -> None:
    make_bench(FakeEngine(), tmp_path, prompts).take(Item(TEXTS[0]))
    engine = FakeEngine()
    bench = make_bench(engine, tmp_path, prompts, fresh=True)
    bench.take(Item(TEXTS[0]))
    bench.take(Item(TEXTS[0]))
    assert [one["text"] for one in engine.asked].count(TEXTS[0]) == 1


def test_another_model_is_not_mistaken_for_this_one(tmp_path: Path, prompts: list[Prompt]) -> None:
    class Louder(FakeEngine):
        def synthesize(self, *args, **options):  # type: ignore[no-untyped-def]
            spoken = super().synthesize(*args, **options)
            spoken.samples = spoken.samples * np.float32(1.2)
            return spoken

    assert fingerprint(FakeEngine()) == fingerprint(FakeEngine()) != fingerprint(Louder())
    one = make_bench(FakeEngine(), tmp_path, prompts).take(Item(TEXTS[0]))
    assert make_bench(Louder(), tmp_path, prompts).take(Item(TEXTS[0])).key != one.key


def test_a_model_that_never_speaks_the_same_is_noticed(tmp_path: Path, prompts: list[Prompt]) -> None:
    class Moody(FakeEngine):
        def synthesize(self, *args, **options):  # type: ignore[no-untyped-def]
            spoken = super().synthesize(*args, **options)
            spoken.samples = spoken.samples * np.float32(1 / len(self.asked))
            return spoken

    assert make_bench(FakeEngine(), tmp_path / "a", prompts).steady
    assert not make_bench(Moody(), tmp_path / "b", prompts).steady


def test_the_key_covers_what_was_asked_for(tmp_path: Path, prompts: list[Prompt]) -> None:
    bench = make_bench(FakeEngine(), tmp_path, prompts)
    items = [
        Item(TEXTS[0]),
        Item(TEXTS[1]),
        Item(TEXTS[0], "af_one"),
        Item(TEXTS[0], emotion="sad", intensity=1.0),
        Item(TEXTS[0], emotion="sad", intensity=0.5),
        Item(TEXTS[0], duration_s=1.0),
        Item(TEXTS[0], seed=1),
    ]
    assert len({bench.take(item).key for item in items}) == len(items)


def test_no_intensity_is_neutral_whatever_the_emotion() -> None:
    assert Item("a", emotion="happy", intensity=0.0) == Item("a")


def test_a_log_cut_short_is_gone_on_with(tmp_path: Path, prompts: list[Prompt]) -> None:
    bench = make_bench(FakeEngine(), tmp_path, prompts)
    for text in TEXTS[:2]:
        bench.seconds(bench.take(Item(text)))
    log = tmp_path / "verdicts.jsonl"
    log.write_text(log.read_text()[:-9])
    again = make_bench(FakeEngine(), tmp_path, prompts)
    expected = [again.seconds(again.take(Item(text))) for text in TEXTS[:2]]
    rows = [line for line in log.read_text().splitlines() if line.endswith("}")]
    assert len(rows) == 2 and json.loads(rows[-1])["value"] == expected[1]


def test_refused_items_count_as_badly_as_they_can(tmp_path: Path, prompts: list[Prompt]) -> None:
    bench = make_bench(FakeEngine(refuses="sails"), tmp_path, prompts)
    take = bench.take(Item(TEXTS[2], "am_two", "happy", 1.0))
    assert take.path is None and "cannot be spoken" in str(take.failure)
    assert bench.word_errors(take) == (8, 8)
    assert bench.seconds(take) == bench.samples(take) == bench.speech_s(take) == 0
    assert bench.dnsmos(take) == 1 and not bench.embedding(take).any()
    assert np.isnan(list(bench.prosody(take).values())).all()
    assert [text for text in bench.failures.values() if "sails" in text and "am_two" in text]


def test_levels_beyond_full_scale_survive(tmp_path: Path, prompts: list[Prompt]) -> None:
    class Shouting(FakeEngine):
        def synthesize(self, *args, **options):  # type: ignore[no-untyped-def]
            spoken = super().synthesize(*args, **options)
            spoken.samples = spoken.samples / np.abs(spoken.samples).max() * np.float32(1.5)
            return spoken

    samples, rate = make_bench(Shouting(), tmp_path, prompts).take(Item(TEXTS[0])).read()
    assert rate == RATE and np.abs(samples).max() == pytest.approx(1.5)


def test_lengths_are_exact(tmp_path: Path, prompts: list[Prompt]) -> None:
    bench = make_bench(FakeEngine(), tmp_path, prompts)
    take = bench.take(Item(TEXTS[0], duration_s=1.234))
    assert bench.samples(take) == round(1.234 * RATE)
    assert take.path and soundfile.info(take.path).subtype == "PCM_16"


def test_an_unknown_voice_is_named(tmp_path: Path, prompts: list[Prompt]) -> None:
    with pytest.raises(ModelError, match="nobody"):
        make_bench(FakeEngine(), tmp_path, prompts).take(Item(TEXTS[0], "nobody"))
