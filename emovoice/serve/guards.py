"""What stands in front of the routes: who may ask from where, how large, and how slowly. Plain ASGI middleware."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import anyio

from emovoice.serve import tokens
from emovoice.serve.failures import ApiError
from emovoice.serve.settings import ServeLimits

log = logging.getLogger(__name__)

Scope = dict[str, Any]
App = Callable[..., Any]
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class Guard:
    """Checks every request before its route sees it.

    - Host: a server on loopback answers to loopback names only, so that a web page cannot reach it through a name of
      its own that points here (DNS rebinding).
    - Origin: a page of another site is refused; CORS is off.
    - Body: counted as it arrives, and given a time to arrive in.
    - Answer: a client that stops reading is let go.

    Args:
        app: what is guarded.
        host: where the server listens.
        limits: sizes and times.
        unlimited: beginnings of paths whose bodies are limited elsewhere.
    """

    def __init__(self, app: App, host: str, limits: ServeLimits, unlimited: Iterable[str] = ()) -> None:
        self._app, self._limits = app, limits
        self._local_only = tokens.is_loopback(host)
        self._unlimited = tuple(unlimited)

    async def __call__(self, scope: Scope, receive: App, send: App) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        error = self._refusal(scope, headers)
        if error is not None:
            await _answer(scope, receive, send, error)
            return
        if scope["type"] == "http" and not scope["path"].startswith(self._unlimited or ("\0",)):
            receive = self._counted(receive)
        await self._app(scope, receive, self._impatient(send))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> ApiError | None:
        name = _host_name(headers.get("host", ""))
        if self._local_only and name not in LOCAL_NAMES:
            return ApiError(403, "this server answers on this machine only", code="wrong_host")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            return ApiError(403, "requests from pages of other sites are refused", code="wrong_origin")
        length = headers.get("content-length", "0")
        limited = not scope["path"].startswith(self._unlimited or ("\0",))
        if limited and length.isdigit() and int(length) > self._limits.request_bytes:
            return _too_large(self._limits.request_bytes)
        return None

    def _counted(self, receive: App) -> App:
        until = time.monotonic() + self._limits.upload_s
        seen, complete = 0, False

        async def counted() -> Any:
            nonlocal seen, complete
            if complete:
                return await receive()  # waits for the client to go away; that may take as long as it likes
            try:
                with anyio.fail_after(max(0.0, until - time.monotonic())):
                    message = await receive()
            except TimeoutError as error:
                what = f"the request took longer than {self._limits.upload_s:g} s to arrive"
                raise ApiError(408, what, code="too_slow", headers={"Connection": "close"}) from error
            seen += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if seen > self._limits.request_bytes:
                raise _too_large(self._limits.request_bytes)
            return message

        return counted

    def _impatient(self, send: App) -> App:
        async def impatient(message: Any) -> None:
            with anyio.fail_after(self._limits.stall_s):
                await send(message)

        return impatient


def _host_name(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _too_large(most: int) -> ApiError:
    message = f"the request is larger than {most / 2**20:g} MiB"
    return ApiError(413, message, code="request_too_large", headers={"Connection": "close"})


async def _answer(scope: Scope, receive: App, send: App, error: ApiError) -> None:
    from starlette.responses import JSONResponse

    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await JSONResponse(error.body(), error.status, error.headers)(scope, receive, send)
