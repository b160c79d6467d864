"""Bytes of a text file to text, whatever wrote them; what was odd is remarked. Pure."""

from __future__ import annotations

import codecs
from pathlib import Path

from emovoice.dubbing.cues import Remark
from emovoice.errors import InputError

LARGEST_BYTES = 64 * 2**20

_BOMS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip


def read_text(path: Path) -> tuple[str, list[Remark]]:
    """A file's text with plain line ends, and remarks. Raises InputError: missing, no plain file, too large."""
    try:
        if not path.is_file():
            what = "there is no such file" if not path.exists() else "this is not a plain file"
            raise InputError(what, field="path", value=str(path))
        if path.stat().st_size > LARGEST_BYTES:
            raise InputError(f"the file is larger than {LARGEST_BYTES >> 20} MiB", field="path", value=str(path))
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"the file cannot be read: {error}", field="path", value=str(path)) from error
    return decode(data)


def decode(data: bytes) -> tuple[str, list[Remark]]:
    """Text of UTF-8, UTF-16 or UTF-32, with or without a mark, else of Windows-1252 or Latin-1."""
    text, remarks = _decoded(data)
    if "\r" in text:
        remarks.append(Remark("line-ends", "lines end in CR LF or CR; read as plain line ends"))
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        remarks.append(Remark("nul", "the file holds NUL characters; they were left out"))
        text = text.replace("\0", "")
    return text, remarks


def _decoded(data: bytes) -> tuple[str, list[Remark]]:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            note = "the file begins with a byte order mark" + ("" if "8" in encoding else f"; read as {encoding}")
            kind = "bom" if "8" in encoding else encoding
            return data.decode(encoding, errors="replace"), [Remark(kind, note)]
    if encoding := _looks_like_utf16(data):
        return data.decode(encoding, errors="replace"), [Remark("utf-16", f"no encoding is marked; read as {encoding}")]
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252"), [Remark("latin-1", "the file is not UTF-8; read as Windows-1252 (Latin-1)")]
    except UnicodeDecodeError:
        return data.decode("latin-1"), [Remark("latin-1", "the file is not UTF-8; read as Latin-1")]


def _looks_like_utf16(data: bytes) -> str:
    """UTF-16 without a mark: figures and arrows of a timeline have a zero in every second byte."""
    head = data[:4096]
    if len(head) < 8 or not head.count(0) > 0.3 * len(head):
        return ""
    return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
