"""The routes: an ASGI application around one engine."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from emovoice.engine import Engine
from emovoice.serve import failures, tokens, work
from emovoice.serve.encoders import FORMATS
from emovoice.serve.failures import ApiError
from emovoice.serve.guards import Guard
from emovoice.serve.metrics import CONTENT_TYPE
from emovoice.serve.requests import OPENAI_MODELS, check_model, parse_convert, parse_speech
from emovoice.serve.service import Service, as_answer
from emovoice.serve.settings import Settings
from emovoice.serve.voices import check_accent, check_consent, check_name
from emovoice.voice import Voice, voices

log = logging.getLogger(__name__)

_FORM_FIELDS = 20
_FORM_FIELD_BYTES = 64 * 1024
_COPY_BYTES = 2**20

Endpoint = Callable[[Request], Awaitable[Response]]


# ---- routes ------------------------------------------------------------------------------------------------------


async def speech(service: Service, request: Request) -> Response:
    """`POST /v1/audio/speech`"""
    owner = request.state.owner
    asked = parse_speech(await request.body(), service.limits)
    check_model(asked.model, service.model)
    voice, said = service.voices.get(asked.voice_name, owner)
    sse = asked.stream_format == "sse"
    said += tuple(f"the field '{name[:40]}' means nothing here" for name in asked.unknown[:10])
    chunks = work.speak(service.engine, asked, voice)
    opened = service.open(owner, asked.response_format, chunks, "speech", sse, said)
    media = "text/event-stream" if sse else FORMATS[asked.response_format].media_type
    return await _stream(request, opened, media)


async def convert(service: Service, request: Request) -> Response:
    """`POST /v1/audio/convert`"""
    owner = request.state.owner
    async with request.form(max_files=1, max_fields=_FORM_FIELDS, max_part_size=_FORM_FIELD_BYTES) as form:
        asked = parse_convert({key: value for key, value in form.items() if isinstance(value, str)}, service.limits)
        check_model(asked.model, service.model)
        voice, said = service.voices.get(asked.voice, owner) if asked.voice else (None, ())
        path, _ = await _saved(_upload(form.get("file"), "file"))
    chunks = work.convert(service.engine, asked, path, voice)
    forget = partial(_forget, path)
    opened = service.open(owner, asked.response_format, chunks, "conversion", warnings=said, also=forget)
    return await _stream(request, opened, FORMATS[asked.response_format].media_type)


async def list_models(service: Service, request: Request) -> Response:
    """`GET /v1/models`"""
    return JSONResponse({"object": "list", "data": [_model(service, id) for id in (service.model, *OPENAI_MODELS)]})


async def show_model(service: Service, request: Request) -> Response:
    """`GET /v1/models/{id}`"""
    id = request.path_params["id"]
    check_model(id, service.model)
    return JSONResponse(_model(service, id))


async def list_voices(service: Service, request: Request) -> Response:
    """`GET /v1/audio/voices`: those that come with emovoice, then the caller's own."""
    shown = [{"object": "audio.voice", "id": name, "name": name, "preset": True} for name in voices()]
    shown += [stored.shown() for stored in service.voices.list(request.state.owner)]
    # `data` as the API's lists have it, `voices` as the clients of speech servers look for it.
    return JSONResponse({"object": "list", "data": shown, "voices": [{k: v[k] for k in ("id", "name")} for v in shown]})


async def add_voice(service: Service, request: Request) -> Response:
    """`POST /v1/audio/voices`: a recording, a name, and the speaker's consent."""
    owner = request.state.owner
    async with request.form(max_files=1, max_fields=_FORM_FIELDS, max_part_size=_FORM_FIELD_BYTES) as form:
        consent, name = check_consent(form.get("consent")), check_name(form.get("name"))
        accent = check_accent(form.get("accent"))
        description = str(form.get("speaker_description") or form.get("description") or "")[:500]
        service.voices.check_room(owner, name)
        path, digest = await _saved(_upload(form.get("audio_sample") or form.get("file"), "audio_sample"))
    try:
        made = await service.run(lambda: service.engine.voice_from(path, name=name, accent=accent))
    finally:
        _forget(path)
    # Where it came from is the store's record; the temporary file's name says nothing.
    voice = Voice(name, made.timbre, made.emotion, made.accent, made.model, "uploaded recording", made.warnings)
    add = partial(service.voices.add, voice, owner, consent, digest, description)
    stored = await asyncio.to_thread(add)
    return JSONResponse(stored.shown())


async def delete_voice(service: Service, request: Request) -> Response:
    """`DELETE /v1/audio/voices/{id}`"""
    id = request.path_params["id"]
    await asyncio.to_thread(service.voices.delete, id, request.state.owner)
    return JSONResponse({"id": id, "object": "audio.voice.deleted", "deleted": True})


async def show_report(service: Service, request: Request) -> Response:
    """`GET /v1/audio/reports/{id}`: what could not be said in the headers, since it was not known yet."""
    return JSONResponse(asdict(service.report(request.path_params["id"], request.state.owner)))


async def health(service: Service, request: Request) -> Response:
    """`GET /health`; open to all."""
    status = "stopping" if service.stopping else "ok"
    return JSONResponse({"status": status, "model": service.model}, 503 if service.stopping else 200)


