"""`emovoice evaluate` judges a model against the project's bars; `evaluate plot` draws what it does."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from emovoice.cli import output
from emovoice.emotion.names import EMOTIONS
from emovoice.errors import InputError
from emovoice.evaluation import ONLY_WHEN_ASKED_FOR, SUITE_NAMES

if TYPE_CHECKING:
    from emovoice import Engine
    from emovoice.evaluation.bench import Bench
    from emovoice.evaluation.suites import Plan

T = TypeVar("T")
_MISSED = 1
_PLOTTED = (0.0, 0.25, 0.5, 0.75, 1.0)
_ACTIONS = (
    "run (default): the suites; convert: the suite of conversion alone; plot: a picture of speech; grid: a picture of "
    "conversions for each emotion"
)
_EPILOG = """\
exit codes: 0 every bar that was measured is met, 1 one is missed; errors as everywhere in emovoice.

What was spoken and what the judges said is kept in the work folder: an interrupted run goes on where it was,
suites share audio, and suites run one by one add up to one report.

Two suites judge the encoders, without bars: `copy` (recordings taken apart and put together again: words, pitch,
voice; of the prompts, and of --teacher DIR) and `leak` (how well a linear probe reads the speaker from the emotion
vector and the emotion from the timbre vector, on held-out texts of --corpus DIR; needs no judges).

`emovoice evaluate convert --corpus DIR` judges conversions of the prompts (and of --teacher DIR): words, strength,
emotion, timbre, length, speed. --only solvers compares the solvers, --only tradeoff what more emotion costs.
`emovoice evaluate --only steps --texts 16 --into docs/performance.md` compares numbers of solver steps of speech, and
puts its table between the marks of that page.
`emovoice evaluate grid --source FILE -o out.png` draws spectrogram, pitch and level at six intensities, in a file for
each emotion: out-happy.png, out-sad.png ..."""


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "evaluate",
        help="judge a model against the project's bars",
        description="Judge a model on held-out texts: words, length, timbre, prosody, artefacts, speed.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", nargs="?", choices=("run", "plot", "convert", "grid"), default="run", help=_ACTIONS)
    output.add_model_option(parser)
    parser.add_argument(
        "--work", type=Path, default=Path("evaluation"), metavar="DIR", help="default: evaluation"
    )
    parser.add_argument("--only", metavar="A,B", help=f"suites out of: {', '.join(SUITE_NAMES)}")
    parser.add_argument(
        "--texts", type=int, default=100, metavar="N", help="held-out texts per figure (default: 100)"
    )
    parser.add_argument("--emotions", metavar="A,B", help="a subset of the eight, for a quicker look")
    parser.add_argument(
        "--prompts", type=Path, metavar="DIR", help="folder with prompts.json (default: the packaged one)"
    )
    parser.add_argument(
        "--teacher", type=Path, metavar="DIR", help="teacher renders with teacher.json: adds its rows"
    )
    parser.add_argument(
        "--corpus", type=Path, metavar="DIR", help="corpus folder to probe the encoders with: adds the suite leak"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of the recogniser (default: 1)")
    parser.add_argument(
        "--fresh", action="store_true", help="speak and judge again what the work folder holds"
    )
    parser.add_argument(
        "--into", type=Path, metavar="FILE", action="append", default=[],
        help="also put the tables between the marks of a text file such as README.md",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the report as JSON instead of markdown")
    parser.add_argument(
        "--text", default="Why did nobody tell me about this before?", help="plot: what is spoken"
    )
    parser.add_argument(
        "--voice", default="", help="plot: the voice of a prompt (default: the default voice)"
    )
    parser.add_argument("--source", type=Path, metavar="FILE", help="grid: the recording to convert")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="plot, grid: .png, .svg or .pdf")
    parser.add_argument("--force", action="store_true", help="plot, grid: overwrite FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judge or draw; the exit code.

    Raises:
        EmovoiceError: an argument, a model, a missing judge, an output.
    """
    emotions = _chosen(args.emotions, EMOTIONS, "emotions")
    if args.action == "convert":
        args.only = "convert"
    if args.action == "grid":
        return _grid(args, emotions)
    return _plot(args, emotions) if args.action == "plot" else _judge(args, emotions)


