"""How commands write: data to standard output, everything for people to standard error."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from emovoice.errors import InputError
from emovoice.models import VARIABLE, chosen_model

if TYPE_CHECKING:
    import numpy as np

    from emovoice.writing import Written

STDOUT = "-"
"""The output that is wav on standard output."""


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that loads a model."""
    add_model_option(parser)
    parser.add_argument("--device", default="cpu", metavar="D", help="cpu, cuda, ... (default: cpu)")


def add_model_option(parser: argparse.ArgumentParser) -> None:
    """`--model` alone; its default is the environment's at this moment."""
    default = chosen_model()
    names = "mini, debug, indextts-2, indextts-2.5, or a folder"
    text = f"{names} (default: {default}; the variable {VARIABLE} names another)"
    parser.add_argument("--model", default=default, metavar="M", help=text.replace("%", "%%"))


def check_sound_output(args: argparse.Namespace) -> None:
    """Refuse an output that sound cannot be written to (`args.output`, `force`, `json`) before any work is done."""
    if args.output != STDOUT:
        from emovoice.writing import check_target

        check_target(args.output, args.force)
    elif args.json:
        raise InputError("sound and JSON cannot both go to standard output", remedy="Write to a file with -o.")
    elif sys.stdout.isatty():
        raise InputError("sound will not be written to a terminal", remedy="Write to a file with -o, or pipe.")


def write_sound(
    args: argparse.Namespace, chunks: Iterable[np.ndarray], rate: int, process: str
) -> tuple[Written, str]:
    """Write chunks to `args.output` with the mark of machine-made speech; how they are marked, in words, beside.

    Args:
        process: "speech" or "conversion".
    """
    from emovoice import provenance
    from emovoice.watermark import Marker
    from emovoice.writing import write_audio, write_wav_stream

    marker, tags = Marker(rate), provenance.tags(args.model, process)
    if args.output == STDOUT:
        written = write_wav_stream(sys.stdout.buffer, marker.each(chunks), rate, tags)
        return written, provenance.said(True, marker.has_marked)
    written = write_audio(args.output, marker.each(chunks), rate, force=args.force, tags=tags)
    return written, provenance.carried(args.output, marker.has_marked)


def print_json(record: object) -> None:
    """One JSON object on one line; all ASCII, so that it survives any terminal's encoding."""
    print(json.dumps(record, default=str))


def print_table(rows: Iterable[Mapping[str, object]], columns: tuple[str, ...]) -> None:
    """Left-aligned columns under their names."""
    table = [columns, *(tuple(str(row[column]) for column in columns) for row in rows)]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_tree(record: Mapping[str, object], indent: int = 0) -> None:
    """`key: value` lines, one level deeper for each mapping inside."""
    for key, value in record.items():
        if isinstance(value, Mapping):
            print(f"{' ' * indent}{key}:")
            print_tree(value, indent + 2)
        else:
            print(f"{' ' * indent}{key}: {value}")


def note(message: str) -> None:
    """A line for people."""
    print(message, file=sys.stderr)


def warn(messages: Iterable[str]) -> None:
    """A `warning:` line for each message."""
    for message in messages:
        note(f"warning: {message}")
