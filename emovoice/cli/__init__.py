"""The command line. Each command is a module of this package with `add(subparsers)` and `run(args) -> int`.

To add a command, write `emovoice/cli/<name>.py` and a line in `COMMANDS`. Only the module of the command that
was asked for is imported, and nothing heavy before its `run`, so that help is there at once.

Results for machines go to standard output; progress, warnings and errors to standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from importlib.util import find_spec

from emovoice import errors

COMMANDS = {
    "say": "speak a text into a sound file",
    "convert": "speak a recording again with another emotion",
    "explain": "show what would be spoken how, and why",
    "voices": "list the voices, or make one from a recording",
    "models": "list, download, check and convert published models",
    "dub": "dub a timeline, with or without a video",
    "cast": "make a cast file for a dub",
    "info": "say what a model is and where its weights come from",
    "evaluate": "measure a model against the bars it has to meet",
    "corpus": "make a corpus to train on, rendered or of recordings",
    "train": "train a part of a model",
    "words": "judge or train the model that reads emotion in words",
    "serve": "serve the speech API over HTTP",
    "demo": "open the page in a browser",
    "detect": "say whether a file carries a mark of machine-made speech",
    "bench": "measure speaking, long texts, or the server",
}

OK, BELOW_BAR, INTERRUPTED = 0, 7, 130
EXIT_CODES: dict[type[errors.EmovoiceError], int] = {
    errors.InputError: 2,
    errors.AudioError: 3,
    errors.ModelError: 4,
    errors.OutputError: 5,
    errors.LengthError: 6,
}

_EPILOG = """\
examples:
  emovoice say "Hello there." -o hello.wav
  emovoice say "You did what?" -o what.wav --emotion anger --intensity 0.9
  emovoice convert in.wav -o out.wav --emotion sad --intensity 0.6
  emovoice voices

exit codes:
  0    done
  1    a fault in emovoice itself; please report it with the traceback
  2    wrong usage, or a text, emotion, voice name or number that cannot be used
  3    a recording cannot be read or used
  4    a model or a saved voice is missing or damaged
  5    the output cannot be written
  6    the text or recording cannot be spoken in the length asked for
  7    a dub is finished, and its report names faults
  130  interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (that of the process if None) and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    parser = _parser(wanted)
    try:
        args = parser.parse_args(arguments)
        if "run" not in args:
            parser.print_help()
            return EXIT_CODES[errors.InputError] if arguments else OK
        code: int = args.run(args)
        sys.stdout.flush()  # here, where a closed pipe is caught
        return code
    except errors.EmovoiceError as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return EXIT_CODES.get(type(error), EXIT_CODES[errors.InputError])
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has enough. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def available() -> dict[str, str]:
    """The commands this installation has, with a line about each."""
    return {name: line for name, line in COMMANDS.items() if find_spec(f"emovoice.cli.{name}") is not None}


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    """A parser that knows all commands by name, and the options of the one that is wanted."""
    parser = argparse.ArgumentParser(
        prog="emovoice",
        description="Speech in a chosen voice, emotion, intensity and time.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_version())
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, line in available().items():
        if name == wanted:
            import_module(f"emovoice.cli.{name}").add(subparsers)
        else:
            subparsers.add_parser(name, help=line)
    return parser


def _version() -> str:
    try:
        return f"emovoice {metadata.version('emovoice')}"
    except metadata.PackageNotFoundError:
        return "emovoice (not installed)"


def _one_line(error: errors.EmovoiceError) -> str:
    return " ".join(str(error).split())
