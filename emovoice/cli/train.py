"""`emovoice train`: train a part of the embedded model, or assemble the parts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from emovoice.errors import InputError

PARTS = (
    "tokenizer", "reference", "features", "directions", "t2s", "spoken", "prior", "flow", "vocoder", "content",
    "prosody", "score", "export", "calibration",
)  # fmt: skip

_EPILOG = """\
examples, in order:
  emovoice train tokenizer --corpus corpus --runs runs --minutes 10
  emovoice train reference --corpus corpus --runs runs --minutes 10
  emovoice train features  --corpus corpus --runs runs
  emovoice train directions --corpus corpus --runs runs
  emovoice train t2s       --corpus corpus --runs runs --minutes 30
  emovoice train spoken    --corpus corpus --runs runs
  emovoice train prior     --corpus corpus --runs runs --minutes 30
  emovoice train flow      --corpus corpus --runs runs --minutes 60
  emovoice train vocoder   --corpus corpus --runs runs --minutes 90
  emovoice train content   --corpus corpus --runs runs
  emovoice train prosody   --corpus corpus --runs runs
  emovoice train score     --corpus corpus --runs runs --minutes 60
  emovoice train export    --corpus corpus --runs runs --out my-model
  emovoice train calibration --corpus corpus --runs runs --out my-model
  emovoice say "Hello." -o hello.wav --model my-model

content, prosody and score are for `emovoice convert`; a model can do without. calibration fits the steps of intensity
anew, of a model that was exported.
A run is resumed where it stopped; more --minutes than it had continues it. Curves: RUNS/PART/curves.jsonl
"""


def add(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("train", help="train a part of a model", epilog=_EPILOG,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--corpus", type=Path, required=True, help="folder made by `emovoice corpus build`")
    parser.add_argument("--runs", type=Path, required=True, help="folder of checkpoints and curves")
    parser.add_argument("--minutes", type=float, default=10.0, help="training time in all (default 10)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ... (default cpu)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's choice)")
    parser.add_argument("--out", type=Path, help="bundle folder to write (export, calibration)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train or export."""
    if not (args.corpus / "manifest.jsonl").exists():
        raise InputError("no manifest.jsonl in the corpus folder", field="corpus", value=str(args.corpus),
                         remedy="Make one with `emovoice corpus build`.")
    if not 0 < args.minutes <= 10**6:
        raise InputError("minutes must be above 0 and at most 1,000,000", field="minutes", value=args.minutes)
    import torch

    from emovoice.training.parts import PARTS as TRAINERS
    from emovoice.training.parts import Studio, calibrate, export

    if args.threads > 0:
        torch.set_num_threads(args.threads)
    if args.part in ("export", "calibration") and args.out is None:
        raise InputError(f"{args.part} needs --out", field="out", value=None)
    if args.part == "calibration":
        print(json.dumps(calibrate(Studio(args.corpus, args.runs, args.device), str(args.out))))
        return 0
    if args.part == "export":
        export(args.corpus, args.runs, args.out)
        return 0
    TRAINERS[args.part](Studio(args.corpus, args.runs, args.device, args.minutes))
    return 0