async def show_metrics(service: Service, request: Request) -> Response:
    """`GET /metrics`"""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def create_app(
    engine: Engine, settings: Settings, *, more: list[BaseRoute] | None = None, unlimited: tuple[str, ...] = ()
) -> Starlette:
    """The application; its `state.service` is the `Service`.

    Args:
        engine: loaded, with the limits for recordings that shall hold.
        more: routes after these.
        unlimited: paths whose bodies are limited by what serves them.
    """
    service = Service(engine, settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        service.stopping = True
        await asyncio.to_thread(service.batcher.close)

    def route(path: str, method: str, endpoint: Callable[[Service, Request], Awaitable[Response]], public: bool = False
              ) -> Route:  # fmt: skip
        return Route(path, _guarded(service, endpoint, path, public), methods=[method])

    app = Starlette(
        routes=[
            route("/v1/audio/speech", "POST", speech),
            route("/v1/audio/convert", "POST", convert),
            route("/v1/models", "GET", list_models),
            route("/v1/models/{id}", "GET", show_model),
            route("/v1/audio/voices", "GET", list_voices),
            route("/v1/audio/voices", "POST", add_voice),
            route("/v1/audio/voices/{id}", "DELETE", delete_voice),
            route("/v1/audio/reports/{id}", "GET", show_report),
            route("/health", "GET", health, public=True),
            route("/metrics", "GET", show_metrics),
            *(more or []),
        ],
        middleware=[Middleware(Guard, host=settings.host, limits=settings.limits, unlimited=unlimited)],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error, Exception: _failure},
        lifespan=lifespan,
    )
    app.state.service = service
    return app


# ---- helpers -----------------------------------------------------------------------------------------------------


def _guarded(
    service: Service, endpoint: Callable[[Service, Request], Awaitable[Response]], path: str, public: bool
) -> Endpoint:
    """The endpoint behind the token check, with its answers counted."""

    async def call(request: Request) -> Response:
        status = 499  # the client went away
        try:
            header = request.headers.get("authorization")
            request.state.owner = tokens.ANYONE if public else tokens.owner(header, service.settings.tokens)
            response = await endpoint(service, request)
            status = response.status_code
            return response
        except Exception as error:
            answer = as_answer(error) if not isinstance(error, (HTTPException, ClientDisconnect)) else None
            status = answer.status if answer else getattr(error, "status_code", 499)
            if answer is not None and answer.status == 500:
                log.exception("a request failed")
            if answer is None:
                raise
            raise answer from error
        finally:
            service.metrics.requests.labels(path, str(status)).inc()

    return call


async def _stream(request: Request, opened: work.Work, media: str) -> Response:
    """The answer, as soon as its first bytes are there: until then an error can still have its own status."""
    first, error = await _first(request, opened)
    if error is not None:
        raise as_answer(error)
    headers = opened.report.headers() | {"Cache-Control": "no-store"}
    return StreamingResponse(_body(opened, first), media_type=media, headers=headers)


async def _first(request: Request, opened: work.Work) -> tuple[bytes | None, BaseException | None]:
    """The first of the bytes, or ClientDisconnect when the client goes before it."""
    ready = asyncio.ensure_future(opened.outbox.get())
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((ready, gone), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            raise ClientDisconnect
        return ready.result()
    except BaseException:
        opened.job.cancelled.set()
        raise
    finally:
        ready.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _body(opened: work.Work, first: bytes | None) -> AsyncIterator[bytes]:
    """The bytes as they come. An error ends the connection without its proper end, so that nobody takes a part for
    the whole."""
    try:
        data: bytes | None = first
        while data is not None:
            yield data
            data, error = await opened.outbox.get()
            if error is not None and opened.sse:
                yield work.event({"type": "error", **as_answer(error).body()})
            elif error is not None:
                raise as_answer(error)
    finally:
        opened.job.cancelled.set()


def _model(service: Service, id: str) -> dict[str, Any]:
    alias = {} if id == service.model else {"alias_of": service.model}
    return {"id": id, "object": "model", "created": service.started, "owned_by": "emovoice", **alias}


def _upload(found: object, param: str) -> UploadFile:
    if not isinstance(found, UploadFile):
        raise ApiError(400, f"a recording is needed: send a file as `{param}`", param=param, code="missing_file")
    return found


async def _saved(upload: UploadFile) -> tuple[str, str]:
    """The upload in a file of our own naming, and the SHA-256 of its bytes. Starlette has counted and spooled it."""
    digest = hashlib.sha256()
    descriptor, path = tempfile.mkstemp(prefix="emovoice-upload-")
    with os.fdopen(descriptor, "wb") as file:
        while block := await upload.read(_COPY_BYTES):
            digest.update(block)
            await asyncio.to_thread(file.write, block)
    return path, digest.hexdigest()


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


async def _api_error(_: Request, error: Exception) -> Response:
    answer = failures.of(error)
    return JSONResponse(answer.body(), answer.status, answer.headers)


async def _http_error(_: Request, error: Exception) -> Response:
    """Starlette's own: unknown routes, wrong methods, forms that are none."""
    assert isinstance(error, HTTPException)
    answer = ApiError(error.status_code, str(error.detail), code={404: "unknown_url", 405: "wrong_method"}.get(
        error.status_code, "invalid_request"), headers=error.headers)  # fmt: skip
    return JSONResponse(answer.body(), answer.status, answer.headers)


async def _failure(_: Request, error: Exception) -> Response:
    answer = failures.of(error)
    return JSONResponse(answer.body(), answer.status, answer.headers)
