"""Fixtures of the evaluation's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from emovoice.evaluation import words
from emovoice.evaluation.material import Prompt
from tests.evaluation.fakes import RATE, hum


@pytest.fixture
def plain_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are compared as they are written; the normaliser has tests of its own."""
    monkeypatch.setattr(words, "_read", lambda text: text)


@pytest.fixture
def prompts(tmp_path: Path) -> list[Prompt]:
    folder = tmp_path / "prompts"
    folder.mkdir()
    made: list[Prompt] = []
    for voice, held_out in (("af_one", False), ("am_two", False), ("bf_three", True)):
        path = folder / f"{voice}.flac"
        soundfile.write(path, hum(1.0, 80 + len(made), 4, -26), RATE)
        made.append(Prompt(voice, path, held_out))
    return made
