"""What the server takes in and how much of it, with defaults that hold."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from emovoice.models import SHIPPED, chosen_model

MIB = 2**20


@dataclass(frozen=True)
class ServeLimits:
    """Upper limits; every one has its answer (status code) beside it.

    Attributes:
        request_bytes: size of a request's body (413).
        text_chars: characters of `input` (400).
        instruction_chars: characters of `instructions` (400).
        reference_s, reference_bytes: an uploaded recording once decoded, seconds and bytes; checked on the header
            and again while decoding (400).
        convert_s: a recording to convert, seconds (400).
        upload_s: seconds for a request to arrive (408).
        compute_s: seconds from arrival to the last sample (504, or a broken stream if it has begun).
        stall_s: seconds that a client may take to read what is ready for it (connection closed).
        workers: threads that compute.
        slots: requests that a worker speaks in turn, chunk by chunk.
        queue: requests that wait (429 with Retry-After).
        connections: open connections (503).
        voices: voices stored for one owner (400).
        voices_bytes: size of all stored voices, bytes (400).
    """

    request_bytes: int = 32 * MIB
    text_chars: int = 4096
    instruction_chars: int = 2048
    reference_s: float = 60.0
    reference_bytes: int = 200 * MIB
    convert_s: float = 600.0
    upload_s: float = 60.0
    compute_s: float = 120.0
    stall_s: float = 30.0
    workers: int = 1
    slots: int = 4
    queue: int = 32
    connections: int = 256
    voices: int = 100
    voices_bytes: int = 64 * MIB


def usual_workers(model: str | None, device: str) -> int:
    """A worker for each core, at most four, where a small model computes on a processor: a request of its own keeps a
    core busier than a share of one. Four where a published model computes on CUDA: they share its steps. Otherwise one
    request gets all there is."""
    shipped = chosen_model(model) in SHIPPED
    if device == "cpu" and shipped:
        return min(os.cpu_count() or 1, 4)
    return 4 if device.startswith("cuda") and not shipped else 1


@dataclass(frozen=True)
class Settings:
    """How a server is set up.

    Attributes:
        model: which model to load; None for the default.
        device: "cpu", "cuda", ...
        host, port: where to listen.
        tokens: bearer tokens; none means that anyone who can reach the server may use it.
        voices_dir: where uploaded voices are kept.
        watermark: put the inaudible mark into the sound where the extra is installed.
        limits: see `ServeLimits`.
    """

    model: str | None = None
    device: str = "cpu"
    host: str = "127.0.0.1"
    port: int = 8880
    tokens: tuple[str, ...] = ()
    voices_dir: Path = field(default_factory=lambda: default_voices_dir())
    watermark: bool = True
    limits: ServeLimits = field(default_factory=ServeLimits)


def default_voices_dir() -> Path:
    """The platform's folder for data of this user: EMOVOICE_VOICES, or emovoice/voices below the usual place."""
    if named := os.environ.get("EMOVOICE_VOICES"):
        return Path(named)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share"))
    return base / "emovoice" / "voices"
