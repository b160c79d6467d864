"""`emovoice info`: what a model is."""

from __future__ import annotations

import argparse
from typing import Any

from emovoice.cli import COMMANDS, OK, output

_EPILOG = """\
examples:
  emovoice info
  emovoice info --model debug --json
"""


def add(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "info",
        help=COMMANDS["info"],
        description="Say what a model is: parameters, configuration, sizes, licence.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    output.add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show; see `emovoice info --help`."""
    from emovoice.shared import shared_engine

    info = shared_engine(args.model, args.device).pipeline.info()
    if args.json:
        output.print_json(info)
    else:
        output.print_tree(info)
    return OK
