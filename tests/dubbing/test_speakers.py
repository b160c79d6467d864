"""Who speaks makes no difference: this process, others, or a Ray cluster that loses a worker."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from emovoice.dubbing import takes
from emovoice.dubbing.plan import Policy
from emovoice.dubbing.speak import Request, Taken
from emovoice.dubbing.speakers import Here, Pool, room_for, speakers
from emovoice.errors import ModelError
from emovoice.voice import Voice

VOICE = Voice("noise", np.full(192, 0.1, np.float32), np.full(256, -0.1, np.float32))


def requests(count: int, text: str = "Line number {}.") -> list[Request]:
    return [
        Request(f"key{n}", str(n), text.format("abcdefghijkl"[n % 12]), VOICE, (0.0,) * 8, 60_000, 70_000, n, 1)
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def here() -> Iterator[Here]:
    speaker = Here("debug", "cpu")
    yield speaker
    speaker.close()


def spoken(found: Iterator[Taken]) -> dict[str, Taken]:
    return {taken.key: taken for taken in found}


def same(a: dict[str, Taken], b: dict[str, Taken]) -> bool:
    return set(a) == set(b) and all(
        a[key].record == b[key].record and a[key].rate == b[key].rate and np.array_equal(a[key].samples, b[key].samples)
        for key in a
    )


def test_a_take_and_what_was_measured(here: Here) -> None:
    (taken,) = here.speak(requests(1))
    assert taken.record["error"] is None and taken.rate == 24_000
    assert len(taken.samples) == round(taken.record["asked_s"] * 24_000)
    assert len(taken.record["emotion"]) == 8 and -1 <= taken.record["timbre"] <= 1
    first_s, last_s = taken.record["speech_s"]
    assert 0 <= first_s <= last_s <= taken.record["got_s"] + 0.02


def test_an_error_is_the_result_of_its_request_alone(here: Here) -> None:
    wrong, right = requests(2)
    wrong = Request(**{**vars(wrong), "text": "?!"})
    found = spoken(here.speak([wrong, right]))
    assert "letters" in found["key0"].record["error"] and found["key1"].record["error"] is None


def test_long_pauses_are_spoken_as_they_come(here: Here) -> None:
    (request,) = requests(1, "Wait.[pause:4s] Now {}.")
    (taken,) = here.speak([request])
    assert taken.record["error"] is None and len(taken.samples) > 4 * 24_000


def test_threads_are_as_they_were(here: Here) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    list(here.speak(requests(1)))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_workers_fit_the_machine() -> None:
    assert 1 <= room_for() <= (os.cpu_count() or 1)
    assert isinstance(speakers("local", "debug", "cpu", 1), Here)
    assert isinstance(speakers("local", "debug", "cpu", 3), Pool)
    assert isinstance(speakers("local", "debug", "cuda", 3), Here), "one model fills a graphics card"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_processes_of_their_own_speak_the_same(here: Here) -> None:
    wanted = requests(8)
    pool = Pool("debug", "cpu", 2)
    try:
        assert same(spoken(pool.speak(wanted)), spoken(here.speak(wanted)))
        assert pool._pool is not None
        victim = next(iter(pool._pool._processes))
        threading.Timer(0.2, os.kill, (victim, signal.SIGKILL)).start()
        with pytest.raises(ModelError, match="a worker died"):
            list(pool.speak(requests(200)))
    finally:
        pool.close()


# ---- rounds --------------------------------------------------------------------------------------


class Scripted:
    """Speakers that give what a test says, and count."""

    def __init__(self, wer: dict[int, float], twice: bool = False, lose: bool = False) -> None:
        self.wer, self.twice, self.lose, self.asked = wer, twice, lose, []  # type: ignore[var-annotated]

    def speak(self, wanted: list[Request]) -> Iterator[Taken]:
        self.asked.append([(request.cue, request.take) for request in wanted])
        for request in wanted[int(self.lose) :]:
            record = {
                "cue": request.cue,
                "take": request.take,
                "error": None,
                "asked_s": 1.0,
                "got_s": 1.0,
                "speech_s": [0.0, 1.0],
                "wer": self.wer.get(request.take, 0.0),
            }
            for _ in range(1 + self.twice):
                yield Taken(request.key, record, np.ones(4800, np.float32) / 9, 24_000)

    def close(self) -> None:
        pass


class Memory(dict):
    """A journal in memory that refuses to keep a key twice."""

    def add(self, key: str, record: dict, samples: np.ndarray, rate: int) -> dict:
        assert key not in self
        self[key] = record
        return record


def booth(count: int, takes_asked: int | None, judged: bool) -> takes.Booth:
    job: Any = SimpleNamespace(
        options=SimpleNamespace(takes=takes_asked, seed=0, policy=Policy(), judge="none", only=None),
        sha="",
        is_wanted=lambda cue: True,
        member=lambda cue: None,
    )
    lines: list[Any] = []
    for n in range(count):
        line = SimpleNamespace(
            cue=SimpleNamespace(id=str(n), text="x"),
            slot=SimpleNamespace(length=48_000, useful_room=48_000),
            direction=SimpleNamespace(weights=(0.0,) * 8),
            voice_key="v",
            key=lambda job, take, n=n: f"{n}/{take}",
        )
        lines.append(line)
    made = takes.Booth(job, Memory(), [*lines, None])  # type: ignore[arg-type]
    made.judged = judged
    made._voices["v"] = VOICE
    return made


def test_more_takes_only_where_the_first_is_misheard() -> None:
    first = booth(2, None, judged=True)
    crew = Scripted({1: 0.5, 2: 0.1})
    assert takes.speak_all([first], crew) == 4
    assert crew.asked == [[("0", 1), ("1", 1)], [("0", 2), ("1", 2)]]
    assert first.chosen(first.lines[0], 0).take == 2  # type: ignore[arg-type,union-attr]
    assert takes.speak_all([first], crew) == 0


def test_the_budget_is_bounded() -> None:
    crew = Scripted({n: 0.9 for n in range(99)})
    assert takes.speak_all([booth(2, None, judged=True)], crew) == 6
    assert takes.speak_all([booth(2, None, judged=False)], crew) == 2
    assert takes.speak_all([booth(2, 5, judged=False)], crew) == 10


def test_a_result_that_comes_twice_counts_once_and_a_lost_one_is_told() -> None:
    seen: list[tuple[int, int]] = []
    assert takes.speak_all([booth(3, None, judged=False)], Scripted({}, twice=True), lambda *n: seen.append(n)) == 3
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    with pytest.raises(ModelError, match="without an answer"):
        takes.speak_all([booth(3, None, judged=False)], Scripted({}, lose=True))


def test_a_request_travels_as_text_and_bytes() -> None:
    from emovoice.dubbing.ray_engine import as_request, as_row

    (request,) = requests(1, "Übrigens: {} 🙂")
    row = as_row(request)
    assert set(map(type, row.values())) == {str, bytes} and as_request(row) == request


# ---- Ray -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found through /proc")
def test_a_ray_cluster_that_loses_a_worker(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two actors in processes of their own; one is killed midway. No request is lost, none counts twice."""
    pytest.importorskip("ray")
    import ray

    from emovoice.dubbing.ray_engine import Ray

    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")])
    )
    # A busy machine starts processes slowly, and hardly at all at the niceness of 15 that Ray gives its workers.
    monkeypatch.setenv("RAY_worker_register_timeout_seconds", "600")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=f"/tmp/ray-{os.getpid()}")
    crew = Ray("ray", "debug", "cpu", 2)
    wanted = requests(12)
    killed: list[int] = []
    found: list[Taken] = []
    try:
        for taken in crew.speak(wanted):
            found.append(taken)
            if len(found) == 3:
                killed += _kill_one_actor()
    finally:
        crew.close()
        ray.shutdown()
    assert killed, "no worker was found to kill"
    keys = [taken.key for taken in found]
    assert sorted(set(keys)) == sorted(request.key for request in wanted), "no cue is lost"
    assert same({taken.key: taken for taken in found}, spoken(here.speak(wanted)))


def _kill_one_actor() -> list[int]:
    """SIGKILL to one process of an actor that this process has started, directly or not; its id."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::MapWorker") and os.getpid() in _ancestors(int(folder.name)):
            os.kill(int(folder.name), signal.SIGKILL)
            return [int(folder.name)]
    return []


def _ancestors(process: int) -> list[int]:
    found = []
    while process > 1:
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return found
        process = int(stat.rpartition(")")[2].split()[1])
        found.append(process)
    return found