def _judge(args: argparse.Namespace, emotions: Sequence[str]) -> int:
    from emovoice import Engine
    from emovoice.evaluation import judges, material, report, suites_steps
    from emovoice.evaluation.suites import SUITES, Plan
    from emovoice.writing import put_between

    names = _chosen(args.only, SUITE_NAMES, "only")
    folders = {"teacher": args.teacher, "leak": args.corpus}
    if not args.only:
        names = [name for name in names if folders.get(name, "not needed") is not None]
        names = [name for name in names if name not in ONLY_WHEN_ASKED_FOR]
    judges.require(*dict.fromkeys(judge for name in names for judge in SUITES[name].judges))
    texts = material.held_out_texts(args.texts)
    prompts = material.prompts(args.prompts)
    engine = Engine(args.model)
    bench = _bench(engine, args, prompts)
    if not bench.steady:
        _tell("this model does not speak the same way twice: what it speaks now cannot be used again later")
    plan = Plan(
        bench, texts, material.bars(), prompts, emotions, args.model, args.teacher, lambda: engine.pipeline,
        args.corpus, lambda: engine,
    )  # fmt: skip
    result = _run_suites(plan, names, args)
    text = json.dumps(result, indent=1, ensure_ascii=False) if args.json else report.markdown(result)
    sys.stdout.write(text.rstrip("\n") + "\n")
    for path in args.into:
        if names == ["steps"]:
            put_between(path, suites_steps.MARKS, suites_steps.table(result))
        else:
            report.put_into(path, report.markdown(result))
    return 0 if report.passed(result, names) else _MISSED


def _run_suites(plan: Plan, names: Sequence[str], args: argparse.Namespace) -> dict[str, Any]:
    """Run suites one after the other, writing the report after each, so that none is lost."""
    from emovoice.evaluation import report
    from emovoice.evaluation.suites import SUITES

    result: dict[str, Any] = {}
    for name in names:
        plan.bench.failures.clear()
        started = time.perf_counter()
        rows = SUITES[name].run(plan)
        failures = list(plan.bench.failures.values())
        done = report.entry(rows, len(plan.texts), time.perf_counter() - started, failures)
        result = report.merge(args.work / "report.json", args.model, plan.bench.model, {name: done})
        report.write(result, args.work)
        _tell(
            f"{name}: {done['seconds']:.0f} s" + (f", {len(failures)} items not spoken" if failures else "")
        )
    return result


def _plot(args: argparse.Namespace, emotions: Sequence[str]) -> int:
    from emovoice import Engine
    from emovoice.evaluation import judges, material
    from emovoice.evaluation.plots import picture
    from emovoice.writing import check_target

    if args.out is None:
        raise InputError("a picture needs a file", field="out", remedy="Give one with -o picture.png.")
    out = check_target(args.out, args.force, (".png", ".svg", ".pdf"))
    judges.require("pitch")
    bench = _bench(Engine(args.model), args, material.prompts(args.prompts))
    picture(bench, args.text, args.voice, emotions, _PLOTTED, out)
    return 0


def _grid(args: argparse.Namespace, emotions: Sequence[str]) -> int:
    from emovoice import Engine
    from emovoice.evaluation import judges
    from emovoice.evaluation.plots import grid
    from emovoice.writing import check_target

    if args.out is None or args.source is None:
        raise InputError("a grid needs a recording and a file", field="out", value=args.out,
                         remedy="Give them with --source FILE -o picture.png.")
    outs = [args.out.with_name(f"{args.out.stem}-{emotion}{args.out.suffix}") for emotion in emotions]
    targets = [check_target(out, args.force, (".png", ".svg", ".pdf")) for out in outs]
    judges.require("pitch")
    engine = Engine(args.model)
    for emotion, target in zip(emotions, _progress(targets, "grid"), strict=True):
        grid(engine, args.source, emotion, target)
    return 0


def _bench(engine: Engine, args: argparse.Namespace, prompts: Sequence[Any]) -> Bench:
    from emovoice.evaluation.bench import Bench

    return Bench(
        engine,
        args.work,
        prompts,
        lambda prompt: engine.voice_from(prompt.path, name=prompt.voice, accent=prompt.accent),
        _progress,
        args.threads,
        args.fresh,
    )


def _tell(message: str) -> None:
    print(message, file=sys.stderr)


def _progress(items: Sequence[T], label: str) -> Iterable[T]:
    from tqdm import tqdm

    return tqdm(items, desc=label, file=sys.stderr, dynamic_ncols=True, leave=False, disable=None)


def _chosen(given: str | None, known: Sequence[str], option: str) -> list[str]:
    """Names out of "a,b", in the order in which they are known; all if none are given.

    Raises:
        InputError: an unknown name.
    """
    if given is None:
        return list(known)
    names = {name.strip() for name in given.split(",") if name.strip()}
    unknown = sorted(names - set(known))
    if unknown or not names:
        raise InputError(
            f"unknown name in --{option}", field=option, value=given, remedy=f"Use {', '.join(known)}."
        )
    return [name for name in known if name in names]
