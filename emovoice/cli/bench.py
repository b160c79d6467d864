"""`emovoice bench`: measure speaking, long texts, or the server."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import Any

from emovoice.cli import COMMANDS, OK, output
from emovoice.errors import InputError, ModelError

_EPILOG = """\
examples:
  emovoice bench speech
  emovoice bench speech --seconds 1,10 --rounds 5 --json
  emovoice bench speech --into docs/performance.md --plot docs/speech.svg --force
  emovoice bench long --minutes 0.5,1,2,5,10 --into docs/performance.md
  emovoice bench serve
  emovoice bench serve --clients 1,2,4,8 --requests 4 --json
  emovoice bench serve --into docs/server.md

speech: time to the first sound, real-time factor, what each stage takes, underruns, memory, beside `transformers` and
other engines that are installed (Kokoro, hibari, flite). long: cost of a second of speech and memory, for texts of up
to ten minutes; takes some minutes. serve: starts a server on a free port of this machine, speaks with several clients
at once and prints the time to the first byte and the seconds of speech they get in a second. All print the load.
"""


def add(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "bench",
        help=COMMANDS["bench"],
        description="Measure speaking (first sound, real-time factor, stages), long texts (cost, memory) or the server "
                    "(first byte, throughput).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("what", nargs="?", choices=("speech", "long", "serve"), help="what to measure")
    parser.add_argument("--clients", default="1,2,4,8", metavar="A,B", help="serve: how many (default: 1,2,4,8)")
    parser.add_argument("--requests", type=int, default=3, metavar="N", help="serve: of each client (default: 3)")
    parser.add_argument("--workers", type=int, metavar="N", help="serve: threads that compute (default: as of serve)")
    parser.add_argument("--seconds", default="1,3,10,30", metavar="A,B", help="speech: lengths (default: 1,3,10,30)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="speech: times each (default: 3)")
    parser.add_argument("--minutes", default="0.5,1,2,5,10", metavar="A,B", help="long: lengths (default: %(default)s)")
    output.add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--into", metavar="FILE", help="put the table between its two lines in this file, too")
    parser.add_argument("--plot", metavar="FILE", help="speech, long: draw it to .png, .svg or .pdf, too")
    parser.add_argument("--force", action="store_true", help="overwrite the picture")
    parser.set_defaults(run=run, show_help=parser.print_help)


def run(args: argparse.Namespace) -> int:
    """Measure; see `emovoice bench --help`."""
    if args.what is None:
        args.show_help()
        return OK
    if args.plot:
        _check_plot(args)
    measure = {"speech": _speech, "long": _long, "serve": _serve}[args.what]
    table, record, marks = measure(args)
    if args.into:
        from emovoice.writing import put_between

        put_between(args.into, marks, table)
    if args.plot:
        _draw(args, record)
    if args.json:
        output.print_json(record)
    else:
        print(table)
    return OK


def _check_plot(args: argparse.Namespace) -> None:
    """Before minutes of measuring."""
    from emovoice.testing.bench_plots import ENDINGS
    from emovoice.writing import check_target

    if args.what == "serve":
        raise InputError("there is no picture of the server", field="plot", value=args.plot,
                         remedy="Use --plot with speech or long.")
    check_target(args.plot, args.force, ENDINGS)
    if find_spec("matplotlib") is None:
        raise ModelError("pictures need matplotlib", remedy="pip install 'emovoice[judges]'.")


def _draw(args: argparse.Namespace, record: dict[str, Any]) -> None:
    from emovoice.testing import bench_plots
    from emovoice.writing import check_target

    draw = bench_plots.speech if args.what == "speech" else bench_plots.long
    draw(record, check_target(args.plot, args.force, bench_plots.ENDINGS))


def _serve(args: argparse.Namespace) -> tuple[str, dict[str, Any], tuple[str, str]]:
    clients = [int(number) for number in _numbers(args.clients, "clients", 64)]
    _check_count(args.requests, "requests")
    from emovoice.serve import bench
    from emovoice.serve.settings import usual_workers

    workers = usual_workers(args.model, args.device) if args.workers is None else args.workers
    with bench.served(args.model, args.device, workers) as url:
        rounds = list(bench.measure(url, clients, args.requests))
    record = {"model": args.model, "workers": workers, "rounds": bench.record(rounds)}
    return bench.table(rounds, args.model, workers), record, bench.MARKS


def _speech(args: argparse.Namespace) -> tuple[str, dict[str, Any], tuple[str, str]]:
    seconds = _numbers(args.seconds, "seconds", 3600)
    _check_count(args.rounds, "rounds")
    from emovoice.testing import bench_speech

    found = bench_speech.measure(args.model, args.device, seconds, args.rounds)
    return bench_speech.table(found), found, bench_speech.MARKS


def _long(args: argparse.Namespace) -> tuple[str, dict[str, Any], tuple[str, str]]:
    minutes = _numbers(args.minutes, "minutes", 600, least=0.05)
    from emovoice.testing import bench_long

    found = bench_long.measure(args.model, args.device, minutes)
    return bench_long.table(found), found, bench_long.MARKS


def _numbers(text: str, field: str, most: float, least: float = 1) -> list[float]:
    """Numbers least..most out of "1,2,4". Raises InputError."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{field} are numbers with commas", field=field, value=text, remedy="1,2,4,8") from error
    if not all(least <= number <= most for number in found):
        raise InputError(f"{field} lie in {least:g}..{most:g}", field=field, value=text)
    return found


def _check_count(count: int, field: str) -> None:
    if not 1 <= count <= 1000:
        raise InputError("1..1000 are possible", field=field, value=count)
