"""A dub on the page: what the table says, spoken by the debug model."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from emovoice.errors import InputError
from emovoice.provenance import detect
from emovoice.serve import dubs
from emovoice.serve.failures import ApiError

CUES = """\
1
00:00:00,000 --> 00:00:01,500
ANNA: [sad:0.4] Hello.

2
00:00:02,000 --> 00:00:03,000
BERT: Go away.

3
00:00:03,500 --> 00:00:04,500
Hm.
"""


@pytest.fixture
def timeline(tmp_path: Path) -> str:
    path = tmp_path / "x.SRT"
    path.write_text(CUES, encoding="utf-8")
    return str(path)


def cell(row: list[object], name: str) -> object:
    return row[dubs.COLUMNS.index(name)]


def test_a_timeline_becomes_a_table_and_is_spoken(timeline: str, tmp_path: Path) -> None:
    pytest.importorskip("av")
    dub, table = dubs.begin(timeline, None, tmp_path)
    assert dub.folder.parent == tmp_path and len(table) == 3 and all(len(row) == len(dubs.COLUMNS) for row in table)
    assert [cell(row, "character") for row in table] == ["ANNA", "BERT", ""]
    assert cell(table[0], "emotion") == "sad" and cell(table[0], "intensity") == 0.4
    assert dubs.pressed(dub, table[1], 0) == (2, None), "nothing is spoken yet"
    table[0][dubs.COLUMNS.index("voice")] = "alice"
    table[2][dubs.COLUMNS.index("voice")] = "adam"
    table[1][dubs.COLUMNS.index("text")] = "Good bye."
    told: list[tuple[int, int]] = []
    met = dubs.speak(dub, table, "debug", "cpu", progress=lambda now, of: told.append((now, of)))
    assert told[-1] == (3, 3) and soundfile.info(dub.output).frames == 4.5 * 48_000
    assert [cell(row, "play") for row in met] == ["▶"] * 3 and all(float(str(cell(row, "got s"))) > 0 for row in met)
    assert dub.report and [row["text"] for row in dub.report["rows"]] == ["Hello.", "Good bye.", "Hm."]
    assert dub.report["rows"][0]["emotion_asked"]["sad"] == pytest.approx(0.4)
    names = {Path(name).name for name in dubs.files(dub)}
    assert {"dub.wav", "report.html", "report.json", "subtitles.srt"} <= names
    assert detect(dub.output).found and dub.report["mark"].startswith("metadata")
    number, sound = dubs.pressed(dub, met[1], dubs.COLUMNS.index("cue"))
    assert number == 2 and sound and soundfile.info(sound).frames > 0
    assert dubs.pressed(dub, met[1], dubs.COLUMNS.index("text")) == (2, None), "a cell that is edited is silent"

    again = dubs.speak(dub, met, "debug", "cpu", again=2)
    assert cell(again[1], "take") == "2 of 2" and cell(again[0], "take") == "1 of 1"
    assert dub.picks == {2: 2} and Path(dubs.clip(dub, 2) or "").is_file()
    whole = dubs.speak(dub, again, "debug", "cpu", progress=lambda now, of: told.append((now, of)))
    assert cell(whole[1], "take") == "2 of 2" and told[-1] == (3, 3), "nothing had to be spoken"
    dub.forget()
    assert not dub.folder.exists()


def test_a_stopped_dub_keeps_what_is_done(timeline: str, tmp_path: Path) -> None:
    pytest.importorskip("av")
    dub, table = dubs.begin(timeline, None, tmp_path)

    def stop(now: int, of: int) -> None:
        if now == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        dubs.speak(dub, table, "debug", "cpu", progress=stop)
    told: list[int] = []
    dubs.speak(dub, table, "debug", "cpu", progress=lambda now, of: told.append(of))
    assert told[0] == 2, "two of three were left"


def test_what_the_table_says() -> None:
    rows = [["", 1, 0, 1, "ANNA", "alice", "sad", 0.4, "Hello.", 1, "", "", ""],
            ["", 2, 1, 2, "ANNA", "", "", "", "", 1, "", "", ""],
            ["", 3, 2, 3, "", "adam", "", "", "Hm.", 1, "", "", ""]]  # fmt: skip
    assert dubs.cast_of(rows) == {"characters": {"ANNA": "alice"}, "default": "adam"}
    cues = {1: {"emotion": "sad", "intensity": 0.4, "text": "Hello."}, 3: {"text": "Hm."}}
    assert dubs.side_of(rows) == {"cues": cues}


def test_what_is_missing_is_said(timeline: str, tmp_path: Path) -> None:
    for given in ((None, None), (timeline, timeline)):
        with pytest.raises(ApiError) as caught:
            dubs.begin(*given, tmp_path)
        assert caught.value.status == 400
    empty = tmp_path / "empty.srt"
    empty.write_text("")
    with pytest.raises(InputError):
        dubs.begin(str(empty), None, tmp_path)
    assert not list(tmp_path.glob("dub-*")), "nothing is left behind"
