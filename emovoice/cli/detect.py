"""`emovoice detect`: say whether a sound file carries a mark of machine-made speech."""

from __future__ import annotations

import argparse
from typing import Any

from emovoice.cli import COMMANDS, OK, output

NOT_FOUND = 1

_EPILOG = """\
examples:
  emovoice detect interview.wav
  emovoice detect clip.mp4 --json
  emovoice say "Hello." -o hello.wav && emovoice detect hello.wav

Looks for the mark in the file's metadata and, with the extra `watermark`, for an inaudible one in the sound. A mark
that is found is telling; one that is not found proves nothing.

exit codes: 0 a mark was found, 1 none was found; errors as everywhere in emovoice.
"""


def add(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "detect",
        help=COMMANDS["detect"],
        description="Say whether a sound or video file carries a mark of machine-made speech.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="wav, flac, ogg, mp3; with the extra `media` also m4a, mp4, ...")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look; see `emovoice detect --help`."""
    from emovoice.provenance import detect

    found = detect(args.file)
    if args.json:
        output.print_json(
            {
                "path": args.file,
                "found": found.found,
                "metadata": found.metadata,
                "watermark": found.watermark,
                "watermarked": found.watermarked,
                "notes": list(found.notes),
            }
        )
    else:
        mark = found.metadata
        said = f"{mark.get('generator', 'unnamed')}, {mark['digitalSourceType']}" if mark else "none"
        heard = "not looked for" if found.watermark is None else f"{'yes' if found.watermarked else 'no'}"
        print(f"metadata:  {said}")
        print(f"watermark: {heard}" + ("" if found.watermark is None else f" (score {found.watermark:.2f})"))
        output.warn(found.notes)
    return OK if found.found else NOT_FOUND
