"""`emovoice demo`: the page in a browser.

The page is a program of its own on top of emovoice, which knows nothing of it; hence another process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import Any

from emovoice.cli import COMMANDS
from emovoice.cli.serve import add_server_options

_EPILOG = """\
examples:
  emovoice demo
  emovoice demo --port 9000 --model debug

Speak, Convert, Dub and Voices, in a browser at http://127.0.0.1:7860; the speech API is there too, below /v1. Nothing
is asked of any other server. It listens on this machine only; it has no log-in, so that --open lets anyone in.
`emovoice say` and `emovoice serve` do the same without a page.
"""


def add(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "demo",
        help=COMMANDS["demo"],
        description="Open the page: speak, convert and dub in a browser.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_server_options(parser, port=7860)
    parser.add_argument("--open", action="store_true", help="listen beyond this machine; there is no log-in")
    parser.add_argument("--json", action="store_true", help="print where it listens as a JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Start the page; see `emovoice demo --help`."""
    command = [sys.executable, "-m", "app", *_arguments(args)]
    if os.name == "posix":  # in place of this process, so that a signal reaches the page itself
        os.execv(sys.executable, command)
    return subprocess.call(command)


def _arguments(args: argparse.Namespace) -> list[str]:
    """The options again, as text."""
    given = ["--host", args.host, "--port", str(args.port), "--model", args.model, "--device", args.device]
    for name in ("workers", "voices"):
        if getattr(args, name) is not None:
            given += [f"--{name}", str(getattr(args, name))]
    for name in ("no_watermark", "open", "json"):
        if getattr(args, name):
            given.append(f"--{name.replace('_', '-')}")
    return given + [part for limit in args.limit for part in ("--limit", limit)]
