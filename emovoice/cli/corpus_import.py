"""`emovoice corpus import`: a user's own recordings become a corpus folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from emovoice.cli import EXIT_CODES, OK, output
from emovoice.errors import InputError

_EPILOG = """\
DIR/metadata.csv, UTF-8, lists the recordings (any format and rate; 0.5 to 30 s each, without music or noise):

  file,text,speaker,emotion,intensity
  one.wav,"Well, I never!",anna,surprised,0.8
  two.wav,The door is open.,anna,,

speaker ("own"), emotion ("neutral") and intensity (1) may be left out. Use at least 50 texts; hours are better.

examples:
  emovoice corpus import recordings --out corpus
  emovoice train tokenizer --corpus corpus --runs runs --minutes 10

Interrupt it at any time; the same command goes on, and takes up rows that were added or changed. Rows that cannot
be used are told and passed over; exit code 2 if none is left. Recordings are neither trimmed nor cut.
"""
_FEWEST_TEXTS = 2


def add(actions: Any) -> None:
    """Declare the action."""
    parser: argparse.ArgumentParser = actions.add_parser(
        "import",
        help="make a corpus of your own recordings, resumable",
        description="Make a corpus that `emovoice train` takes of recordings and their texts.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dir", type=Path, metavar="DIR", help="folder of recordings with metadata.csv")
    parser.add_argument("--out", type=Path, required=True, metavar="CORPUS", help="corpus folder; may exist")
    parser.add_argument("--accent", choices=("us", "gb"), default="us", help="how the texts are read (default: us)")
    parser.add_argument(
        "--least-fit",
        type=float,
        metavar="X",
        help="how well a recording must agree with its text, 0..1 (default: 0.4); lower it for unusual speech",
    )
    output.add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON summary")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Import; see `emovoice corpus import --help`."""
    if args.least_fit is not None and not 0 <= args.least_fit <= 1:
        raise InputError("a number must lie in 0..1", field="least-fit", value=args.least_fit)
    from emovoice.corpus.own import LEAST_FIT, Options, import_folder

    least_fit = LEAST_FIT if args.least_fit is None else args.least_fit
    options = Options(args.model, args.device, args.accent, least_fit)
    summary = import_folder(args.dir, args.out, options, output.note, _progress)
    if args.json:
        output.print_json({"corpus": str(args.out), **asdict(summary)})
    counts = f"{summary.imported} imported, {summary.kept} there already, {len(summary.refused)} refused"
    output.note(f"{args.out}: {counts}; {summary.seconds:.1f} s of sound")
    if not summary.good:
        output.note("error: not one recording can be used")
        return EXIT_CODES[InputError]
    if summary.texts < _FEWEST_TEXTS:
        output.warn(["training needs recordings of two texts at least: one of them is held out for checks"])
    return OK


def _progress(items: list[Any]) -> Iterable[Any]:
    from tqdm import tqdm

    return tqdm(items, unit="recording", file=sys.stderr, dynamic_ncols=True, leave=False, disable=None)
