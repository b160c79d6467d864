"""How much emovoice takes in before it says no."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Upper limits on input; pass your own to `Engine(limits=...)` to raise or lower them.

    Attributes:
        text_chars: characters in one text. Memory does not grow with the text, time does.
        reference_s: length of a reference recording, seconds. Checked on the file's header and again while
            decoding.
        reference_bytes: size of a reference recording once decoded (float32, all channels), bytes. A small
            compressed file can decode to gigabytes.
        source_s: length of a recording to convert, seconds. Memory does not grow with it, time does.
    """

    text_chars: int = 20_000
    reference_s: float = 600.0
    reference_bytes: int = 256 * 2**20
    source_s: float = 4 * 3600.0


DEFAULT_LIMITS = Limits()
