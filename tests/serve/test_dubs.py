"""A dub on the page: what the table says, on stand-ins for the package that dubs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from emovoice.serve import dubs
from emovoice.serve.failures import ApiError


@dataclass
class Cue:
    number: int
    start_ms: int = 0
    end_ms: int = 1500
    character: str = ""
    text: str = "Hello."
    emotion: str | None = None
    intensity: float | None = None


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Installs the stand-ins; what they were asked for is in the list."""
    found: list[dict[str, Any]] = []
    timelines, job, run = (ModuleType(f"emovoice.dubbing.{name}") for name in ("timelines", "job", "run"))
    cues = (Cue(1, character="ANNA", emotion="sad", intensity=0.4), Cue(2, 2000, 3000, "BERT"), Cue(3, 4000, 4500))

    def speak(jobs: list[dict[str, Any]], progress: Any) -> list[Any]:
        if progress:
            progress(3, 3)
        rows = [{"cue": str(cue.number), "take": 1, "takes": 2, "placed_s": 1.25,
                 "remarks": [{"message": "tight"}]} for cue in cues]  # fmt: skip
        output: Path = jobs[0]["output"]
        output.write_bytes(b"sound")
        (folder := output.with_name(f"{output.name}.dub") / "clips").mkdir(parents=True, exist_ok=True)
        (folder / "00002_bert.wav").write_bytes(b"clip")
        return [SimpleNamespace(report={"verdict": "pass", "rows": rows})]

    timelines.read = lambda path: SimpleNamespace(cues=cues)  # type: ignore[attr-defined]
    job.prepare = lambda timeline, output, options: found.append(options) or options | {"output": output}  # type: ignore[attr-defined]
    run.options_of = lambda **options: options  # type: ignore[attr-defined]
    run.run = speak  # type: ignore[attr-defined]
    package = ModuleType("emovoice.dubbing")
    package.__path__ = []
    for name, module in (("", package), (".timelines", timelines), (".job", job), (".run", run)):
        monkeypatch.setitem(sys.modules, f"emovoice.dubbing{name}", module)
    return found


@pytest.fixture
def timeline(tmp_path: Path) -> str:
    path = tmp_path / "../x.srt"
    path.write_text("1\n00:00:00,000 --> 00:00:01,500\nHello.\n", encoding="utf-8")
    return str(path)


def test_a_timeline_becomes_a_table_and_is_spoken(asked: list[dict[str, Any]], timeline: str, tmp_path: Path) -> None:
    dub, table = dubs.begin(timeline, None, tmp_path)
    assert dub.folder.parent == tmp_path and len(table) == 3 and all(len(row) == len(dubs.COLUMNS) for row in table)
    table[0][dubs.COLUMNS.index("voice")] = "alice"
    table[2][dubs.COLUMNS.index("voice")] = "adam"
    table[1][dubs.COLUMNS.index("text")] = "Good bye."
    told: list[tuple[int, int]] = []
    met = dubs.speak(dub, table, "debug", "cpu", progress=lambda now, of: told.append((now, of)))
    assert asked[0]["cast"] == {"characters": {"ANNA": "alice"}, "default": "adam"}
    assert asked[0]["side"]["cues"][1] == {"emotion": "sad", "intensity": 0.4, "text": "Hello."}
    assert asked[0]["side"]["cues"][2] == {"text": "Good bye."}
    assert met[0][dubs.COLUMNS.index("take")] == "1 of 2" and met[2][dubs.COLUMNS.index("remarks")] == "tight"
    assert told == [(3, 3)] and [Path(name).name for name in dubs.files(dub)] == ["dub.wav"]
    assert Path(dubs.clip(dub, 2) or "").name == "00002_bert.wav" and dubs.clip(dub, 1) is None


def test_a_line_is_spoken_again_as_another_take(asked: list[dict[str, Any]], timeline: str, tmp_path: Path) -> None:
    dub, table = dubs.begin(timeline, None, tmp_path)
    dubs.speak(dub, table, "debug", "cpu")
    dubs.speak(dub, table, "debug", "cpu", again=2)
    assert asked[1]["only"] == (2,) and asked[1]["takes"] == 3 and asked[1]["pick"] == {2: 3}
    dubs.speak(dub, table, "debug", "cpu")
    assert asked[2]["pick"] == {2: 3} and "only" not in asked[2]


def test_what_is_missing_is_said(asked: list[dict[str, Any]], timeline: str, tmp_path: Path) -> None:
    for given in ((None, None), (timeline, timeline)):
        with pytest.raises(ApiError) as caught:
            dubs.begin(*given, tmp_path)
        assert caught.value.status == 400


def test_without_the_package(timeline: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "emovoice.dubbing", None)
    with pytest.raises(ApiError) as caught:
        dubs.begin(timeline, None, tmp_path)
    assert caught.value.status == 501
