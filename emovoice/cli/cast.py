"""`emovoice cast`: a cast file for a dub."""

from __future__ import annotations

import argparse
from typing import Any

from emovoice.cli import COMMANDS, OK, output

_EPILOG = """\
examples:
  emovoice cast suggest film.mp4 film.srt -o cast.yaml
  emovoice dub film.srt --video film.mp4 --cast cast.yaml -o film.en.mp4

For each character of the timeline the clearest stretches of its lines are cut out of the original sound. The cast file
names them; put the name of a voice, a saved voice or another recording there instead wherever you like. A voice belongs
to a person: ask before you use it.
"""


def add(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "cast", help=COMMANDS["cast"], description="Make a cast file for a dub.", epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    suggest = parser.add_subparsers(metavar="suggest", required=True).add_parser(
        "suggest", help="cut a reference for each character out of the original sound",
        description="Cut a reference for each character out of the original sound.", epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    suggest.add_argument("original", metavar="ORIGINAL", help="a video or recording")
    suggest.add_argument("timeline", metavar="TIMELINE", help="who speaks when: SRT, VTT, ASS, JSON, CSV, OTIO, ...")
    suggest.add_argument("-o", "--output", default="cast.yaml", metavar="FILE", help="default: cast.yaml")
    suggest.add_argument("--offset", type=float, default=0.0, metavar="S", help="seconds added to all times")
    suggest.add_argument("--json", action="store_true", help="print a JSON object")
    suggest.add_argument("--force", action="store_true", help="overwrite an existing file")
    suggest.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Suggest; see `emovoice cast suggest --help`."""
    from pathlib import Path

    from emovoice.dubbing import timelines
    from emovoice.dubbing.suggest import suggest

    timeline = timelines.read(args.timeline, offset_ms=round(1000 * args.offset))
    made, remarks = suggest(args.original, timeline, Path(args.output), args.force)
    output.warn(str(remark) for remark in (*timeline.remarks, *remarks))
    rows = [{"character": one.character, "speech_s": one.speech_s, "cues": ",".join(one.cues),
             "file": str(one.path) if one.path else None} for one in made]  # fmt: skip
    if args.json:
        output.print_json({"path": args.output, "characters": rows})
    else:
        output.print_table(rows, ("character", "speech_s", "cues", "file"))
    return OK
