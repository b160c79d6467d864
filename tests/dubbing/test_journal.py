"""The journal: what is finished stays, what is half does not count, whatever a crash left behind."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from emovoice.dubbing.journal import Journal, key_of
from emovoice.errors import OutputError

WAVE = np.linspace(-0.5, 0.5, 500, dtype=np.float32)


def filled(folder: Path, count: int = 3) -> list[str]:
    keys = [key_of(n=number) for number in range(count)]
    with Journal(folder) as journal:
        for key in keys:
            journal.add(key, {"error": None}, WAVE, 24_000)
    return keys


def test_a_take_comes_back_as_it_was(tmp_path: Path) -> None:
    (key,) = filled(tmp_path / "job", 1)
    with Journal(tmp_path / "job") as journal:
        record = journal.get(key)
        assert record is not None and (record["samples"], record["rate"], record["scaled"]) == (500, 24_000, 1.0)
        samples, rate = soundfile.read(journal.path(key), dtype="float32")
        assert rate == 24_000 and np.abs(samples - WAVE).max() < 1e-6
        assert journal.get("other") is None


def test_the_same_take_has_the_same_bytes(tmp_path: Path) -> None:
    keys = filled(tmp_path / "a"), filled(tmp_path / "b")
    assert keys[0] == keys[1]
    for key in keys[0]:
        paths = [tmp_path / name / "takes" / f"{key}.wav" for name in "ab"]
        assert paths[0].read_bytes() == paths[1].read_bytes()


@settings(deadline=None, max_examples=60)
@given(cut=st.integers(0, 2000), data=st.data())
def test_a_journal_cut_anywhere_gives_whole_takes_or_none(
    cut: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("jobs") / "job"
    keys = filled(folder)
    path = folder / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))])
    with Journal(folder) as journal:
        left = [key for key in keys if journal.get(key) is not None]
        assert left == keys[: len(left)] == keys[: whole[:cut].count(b"\n")]
        journal.add(keys[-1], {"error": None}, WAVE, 24_000)
    with Journal(folder) as journal:
        assert journal.get(keys[-1]) is not None
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "empty"])
def test_a_file_that_is_not_what_its_line_says_does_not_count(damage: str, tmp_path: Path) -> None:
    key, other, _ = filled(tmp_path)
    path = tmp_path / "takes" / f"{key}.wav"
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        changed = content[:-1] + bytes([content[-1] ^ 1])
        path.write_bytes({"cut": content[:-10], "changed": changed, "empty": b""}[damage])
    with Journal(tmp_path) as journal:
        assert journal.get(key) is None and journal.get(other) is not None


def test_lines_that_are_nonsense_are_passed_over(tmp_path: Path) -> None:
    keys = filled(tmp_path)
    with open(tmp_path / "journal.jsonl", "ab") as file:
        file.write(b'nonsense\n[1]\n{"key": 5}\n\xff\xfe\n{"key": "torn')
    with Journal(tmp_path) as journal:
        assert all(journal.get(key) for key in keys)


def test_leftovers_of_a_crash_are_swept(tmp_path: Path) -> None:
    filled(tmp_path)
    for folder in (tmp_path, tmp_path / "takes"):
        (folder / ".emovoice-abc.partial").write_bytes(b"half")
    with Journal(tmp_path):
        assert not list(tmp_path.rglob("*.partial"))


def test_two_processes_cannot_share_a_job(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with Journal(tmp_path), pytest.raises(OutputError, match="another process"), Journal(tmp_path):
        pass
    with Journal(tmp_path):
        pass


def test_a_loud_take_is_made_quieter_and_the_journal_says_so(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        record = journal.add("k", {"error": None}, 4 * WAVE, 24_000)
        assert record["scaled"] == pytest.approx(0.5)
        assert np.abs(soundfile.read(journal.path("k"))[0]).max() <= 1


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError), Journal(tmp_path / "file" / "job"):
        pass


def test_keys_follow_the_values_and_nothing_else() -> None:
    assert key_of(a=1, b="x") == key_of(b="x", a=1) != key_of(a=1, b="y")
    assert key_of(a=0.1) != key_of(a=0.2)
