"""`emovoice explain` and `emovoice words`."""

import json
from pathlib import Path

import pytest

from emovoice.cli import main


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["explain", *arguments]) == 0
    return capsys.readouterr().out


def test_an_instruction_as_a_picture(capsys: pytest.CaptureFixture[str]) -> None:
    out = explained(capsys, "furious, but keeping it down")
    assert "angry" in out and "intensity" in out and "-6 dB" in out and "relied on: furious" in out


def test_a_sequence_shows_its_curve(capsys: pytest.CaptureFixture[str]) -> None:
    out = explained(capsys, "starts calm, ends shouting")
    assert "calm > shouting" in out and ("█" in out or "#" in out)


def test_json_of_an_instruction(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(explained(capsys, "not angry at all", "--json"))
    assert found["kind"] == "instruction" and found["weights"]["angry"] < 0.125 and found["moments"]


def test_json_of_a_text(capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "You liar! <break time='1s'/> [sad:0.5]He is gone. [/sad] <prosody rate='slow'>Good night, everybody.</prosody>"
    )
    found = json.loads(explained(capsys, text, "--json"))
    rows = found["sentences"]
    assert found["kind"] == "text" and [row["weights"].get("sad") for row in rows][1] == 0.5
    assert rows[0]["weights"]["angry"] > 0.3 and rows[-1]["rate"] == 0.8 and rows[0]["pauses_s"] == [1.0]


def test_a_text_with_an_instruction(capsys: pytest.CaptureFixture[str]) -> None:
    out = explained(capsys, "It is late. Go home, all of you.", "--instruction", "tender, then stern")
    assert "tender > stern" in out and "It is late." in out


@pytest.mark.parametrize("arguments", [("",), ("--as", "instruction", "?"), ("Hi.", "--emotion", "hungry")])
def test_what_cannot_be_explained(arguments: tuple[str, ...]) -> None:
    assert main(["explain", *arguments]) == 2


def test_say_takes_an_instruction(tmp_path: Path, capsys: pytest.CaptureFixture[str], shipped: Path) -> None:
    out = tmp_path / "a.wav"
    command = ["say", "You did what?", "-o", str(out), "--model", "debug", "--instruction", "furious", "--json"]
    assert main(command) == 0 and out.exists()
    assert json.loads(capsys.readouterr().out)["instruction"] == "furious"


def test_the_hard_cases_are_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["words", "evaluate", "--cases"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 60
