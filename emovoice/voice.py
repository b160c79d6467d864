"""A voice as a value: who speaks, kept in a small safetensors file that can be shared."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as tensor_file

from emovoice.audio import SHORTEST_S, Source
from emovoice.errors import EmovoiceError, InputError, ModelError
from emovoice.waveform import LOWEST_RATE_HZ
from emovoice.writing import check_target, whole_file

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

Accent: TypeAlias = Literal["us", "gb"]

TIMBRE_SIZE, EMOTION_SIZE = 192, 256
DEFAULT_VOICE = "default"
ENDING = ".safetensors"

LONGEST_RECORDING_S = 15
HIGHEST_RECORDING_HZ = 24_000

_LARGEST_FILE_BYTES = 2**21  # a voice takes 2 kB, and with a recording up to 1.5 MB
_HASH_KEY = "content_sha256"


@dataclass(frozen=True, eq=False)
class Voice:
    """A timbre, the emotion it was recorded in, and what is known about it.

    Two voices are equal, and hash the same, when timbre, emotion, accent and recording are the same to the last bit;
    the name and where it came from are labels.

    Attributes:
        name: what to call it.
        timbre: float32 (192,), read-only.
        emotion: float32 (256,), read-only; the emotion of the recording it was made from.
        accent: "us" or "gb"; how a text is read when no accent is asked for.
        model: the model whose encoder made it; "" for a voice that comes with emovoice.
        source: where it came from, in words.
        warnings: what was noticed about the recording it was made from; not saved.
        recording: float32 (n,), read-only: the recording itself, mono, at most 15 s, for models that continue it;
            None where the model it was made with does not need it.
        recording_hz: its rate, 4 to 24 kHz; 0 without one.

    Raises:
        InputError: a vector of the wrong size or with NaN or infinite numbers, an unknown accent, a recording that
            is too long or of another rate.
    """

    name: str
    timbre: np.ndarray
    emotion: np.ndarray
    accent: Accent = "us"
    model: str = ""
    source: str = ""
    warnings: tuple[str, ...] = ()
    recording: np.ndarray | None = None
    recording_hz: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "timbre", _vector(self.timbre, TIMBRE_SIZE, "timbre"))
        object.__setattr__(self, "emotion", _vector(self.emotion, EMOTION_SIZE, "emotion"))
        check_accent(self.accent)
        if self.recording is not None:
            object.__setattr__(self, "recording", _recorded(self.recording, self.recording_hz))
        elif self.recording_hz:
            raise InputError("a rate without a recording", field="recording_hz", value=self.recording_hz)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Voice):
            return NotImplemented
        return self.content_hash == other.content_hash

    def __hash__(self) -> int:
        return hash(self.content_hash)

    @property
    def content_hash(self) -> str:
        """SHA-256 over timbre, emotion, accent and recording: the same for the same voice, on any machine."""
        digest = hashlib.sha256(self.timbre.astype("<f4").tobytes() + self.emotion.astype("<f4").tobytes())
        digest.update(self.accent.encode())
        if self.recording is not None:
            digest.update(str(self.recording_hz).encode() + self.recording.astype("<f4").tobytes())
        return digest.hexdigest()

    @classmethod
    def from_audio(
        cls,
        source: Source,
        *,
        name: str | None = None,
        accent: Accent = "us",
        model: str | None = None,
        device: str = "cpu",
    ) -> Voice:
        """The voice of a recording: a path, samples at 24 kHz, or (samples, rate).

        Five to fifteen seconds of clear speech are best.

        Raises:
            AudioError: the recording cannot be used.
            ModelError: the model cannot be loaded.
        """
        from emovoice.shared import shared_engine

        return shared_engine(model, device).voice_from(source, name=name, accent=accent)

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> Voice:
        """A voice by name (see `voices()`) or from a file that `save` wrote.

        Raises:
            InputError: there is no voice of that name.
            ModelError: the file is missing, damaged or no voice.
        """
        if isinstance(source, str) and source in voices():
            return _from_bytes((_folder() / f"{source}{ENDING}").read_bytes(), source)
        if isinstance(source, str) and looks_like_name(source):
            raise _unknown(source)
        return _from_bytes(_read(Path(source)), str(source))

    def save(self, path: str | os.PathLike[str], force: bool = False) -> Path:
        """Write it to a .safetensors file and return the path.

        Raises:
            OutputError: it exists and `force` is not set, is a directory, or cannot be written.
        """
        target = check_target(path, force, endings=(ENDING,))
        metadata = {
            "name": self.name,
            "accent": self.accent,
            "model": self.model,
            "source": self.source,
            _HASH_KEY: self.content_hash,
        }
        tensors = {"timbre": self.timbre, "emotion": self.emotion}
        if self.recording is not None:
            tensors["recording"] = self.recording
            metadata["recording_hz"] = str(self.recording_hz)
        with whole_file(target) as file:
            file.write(tensor_file.save(tensors, metadata))
        return target


def voices() -> tuple[str, ...]:
    """The names of the voices that come with emovoice, sorted."""
    try:
        names = [entry.name for entry in _folder().iterdir()]
    except (FileNotFoundError, NotADirectoryError, ModuleNotFoundError):
        return ()
    return tuple(sorted(name.removesuffix(ENDING) for name in names if name.endswith(ENDING)))


def looks_like_name(text: str) -> bool:
    """Whether `text` is a bare word and so the name of a voice rather than of a file."""
    return Path(text).name == text and not Path(text).suffix


def check_accent(accent: object) -> None:
    """Raises InputError unless `accent` is "us" or "gb"."""
    if accent not in get_args(Accent):
        raise InputError("unknown accent", field="accent", value=accent, remedy="Use 'us' or 'gb'.")


def _folder() -> Traversable:
    return resources.files("checkpoints") / "voices"


def _unknown(name: str) -> EmovoiceError:
    known = voices()
    if not known:
        return ModelError(
            "this installation comes without voices",
            field="timbre",
            value=name,
            remedy="Give a recording or a saved voice instead, or install emovoice with its weights.",
        )
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    remedy = f"{hint}Known are {', '.join(known)}; or give a file."
    return InputError("unknown voice", field="timbre", value=name, remedy=remedy)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise ModelError("this file is too large for a voice", field="path", value=str(path))
        return path.read_bytes()
    except FileNotFoundError as error:
        remedy = "Check the name, or make one with `emovoice voices make`."
        raise ModelError("there is no such voice file", field="path", value=str(path), remedy=remedy) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ModelError(f"the voice cannot be read: {error}", field="path", value=str(path)) from error


def _from_bytes(data: bytes, origin: str) -> Voice:
    """A voice from the bytes of its file; `origin` is for messages and for a voice without a name."""
    try:
        tensors = tensor_file.load(data)
        metadata = _metadata(data)
        voice = Voice(
            name=metadata.get("name") or Path(origin).stem,
            timbre=tensors["timbre"],
            emotion=tensors["emotion"],
            accent=metadata.get("accent", "us"),  # type: ignore[arg-type]  # checked by Voice itself
            model=metadata.get("model", ""),
            source=metadata.get("source", ""),
            recording=tensors.get("recording"),
            recording_hz=int(metadata.get("recording_hz", 0)),
        )
    except (SafetensorError, KeyError, ValueError, TypeError, InputError) as error:
        reason = "a tensor is missing" if isinstance(error, KeyError) else str(error)
        raise _damaged(origin, reason) from error
    if metadata.get(_HASH_KEY, voice.content_hash) != voice.content_hash:
        raise _damaged(origin, "its numbers do not match its checksum")
    return voice


def _metadata(data: bytes) -> dict[str, str]:
    """The text that goes with the tensors. The format: 8 bytes of length, then JSON, then numbers."""
    length = int.from_bytes(data[:8], "little")
    found = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return {str(key): str(value) for key, value in found.items()}


def _damaged(origin: str, reason: str) -> ModelError:
    return ModelError(
        f"this is not a voice, or it is damaged: {reason.rstrip('.')}",
        field="path",
        value=origin,
        remedy="Make it again with `emovoice voices make`.",
    )


def _recorded(values: np.ndarray, rate_hz: int) -> np.ndarray:
    """A read-only float32 copy (n,)."""
    samples = np.array(values, dtype=np.float32)
    if type(rate_hz) is not int or not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RECORDING_HZ:
        raise InputError(f"a voice keeps its recording at {LOWEST_RATE_HZ} to {HIGHEST_RECORDING_HZ} Hz",
                         field="recording_hz", value=rate_hz)  # fmt: skip
    if samples.ndim != 1 or not SHORTEST_S * rate_hz <= len(samples) <= LONGEST_RECORDING_S * rate_hz:
        raise InputError(f"a voice keeps {SHORTEST_S} to {LONGEST_RECORDING_S} s of mono", field="recording",
                         value=samples.shape)  # fmt: skip
    if not np.isfinite(samples).all():
        raise InputError("the recording holds numbers that are NaN or infinite", field="recording", value="not finite")
    samples.setflags(write=False)
    return samples


def _vector(values: np.ndarray, size: int, field: str) -> np.ndarray:
    """A read-only float32 copy `(size,)`."""
    vector = np.array(values, dtype=np.float32)
    if vector.shape != (size,):
        raise InputError(f"{field} must have {size} numbers", field="shape", value=vector.shape)
    if not np.isfinite(vector).all():
        raise InputError(f"{field} holds numbers that are NaN or infinite", field=field, value="not finite")
    vector.setflags(write=False)
    return vector
