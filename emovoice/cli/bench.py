"""`emovoice bench serve`: measure the server."""

from __future__ import annotations

import argparse
from typing import Any

from emovoice.cli import COMMANDS, OK, output
from emovoice.errors import InputError

_EPILOG = """\
examples:
  emovoice bench serve
  emovoice bench serve --clients 1,2,4,8 --requests 4 --json
  emovoice bench serve --into docs/server.md

Starts a server on a free port of this machine, speaks with several clients at once and prints the time to the first
byte and the seconds of speech they get in a second, with the machine's load beside. `emovoice serve` serves.
"""


def add(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "bench",
        help=COMMANDS["bench"],
        description="Measure the server: time to the first byte, throughput.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("serve",), help="what to measure")
    parser.add_argument("--clients", default="1,2,4,8", metavar="A,B", help="numbers of clients (default: 1,2,4,8)")
    parser.add_argument("--requests", type=int, default=3, metavar="N", help="of each client (default: 3)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="threads that compute (default: 1)")
    output.add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--into", metavar="FILE", help="put the table between its two lines in this file, too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure; see `emovoice bench --help`."""
    try:
        clients = [int(part) for part in args.clients.split(",")]
    except ValueError as error:
        raise InputError("clients are whole numbers", field="clients", value=args.clients, remedy="1,2,4,8") from error
    if not clients or min(clients) < 1 or max(clients) > 64 or not 1 <= args.requests <= 1000:
        raise InputError("1..64 clients and 1..1000 requests are possible", field="clients", value=args.clients)
    from emovoice.serve import bench
    from emovoice.writing import put_between

    with bench.served(args.model, args.device, args.workers) as url:
        rounds = list(bench.measure(url, clients, args.requests))
    table = bench.table(rounds, args.model, args.workers)
    if args.into:
        put_between(args.into, bench.MARKS, table)
    if args.json:
        output.print_json({"model": args.model, "workers": args.workers, "rounds": bench.record(rounds)})
    else:
        print(table)
    return OK
