"""`emovoice voices`: list the voices, or make one from a recording."""

from __future__ import annotations

import argparse
from typing import Any

from emovoice.cli import COMMANDS, OK, output

_EPILOG = """\
examples:
  emovoice voices
  emovoice voices --json
  emovoice voices make interview.wav -o anna.safetensors
  emovoice say "Hello." -o hello.wav --voice anna.safetensors

Ask the person whose voice it is.
"""


def add(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "voices",
        help=COMMANDS["voices"],
        description="List the voices that come with emovoice, or make one from a recording.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.set_defaults(run=run)
    make = parser.add_subparsers(metavar="make").add_parser(
        "make",
        help="make a voice from a recording",
        description="Make a voice from a recording of 5 to 15 s of clear speech by one person.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    make.add_argument("recording", metavar="RECORDING", help="a wav, flac, ogg or mp3 file")
    make.add_argument("-o", "--output", required=True, metavar="FILE", help="a .safetensors file to write")
    make.add_argument("--name", help="what to call it (default: the name of the recording)")
    make.add_argument("--accent", choices=("us", "gb"), default="us", help="the speaker's accent (default: us)")
    output.add_model_options(make)
    make.add_argument("--json", action="store_true", help="print a JSON object")
    make.add_argument("--force", action="store_true", help="overwrite an existing file")
    make.set_defaults(run=run_make)


def run(args: argparse.Namespace) -> int:
    """List; see `emovoice voices --help`."""
    from emovoice.voice import Voice, voices

    loaded = {name: Voice.load(name) for name in voices()}
    rows = [{"name": name, "accent": voice.accent, "source": voice.source} for name, voice in loaded.items()]
    if args.json:
        output.print_json({"voices": rows})
    elif rows:
        output.print_table(rows, ("name", "accent", "source"))
    else:
        output.note("this installation comes without voices")
    return OK


def run_make(args: argparse.Namespace) -> int:
    """Make; see `emovoice voices make --help`."""
    from emovoice.voice import ENDING, Voice
    from emovoice.writing import check_target

    check_target(args.output, args.force, endings=(ENDING,))
    voice = Voice.from_audio(args.recording, name=args.name, accent=args.accent, model=args.model, device=args.device)
    voice.save(args.output, force=args.force)
    output.warn(voice.warnings)
    if args.json:
        output.print_json(
            {
                "path": args.output,
                "name": voice.name,
                "accent": voice.accent,
                "warnings": list(voice.warnings),
            }
        )
    else:
        output.note(f"{args.output}: the voice '{voice.name}'")
    return OK
