"""Voices that were uploaded: a folder of safetensors files and what is known about each, with consent.

File names are made here, of random digits; what a client sends is compared with what is known and never becomes part
of a path.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emovoice.errors import EmovoiceError
from emovoice.serve.failures import ApiError, not_found
from emovoice.voice import DEFAULT_VOICE, ENDING, Accent, Voice, voices
from emovoice.writing import whole_file

log = logging.getLogger(__name__)

LONGEST_NAME = 64
LONGEST_CONSENT = 500
_ID = re.compile(r"voice_[0-9a-f]{24}")
_REFUSALS = frozenset({"", "0", "false", "no", "off", "none", "null", "n"})

OPENAI_VOICES = {
    "ash": "adam", "ballad": "lewis", "coral": "heart", "onyx": "fenrir", "sage": "sarah", "shimmer": "bella",
    "verse": "puck", "marin": "emma", "cedar": "michael",
}  # fmt: skip
"""Names that clients of the API send by themselves and what stands in for them here; others of them exist here."""


@dataclass(frozen=True)
class Stored:
    """What is known about a voice.

    Attributes:
        id: what to ask for it by.
        name: what its owner calls it.
        owner: whose it is; see `tokens.owner`.
        consent: what was said about the speaker's consent, word for word.
        created: seconds since 1970; also when consent was given.
        recording_sha256: of the uploaded bytes, so that the record can be held against a recording.
        description: what its owner says about it.
        warnings: what was noticed about the recording.
    """

    id: str
    name: str
    owner: str
    consent: str
    created: int
    recording_sha256: str
    description: str = ""
    warnings: tuple[str, ...] = ()

    def shown(self) -> dict[str, Any]:
        """What the API says about it: everything but whose it is."""
        record = {key: value for key, value in asdict(self).items() if key != "owner"}
        return {"object": "audio.voice", **record, "preset": False}


def check_consent(given: object) -> str:
    """The consent as it was given. Raises ApiError where it is missing or says no."""
    text = " ".join(given.split()) if isinstance(given, str) else ""
    if text.casefold() in _REFUSALS:
        raise ApiError(
            400,
            "the speaker's consent is needed to store a voice: say in `consent` who agreed, such as "
            "'I am the speaker and agree' or 'Jane Doe agreed in writing on 2026-11-01'",
            param="consent",
            code="consent_required",
        )
    if len(text) > LONGEST_CONSENT:
        raise ApiError(400, f"`consent` may have {LONGEST_CONSENT} characters", param="consent", code="too_long")
    return text


def check_name(given: object) -> str:
    """A name to show. Raises ApiError where it is missing, too long, or taken by a voice that comes with emovoice."""
    text = " ".join(given.split()) if isinstance(given, str) else ""
    if not text or len(text) > LONGEST_NAME or not text.isprintable():
        raise ApiError(400, f"a name of 1 to {LONGEST_NAME} characters is needed", param="name", code="invalid_value")
    if text.casefold() in {*voices(), *OPENAI_VOICES, DEFAULT_VOICE} or _ID.fullmatch(text):
        raise ApiError(400, "this name is taken", param="name", code="name_taken")
    return text


def check_accent(given: object) -> Accent:
    """An accent; "us" where none is given. Raises ApiError for others."""
    if given not in (None, "", "us", "gb"):
        raise ApiError(400, "accent must be us or gb", param="accent", code="invalid_value")
    return "gb" if given == "gb" else "us"


class VoiceStore:
    """The folder, kept in memory too; safe to use from several threads.

    Args:
        folder: made when the first voice is stored.
        most: voices for one owner.
        most_bytes: size of all of them.
    """

    def __init__(self, folder: Path, most: int = 100, most_bytes: int = 64 * 2**20) -> None:
        self._folder, self._most, self._most_bytes = folder, most, most_bytes
        self._lock = threading.Lock()
        self._known = {stored.id: stored for stored in _read_folder(folder)}

    def list(self, owner: str) -> list[Stored]:
        """The owner's voices, oldest first."""
        with self._lock:
            mine = [stored for stored in self._known.values() if stored.owner == owner]
        return sorted(mine, key=lambda stored: (stored.created, stored.id))

    def check_room(self, owner: str, name: str) -> None:
        """Raises ApiError where the owner may store no more, or has a voice of that name."""
        with self._lock:
            self._check_room(owner, name)

    def add(self, voice: Voice, owner: str, consent: str, recording_sha256: str, description: str = "") -> Stored:
        """Store a voice. Raises ApiError as `check_room`, OutputError where the disk does not take it."""
        stored = Stored(
            id=f"voice_{secrets.token_hex(12)}",
            name=voice.name,
            owner=owner,
            consent=consent,
            created=int(time.time()),
            recording_sha256=recording_sha256,
            description=description,
            warnings=voice.warnings,
        )
        with self._lock:
            self._check_room(owner, voice.name)
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            voice.save(self._folder / f"{stored.id}{ENDING}")
            # The record comes last: a voice without one does not exist.
            with whole_file(self._folder / f"{stored.id}.json") as file:
                file.write(json.dumps(asdict(stored), indent=1).encode())
            self._known[stored.id] = stored
        return stored

    def note_consent(self, recording_sha256: str, consent: str) -> None:
        """Record the consent for a recording that is used once and not stored, in `consents.jsonl`."""
        entry = {"recording_sha256": recording_sha256, "consent": consent, "created": int(time.time())}
        with self._lock:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(self._folder / "consents.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    def delete(self, id: str, owner: str) -> None:
        """Forget a voice. Raises ApiError (404) for what is not there and for what is another's."""
        with self._lock:
            stored = self._known.get(id)
            if stored is None or stored.owner != owner:
                raise not_found("voice", "voice_not_found", "voice")
            del self._known[id]
            for ending in (".json", ENDING):
                (self._folder / f"{stored.id}{ending}").unlink(missing_ok=True)

    def get(self, wanted: str, owner: str) -> tuple[Voice, tuple[str, ...]]:
        """A voice by name or id, and what there is to say about it.

        Names of voices that come with emovoice are looked for first; then the owner's.

        Raises:
            ApiError: 404, the same for what does not exist and for what is another's.
        """
        name = wanted.strip()
        shipped = voices()
        if name.casefold() in shipped:
            return Voice.load(name.casefold()), ()
        with self._lock:
            mine = [stored for stored in self._known.values() if stored.owner == owner]
        found = next((stored for stored in mine if name in (stored.id, stored.name)), None)
        if found is not None:
            try:
                return Voice.load(self._folder / f"{found.id}{ENDING}"), ()
            except EmovoiceError as error:  # deleted meanwhile, or damaged
                log.warning("the voice %s cannot be read: %s", found.id, error)
                raise not_found("voice", "voice_not_found", "voice") from error
        stand_in = OPENAI_VOICES.get(name.casefold())
        if stand_in is not None:
            used = stand_in if stand_in in shipped else DEFAULT_VOICE
            return Voice.load(used), (f"there is no voice '{name}' here; '{used}' stands in for it",)
        raise not_found("voice", "voice_not_found", "voice")

    def _check_room(self, owner: str, name: str) -> None:
        mine = [stored for stored in self._known.values() if stored.owner == owner]
        if len(mine) >= self._most:
            raise ApiError(400, f"at most {self._most} voices can be stored; delete one", code="too_many_voices")
        if any(stored.name == name for stored in mine):
            raise ApiError(400, "you have a voice of this name", param="name", code="name_taken")
        if self._folder.is_dir():
            used = sum(path.stat().st_size for path in self._folder.iterdir() if path.is_file())
            if used >= self._most_bytes:
                raise ApiError(400, "there is no room for more voices", code="too_many_voices")


def _read_folder(folder: Path) -> list[Stored]:
    """The records of a folder; a damaged one is passed over and told in the log."""
    found = []
    for path in sorted(folder.glob("voice_*.json")) if folder.is_dir() else []:
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            stored = Stored(**record | {"warnings": tuple(record.get("warnings", ()))})
            if not _ID.fullmatch(stored.id) or path.stem != stored.id:
                raise ValueError("the record is not that of its file")
            found.append(stored)
        except (OSError, ValueError, TypeError) as error:
            log.warning("the voice record %s was passed over: %s", path.name, error)
    return found
