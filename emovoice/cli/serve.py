"""`emovoice serve`: the speech API over HTTP."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from emovoice.cli import COMMANDS, OK, output
from emovoice.errors import InputError

if TYPE_CHECKING:
    from emovoice.serve.settings import ServeLimits, Settings

_EPILOG = """\
examples:
  emovoice serve
  emovoice serve --port 8000 --workers 2
  EMOVOICE_TOKENS=$(cat token) emovoice serve --host 0.0.0.0
  emovoice serve --limit text_chars=1000 --limit queue=8

  curl http://127.0.0.1:8880/v1/audio/speech -H 'Content-Type: application/json' \\
       -d '{"input": "You did what?", "voice": "default", "emotion": "anger", "response_format": "wav"}' -o what.wav

Any client of the API works: OpenAI(base_url="http://127.0.0.1:8880/v1", api_key="none"). It listens on this machine
only; beyond it tokens are needed (the variable EMOVOICE_TOKENS, or --token-file). Ctrl-C or SIGTERM lets requests that
have begun end. See docs/server.md. `emovoice say` speaks without a server.
"""


def add(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "serve",
        help=COMMANDS["serve"],
        description="Serve the speech API over HTTP.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_server_options(parser, port=8880)
    parser.add_argument("--token-file", metavar="FILE", help="bearer tokens, one a line")
    parser.add_argument("--open", action="store_true", help="listen beyond this machine without tokens")
    parser.add_argument("--json", action="store_true", help="print where it listens as a JSON object")
    parser.set_defaults(run=run)


def add_server_options(parser: argparse.ArgumentParser, port: int) -> None:
    """The options that the server and the page share."""
    parser.add_argument("--host", default="127.0.0.1", metavar="H", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=port, metavar="N", help=f"0 takes a free one (default: {port})")
    output.add_model_options(parser)
    parser.add_argument("--workers", type=int, metavar="N",
                        help="threads that compute (default: a core each, at most 4; large models: 1, or 4 on CUDA)")
    parser.add_argument("--voices", metavar="DIR", help="where uploaded voices are kept")
    parser.add_argument("--no-watermark", action="store_true", help="no inaudible mark; the metadata stays")
    parser.add_argument("--limit", action="append", default=[], metavar="NAME=N", help="see docs/server.md; repeatable")


def run(args: argparse.Namespace) -> int:
    """Serve until stopped; see `emovoice serve --help`."""
    from emovoice.serve import tokens

    found = tokens.gather(args.token_file)
    tokens.check_reach(args.host, found, args.open)
    settings = settings_of(args, found)
    from emovoice.serve.app import create_app
    from emovoice.serve.run import listen, load_engine, server, url_of

    with listen(settings.host, settings.port) as bound:
        app = create_app(load_engine(settings), settings)
        if args.json:
            print(json.dumps({"url": url_of(bound), "model": app.state.service.model}), flush=True)
        else:
            output.note(f"{url_of(bound)}/v1 speaks with the model '{app.state.service.model}'; Ctrl-C stops it")
        server(app, settings.limits).run(sockets=[bound])
    return OK


def settings_of(args: argparse.Namespace, found: tuple[str, ...] = ()) -> Settings:
    """Settings from the options. Raises InputError for a limit that does not exist or is no positive number."""
    from pathlib import Path

    from emovoice.serve.settings import Settings, default_voices_dir, usual_workers

    return Settings(
        model=args.model,
        device=args.device,
        host=args.host,
        port=args.port,
        tokens=found,
        voices_dir=Path(args.voices) if args.voices else default_voices_dir(),
        watermark=not args.no_watermark,
        limits=_limits(args.limit, args.workers, usual_workers(args.model, args.device)),
    )


def _limits(given: list[str], workers: int | None, usual: int) -> ServeLimits:
    from emovoice.serve.settings import ServeLimits

    kinds = {field.name: type(getattr(ServeLimits(), field.name)) for field in fields(ServeLimits)}
    found: dict[str, Any] = {"workers": usual}
    for text in [*given, *([f"workers={workers}"] if workers is not None else [])]:
        name, _, value = text.partition("=")
        remedy = f"Known are {', '.join(kinds)}; write NAME=NUMBER."
        if name not in kinds:
            raise InputError("there is no such limit", field="limit", value=text, remedy=remedy)
        try:
            found[name] = kinds[name](value)
        except ValueError as error:
            raise InputError("a limit needs a number", field="limit", value=text, remedy=remedy) from error
        if not 0 < found[name] < float("inf") and not (name == "queue" and found[name] == 0):
            raise InputError("a limit must be above 0", field="limit", value=text, remedy=remedy)
    return ServeLimits(**found)
