"""`emovoice corpus`: render the corpus that the embedded model is trained on, or make one of own recordings."""

from __future__ import annotations

import argparse
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from emovoice.cli import COMMANDS, corpus_import
from emovoice.errors import InputError

_EPILOG = """\
examples:
  npm pack kokoro-js && tar xzf kokoro-js-*.tgz          # the teacher's voices: package/voices
  emovoice corpus build --out corpus --hours 2 --voices package/voices --workers 2
  emovoice corpus build --out corpus --scores 4000 --voices package/voices

Interrupt it at any time; the same command goes on. Needs the extra: pip install 'emovoice[teacher]'
"""


def add(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("corpus", help=COMMANDS["corpus"], epilog=_EPILOG,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = actions.add_parser("build", help="render with the teacher, resumable", epilog=_EPILOG,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
    build.add_argument("--out", type=Path, required=True, help="corpus folder; an existing one is continued")
    build.add_argument("--voices", type=Path, required=True, help="folder of the teacher's voice vectors (*.bin)")
    build.add_argument("--hours", type=float, default=0.0, help="hours of sound to have in the folder")
    build.add_argument("--scores", type=int, default=0, help="items without sound (durations and melody only) to have")
    build.add_argument("--seed", type=int, default=2, help="decides everything random (default 2, as shipped)")
    build.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    build.add_argument("--cache", type=Path, default=None, help="where the cut teacher is kept (default OUT/teacher)")
    build.set_defaults(run=run)
    corpus_import.add(actions)


def run(args: argparse.Namespace) -> int:
    """Render sound first, then scores."""
    if not any(args.voices.glob("*.bin")):
        raise InputError("no voice vectors (*.bin) in the folder", field="voices", value=str(args.voices),
                         remedy="Get them with: npm pack kokoro-js && tar xzf kokoro-js-*.tgz")
    limits = (("hours", args.hours, 1000), ("scores", args.scores, 10**6), ("workers", args.workers, 256))
    for name, value, most in limits:
        if not 0 <= value <= most:
            raise InputError(f"{name} must be in 0..{most}", field=name, value=value)
    from emovoice.corpus.build import Studio, build
    from emovoice.corpus.texts import load_texts

    lines = load_texts(Path(str(files("emovoice.corpus").joinpath("data/texts.tsv"))))
    result: dict[str, Any] = {}
    for audible, wanted in ((True, args.hours), (False, args.scores)):
        if wanted:
            studio = Studio(args.out, args.cache or args.out / "teacher", args.voices, args.seed, audible)
            result["sound" if audible else "scores"] = build(studio, lines, hours=args.hours, scores=args.scores,
                                                             workers=max(args.workers, 1))
    print(json.dumps(result))
    return 0
