"""`emovoice words`: the model that reads instructions and lines: its examples, its training, its figures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from emovoice.cli import COMMANDS, OK, output

_MISSED = 1
_EPILOG = """\
examples:
  emovoice words evaluate                    figures on held-out families, beside baselines
  emovoice words evaluate --without-base     without the extra `words`
  emovoice words build                       write the examples anew from the hand-written material
  emovoice words train --out my-words        train anew (the extra `words`; ten minutes on one core)
  emovoice words train --out checkpoints/words --force

exit codes of evaluate: 0 every bar is met, 1 one is missed; errors as everywhere in emovoice.
"""


def add(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "words",
        help=COMMANDS["words"],
        description="Judge or train the small model that reads emotion in words.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("evaluate", "build", "train"))
    parser.add_argument("--without-base", action="store_true", help="evaluate: leave the base encoder's baseline out")
    parser.add_argument("--cases", action="store_true", help="evaluate: only the named hard cases")
    parser.add_argument("--json", action="store_true", help="evaluate: a JSON object instead of tables")
    parser.add_argument("--into", type=Path, metavar="FILE", action="append", default=[],
                        help="evaluate: also put the tables between the marks of a text file")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="train: folder to write")
    parser.add_argument("--epochs", type=int, metavar="N", help="train: passes over the examples")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="train: same seed, same weights (default: 0)")
    parser.add_argument("--force", action="store_true", help="train: write into a folder that exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do; see `emovoice words --help`."""
    return {"evaluate": _evaluate, "build": _build, "train": _train}[args.action](args)


def _evaluate(args: argparse.Namespace) -> int:
    from emovoice.evaluation import emotion_words, report

    if args.cases:
        cases = emotion_words.hard_cases()
        for case in cases:
            print(f"WRONG {case.name}: {', '.join(case.wrong)}" if case.wrong else f"ok    {case.name}")
        share = sum(not case.wrong for case in cases) / len(cases)
        return OK if emotion_words.met("hard cases", share) else _MISSED
    result = emotion_words.evaluate(not args.without_base, output.note)
    text = emotion_words.markdown(result)
    if args.json:
        output.print_json(emotion_words.as_json(result))
    else:
        print(text, end="")
    for path in args.into:
        report.put_into(path, text)
    fine = all(emotion_words.met(name, value) for name, value in result["figures"].items())
    return OK if fine else _MISSED


def _build(args: argparse.Namespace) -> int:
    from emovoice.emotion import material
    from emovoice.writing import whole_file

    folder = Path(str(material.DATA))
    for kind in material.VARIANTS:
        with whole_file(folder / f"{kind}s.tsv") as file:
            file.write(material.table(kind).encode())
        output.note(f"{kind}s: {material.splits_of(material.load(kind))}")
    return OK


def _train(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from emovoice.errors import InputError

    if args.out is None:
        raise InputError("training needs a folder to write to", field="out", remedy="Give one with --out DIR.")
    if args.out.exists() and not args.force:
        raise InputError("the folder exists", field="out", value=str(args.out), remedy="Use another, or --force.")
    if args.epochs is not None and args.epochs < 1:
        raise InputError("at least one pass is needed", field="epochs", value=args.epochs)
    from emovoice.training import words

    options = replace(words.Options(), seed=args.seed)
    if args.epochs is not None:
        options = replace(options, epochs=args.epochs)
    model, vocabulary = words.from_base(words.base_folder(), options)
    words.train(model, vocabulary, ("train",), options, output.note)
    words.save(model, vocabulary, args.out, options)
    output.note(f"{args.out}: written")
    return OK
