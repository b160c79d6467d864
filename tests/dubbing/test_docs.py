"""What docs/dubbing.md tells a reader to type would be accepted."""

import shlex
from pathlib import Path

import pytest

from emovoice import cli
from emovoice.dubbing import run, timelines
from emovoice.dubbing.cast import parse
from emovoice.dubbing.cues import Cue, Timeline
from emovoice.dubbing.marks import understand
from tests.test_readme import blocks, shell_lines

PAGE = Path(__file__).resolve().parents[2] / "docs" / "dubbing.md"
TEXT = PAGE.read_text(encoding="utf-8")
COMMANDS = [line for line in shell_lines(blocks(TEXT), is_long=False) if line.startswith("emovoice")]


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_would_be_accepted(line: str) -> None:
    _, *arguments = shlex.split(line)
    assert callable(cli._parser(arguments[0]).parse_args(arguments).run)


def test_the_examples_are_read() -> None:
    import yaml

    assert len(COMMANDS) > 5
    (cast,) = [block.text for block in blocks(TEXT) if block.language == "yaml"]
    assert set(parse(yaml.safe_load(cast)).members) == {"ANNA", "BERT"}
    side = {"cues": {12: {"emotion": "angry", "intensity": 0.8}, "40-44": {"emotion": "auto"}}}
    assert str(12) in TEXT and timelines.with_side(Timeline((Cue(12, 0, 1, "x"),)), side).cues[0].emotion == "angry"
    marks = understand("[curve: 0 calm 0.2; 1.5 angry 0.9] Fine. Get out!").lines[0]
    assert "[curve: 0 calm 0.2; 1.5 angry 0.9]" in TEXT and len(marks.curve) == 2
    assert {"video", "cast"} <= set(run.options_of(video="film.mp4", cast="cast.yaml").__dict__)
