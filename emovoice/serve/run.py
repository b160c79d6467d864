"""Listening: uvicorn around an application, with connections that say nothing let go and a graceful stop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from emovoice.errors import InputError
from emovoice.serve.settings import ServeLimits, Settings

if TYPE_CHECKING:
    from emovoice.engine import Engine

log = logging.getLogger(__name__)

HEADERS_S = 20.0
"""Seconds that a new connection has to send the head of its first request."""

STOP_S = 30
"""Seconds that requests have to end when the server stops."""


class ImpatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, closing connections that never send a whole request head."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        asyncio.get_running_loop().call_later(HEADERS_S, self._check_head)

    def _check_head(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


def load_engine(settings: Settings) -> Engine:
    """The engine with the server's limits, warm: it has spoken once, so that the first client does not wait."""
    import torch

    from emovoice import watermark
    from emovoice.engine import Engine
    from emovoice.limits import Limits
    from emovoice.pipelines import VectorPipeline

    limits = settings.limits
    if settings.device == "cpu":
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // limits.workers))  # before there are any workers
    taken = Limits(limits.text_chars, limits.reference_s, limits.reference_bytes, limits.convert_s)
    engine = Engine(settings.model, settings.device, limits=taken)
    if isinstance(engine.pipeline, VectorPipeline):
        engine.pipeline.prepare()
    spoken = engine.synthesize("Ready.")
    if settings.watermark and watermark.available():
        watermark.mark(spoken.samples, spoken.rate)
    return engine


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises InputError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host.strip("[]"), port))
    except (OSError, OverflowError) as error:
        found.close()
        remedy = "Use another with --port, or --host."
        address = f"{host}:{port}"
        raise InputError(f"cannot listen there: {error}", field="address", value=address, remedy=remedy) from error
    return found


def url_of(bound: socket.socket) -> str:
    """Where a bound socket is reached."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Stoppable(uvicorn.Server):
    """uvicorn's server, which first tells the application to let go of connections that would never end by themselves:
    those by which open pages show that they are there."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for let_go in getattr(self.config.app.state, "let_go", ()):  # type: ignore[union-attr]
            let_go()
        await super().shutdown(sockets)


def server(app: Any, limits: ServeLimits) -> uvicorn.Server:
    """A server that is not running yet: `server(...).run(sockets=[listen(...)])`."""
    return Stoppable(
        uvicorn.Config(
            app,
            http=ImpatientProtocol,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=True,
            limit_concurrency=limits.connections,
            timeout_graceful_shutdown=STOP_S,
            timeout_keep_alive=10,
            lifespan="on",
        )
    )
