"""`python -m app`: what `emovoice demo` starts."""

from __future__ import annotations

import argparse
import json
import sys

from emovoice.cli import output
from emovoice.cli.serve import add_server_options, settings_of
from emovoice.errors import EmovoiceError
from emovoice.serve import tokens


def main() -> int:
    """Serve the page until stopped."""
    parser = argparse.ArgumentParser(prog="emovoice demo")
    add_server_options(parser, port=7860)
    parser.add_argument("--open", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        tokens.check_reach(args.host, (), args.open)
        settings = settings_of(args)
        from emovoice.serve.run import listen, load_engine, server, url_of

        with listen(settings.host, settings.port) as bound:
            engine = load_engine(settings)
            from app.page import create

            app = create(engine, settings)
            if args.json:
                print(json.dumps({"url": url_of(bound), "model": engine.pipeline.name}), flush=True)
            else:
                output.note(f"the page is at {url_of(bound)}; Ctrl-C stops it")
            server(app, settings.limits).run(sockets=[bound])
    except EmovoiceError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
