"""A server on a real socket of this machine, in a thread of its own; the engine on stand-ins unless a test says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from emovoice.engine import Engine
from emovoice.serve.app import create_app
from emovoice.serve.run import listen, server, url_of
from emovoice.serve.service import Service
from emovoice.serve.settings import ServeLimits, Settings


@dataclass
class Live:
    """A running server."""

    url: str
    service: Service
    thread: threading.Thread
    stop: Callable[[], None]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Live]]:
    """Starts servers: `serve(engine, tokens=..., queue=...)`; settings and limits by name."""
    running: list[Live] = []

    def start(engine: Engine, **options: Any) -> Live:
        names = set(ServeLimits.__dataclass_fields__)
        limits = replace(ServeLimits(), **{key: value for key, value in options.items() if key in names})
        others = {key: value for key, value in options.items() if key not in names}
        defaults: dict[str, Any] = {"port": 0, "voices_dir": tmp_path / "voices", "watermark": False}
        settings = Settings(limits=limits, **(defaults | others))
        bound = listen("127.0.0.1", settings.port)
        app = create_app(engine, settings)
        running_server = server(app, limits)
        thread = threading.Thread(target=running_server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        until = time.monotonic() + 30
        while not running_server.started and time.monotonic() < until:
            time.sleep(0.01)

        def stop() -> None:
            running_server.should_exit = True
            thread.join(40)
            bound.close()

        running.append(Live(url_of(bound), app.state.service, thread, stop))
        return running[-1]

    yield start
    for live in running:
        live.stop()


@pytest.fixture
def live(serve: Callable[..., Live], fake_engine: Engine) -> Live:
    """A server with default limits on the stand-in engine."""
    return serve(fake_engine)
