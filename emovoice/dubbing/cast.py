"""Who speaks whom: the cast file.

    characters:
      ANNA: {voice: anna.wav, emotion: calm, intensity: 0.3, personality: "dry, never raises her voice", accent: gb}
      BERT: george
    default: {voice: default}
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from emovoice.dubbing.cues import Cue, as_emotion, as_intensity
from emovoice.dubbing.timelines import read_yaml
from emovoice.emotion import names
from emovoice.errors import EmovoiceError, InputError
from emovoice.voice import DEFAULT_VOICE, ENDING, Voice, check_accent, looks_like_name


@dataclass(frozen=True)
class Member:
    """A character.

    Attributes:
        voice: the name of a voice, a saved voice, or a recording.
        emotion, intensity: of lines that ask for none.
        personality: in plain words; used as an instruction where neither the line nor the cast gives an emotion.
        accent: "us", "gb" or None for the voice's own.
        gain_db: louder or softer than the others.
    """

    voice: str = DEFAULT_VOICE
    emotion: str | None = None
    intensity: float | None = None
    personality: str | None = None
    accent: str | None = None
    gain_db: float = 0.0


@dataclass(frozen=True)
class Cast:
    """Members by the name of their character, and who speaks the others."""

    members: Mapping[str, Member] = field(default_factory=dict)
    default: Member = field(default_factory=Member)

    def member(self, character: str) -> Member:
        """Who speaks a character; upper and lower case are the same."""
        by_name = {name.casefold(): member for name, member in self.members.items()}
        return by_name.get(character.casefold(), self.default)

    def knows(self, character: str) -> bool:
        """Whether the cast names this character."""
        return character.casefold() in {name.casefold() for name in self.members}


def load(path: str | os.PathLike[str]) -> Cast:
    """A cast from a YAML file; voices that are files are relative to it.

    Raises:
        InputError: missing, no YAML, an unknown field or value.
    """
    return parse(read_yaml(path, "cast"), Path(path).parent)


def parse(found: Mapping[str, Any], folder: Path | None = None) -> Cast:
    """A cast from plain data. Raises InputError."""
    if unknown := set(map(str, found)) - {"characters", "default"}:
        raise InputError("a cast has 'characters' and 'default'", field="cast", value=sorted(unknown))
    characters = found.get("characters") or {}
    if not isinstance(characters, Mapping):
        raise InputError("'characters' must map names to voices", field="cast", value=characters)
    members = {str(name): _member(str(name), row, folder) for name, row in characters.items()}
    return Cast(members, _member("default", found.get("default") or {}, folder))


def voice_key(member: Member, model_sha: str) -> str:
    """A hash of what the voice sounds like, without loading a model.

    Raises:
        InputError: no such voice or file.
        ModelError: a saved voice is damaged.
    """
    if _is_recording(member.voice):
        try:
            content = Path(member.voice).read_bytes()
        except OSError as error:
            raise InputError("the recording of a voice cannot be read", field="voice", value=member.voice) from error
        return hashlib.sha256(content + model_sha.encode() + (member.accent or "").encode()).hexdigest()
    return with_accent(Voice.load(member.voice), member).content_hash


def voice_of(member: Member, engine: Any) -> Voice:
    """The voice itself; a recording is heard by the engine's encoder."""
    if _is_recording(member.voice):
        return with_accent(engine.voice_from(member.voice), member)
    return with_accent(Voice.load(member.voice), member)


def with_accent(voice: Voice, member: Member) -> Voice:
    """The voice with the accent that the cast gives it."""
    return replace(voice, accent=member.accent) if member.accent else voice  # type: ignore[arg-type]


def emotion_fields(cue: Cue, member: Member) -> tuple[str | None, float | None, str | None]:
    """Emotion, intensity and instruction of a line: its own, else those of its character."""
    if cue.emotion is not None or cue.instruction is not None or cue.curve:
        return cue.emotion, cue.intensity, cue.instruction
    intensity = member.intensity if cue.intensity is None else cue.intensity
    return member.emotion, intensity, None if member.emotion else member.personality


def _is_recording(voice: str) -> bool:
    return not looks_like_name(voice) and Path(voice).suffix.lower() != ENDING


def _member(name: str, row: Any, folder: Path | None) -> Member:
    row = {"voice": row} if isinstance(row, str) else row
    if not isinstance(row, Mapping):
        raise InputError(f"the cast says nothing usable about '{name}'", field="cast", value=row,
                         remedy="Write a voice, or {voice: ..., emotion: ...}.")
    allowed = {"voice", "emotion", "intensity", "personality", "accent", "gain_db"}
    if unknown := {str(key) for key in row} - allowed:
        raise InputError(f"unknown fields of '{name}'", field="cast", value=sorted(unknown),
                         remedy=f"Known are {', '.join(sorted(allowed))}.")
    try:
        return _checked(row, folder)
    except EmovoiceError as error:
        raise InputError(f"cast, '{name}': {error.what}", field=error.field, value=error.value,
                         remedy=error.remedy) from error


def _checked(row: Mapping[str, Any], folder: Path | None) -> Member:
    voice = str(row.get("voice") or DEFAULT_VOICE)
    if not looks_like_name(voice):
        voice = str((folder or Path()) / voice)
    emotion = as_emotion(row.get("emotion"))
    if emotion not in (None, "auto"):
        names.parse(emotion)
    accent = row.get("accent")
    if accent is not None:
        check_accent(accent)
    gain_db = row.get("gain_db", 0.0)
    if isinstance(gain_db, bool) or not isinstance(gain_db, (int, float)) or not -40 <= gain_db <= 40:
        raise InputError("a gain must lie in -40..40 dB", field="gain_db", value=gain_db)
    personality = row.get("personality")
    return Member(voice, emotion, as_intensity(row.get("intensity")), personality and str(personality), accent,
                  float(gain_db))
