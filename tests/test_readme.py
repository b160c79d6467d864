"""Everything the README tells a reader to type works as it stands there, with the debug model.

Python blocks run one after the other in one process, `emovoice` lines one after the other in one folder, so
later examples may use what earlier ones made. A block after `<!-- long-running -->` is only parsed.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from emovoice import cli

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
LONG = "<!-- long-running -->"


class Block(NamedTuple):
    """A fenced block: its language, its text, and whether it takes too long to run."""

    language: str
    text: str
    is_long: bool


def blocks(markdown: str) -> list[Block]:
    fences = re.finditer(rf"({re.escape(LONG)}\n+)?^```(\w*)\n(.*?)^```$", markdown, re.M | re.S)
    return [Block(fence[2], fence[3], fence[1] is not None) for fence in fences]


def shell_lines(found: list[Block], *, is_long: bool) -> list[str]:
    """Lines of sh blocks without comments, those that a backslash continues joined."""
    chosen = [block.text for block in found if block.language == "sh" and block.is_long == is_long]
    raw = [line for text in chosen for line in text.replace("\\\n", " ").splitlines()]
    lines = [re.sub(r"(^|\s+)#\s.*$", "", line).strip() for line in raw]
    return [line for line in lines if line]


BLOCKS = blocks(README.read_text(encoding="utf-8"))
PYTHON = "\n".join(block.text for block in BLOCKS if block.language == "python")
QUICK = shell_lines(BLOCKS, is_long=False)
COMMANDS = [line for line in QUICK if line.startswith("emovoice ")]
TARGETS = [line for line in QUICK if line.startswith("make ")]
LENGTHY = shell_lines(BLOCKS, is_long=True)


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """An empty folder with a story in it, and an environment whose `emovoice` is this checkout's."""
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "emovoice"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m emovoice "$@"\n')
    command.chmod(0o755)
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "story.txt").write_text("Once there was a mill. It stood by the river.\n")
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return folder, {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "EMOVOICE_MODEL": "debug"}


def run(command: list[str], place: tuple[Path, dict[str, str]]) -> None:
    folder, environment = place
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"


def test_the_readme_has_examples_of_every_kind() -> None:
    assert PYTHON and COMMANDS and LENGTHY
    assert {"make say", "make test"} <= set(TARGETS)


def test_blocks_are_found_and_told_apart() -> None:
    long = f"{LONG}\n```sh\nemovoice train \\\n  x  # why\n```\n"
    found = blocks(f"a\n```python\nx = 1\n```\n\n{long}```sh\n# no\nmake a\n```\n")
    assert [(block.language, block.is_long) for block in found] == [
        ("python", False),
        ("sh", True),
        ("sh", False),
    ]
    assert shell_lines(found, is_long=True) == ["emovoice train    x"]
    assert shell_lines(found, is_long=False) == ["make a"]


@pytest.mark.parametrize("line", TARGETS)
def test_make_knows_the_target(line: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", *line.split()[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_python_examples_run(place: tuple[Path, dict[str, str]]) -> None:
    run([sys.executable, "-c", PYTHON], place)
    assert (place[0] / "door.wav").stat().st_size > 1000
    assert (place[0] / "anna.safetensors").exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_commands_run(place: tuple[Path, dict[str, str]]) -> None:
    for line in COMMANDS:
        run(["bash", "-euo", "pipefail", "-c", line], place)
    written = [name for line in COMMANDS for name in re.findall(r"-o (\S+)", line)]
    assert [name for name in written if not (place[0] / name).exists()] == []


@pytest.mark.parametrize("line", LENGTHY)
def test_the_long_commands_would_be_accepted(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == "emovoice"
    args = cli._parser(arguments[0]).parse_args(arguments)  # what main() does before it runs anything
    assert callable(args.run)


def test_a_wrong_long_command_would_not() -> None:
    with pytest.raises(SystemExit):
        cli._parser("train").parse_args(["train", "no-such-part"])
