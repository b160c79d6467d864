"""`kill -9` at any moment: nothing finished is lost, nothing half is taken, and the end is the same to the byte."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = 20
LINES = (
    "Where were you?",
    "I was at home.",
    "All night long?",
    "All night, yes.",
    "Nobody saw you.",
    "Nobody ever does.",
    "That is too bad.",
    "It really is.",
)


def command(folder: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "emovoice",
        "dub",
        str(folder / "cues.srt"),
        "-o",
        str(folder / "out.wav"),
        "--model",
        "debug",
        "--workers",
        "1",
        "--judge",
        "none",
        "--quiet",
        "--stems",
    ]


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(folder: Path) -> float:
    """Let it run to its end; how long that took."""
    began = time.perf_counter()
    with start(folder) as process:
        _, err = process.communicate(timeout=900)
        assert process.returncode == 0, err.decode()
    return time.perf_counter() - began


def prepared(folder: Path) -> Path:
    folder.mkdir()
    rows = [f"{n}\n00:00:{2 * n:02d},000 --> 00:00:{2 * n + 1:02d},500\n{text}\n\n" for n, text in enumerate(LINES, 1)]
    (folder / "cues.srt").write_text("".join(rows))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a job but its journal, whose lines come in the order of the work."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("journal.jsonl", "lock")
    }


def finished_lines(folder: Path) -> int:
    journal = folder / "out.wav.dub" / "journal.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_twenty_kills_end_in_the_same_bytes(tmp_path: Path) -> None:
    undisturbed, killed = prepared(tmp_path / "a"), prepared(tmp_path / "b")
    takes_s = finish(undisturbed)
    expected = contents(undisturbed)
    chance = random.Random(6)
    kept, kills = 0, 0
    while kills < KILLS:
        began, process = time.perf_counter(), start(killed)
        try:
            process.wait(chance.uniform(0, takes_s))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
        assert finished_lines(killed) >= kept, "a finished take was lost"
        kept = finished_lines(killed)
        for path in killed.glob("out.wav"):  # there or not, but never half
            assert path.read_bytes() == expected["out.wav"]
        if process.returncode == 0:  # it came through before the next kill: what came out counts, and on anew
            assert contents(killed) == expected
            takes_s = min(takes_s, time.perf_counter() - began)
            shutil.rmtree(killed)
            prepared(killed)
            kept = 0
    finish(killed)
    assert contents(killed) == expected
    assert finished_lines(killed) == len(LINES), "no line is spoken twice"
