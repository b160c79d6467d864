"""Renders of the teacher, for the row that the model's figures stand beside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from emovoice.errors import InputError


@dataclass(frozen=True)
class Render:
    """A sound file of the teacher, its text and its voice."""

    path: Path
    text: str
    voice: str


def read_renders(folder: Path) -> list[Render]:
    """Renders listed in FOLDER/teacher.json: `[{"file": "0.flac", "text": "...", "voice": "af_heart"}, ...]`.

    Raises:
        InputError: no list, not such a list, or a file that is not there.
    """
    listing = folder / "teacher.json"
    remedy = 'It reads [{"file": "00.flac", "text": "...", "voice": "af_heart"}, ...].'
    try:
        rows = json.loads(listing.read_text(encoding="utf-8"))
        renders = [Render(folder / row["file"], row["text"], row.get("voice", "")) for row in rows]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "the list of renders cannot be read", field="teacher", value=str(listing), remedy=remedy
        ) from error
    for render in renders:
        if not render.path.is_file():
            raise InputError("a render is missing", field="teacher", value=str(render.path))
    if not renders:
        raise InputError("the list of renders is empty", field="teacher", value=str(listing), remedy=remedy)
    return renders
