"""Errors as the API's clients expect them: `{"error": {"message", "type", "param", "code"}}` and a status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emovoice import errors

INVALID = "invalid_request_error"


class ApiError(Exception):
    """An answer that is an error.

    Args:
        status: the HTTP status.
        message: for people; holds no path of the server and no text of another request.
        kind: the API's error type.
        param: the field that was wrong, or None.
        code: a word for programs, or None.
        headers: headers that go with it.
    """

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = INVALID,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.param, self.code = status, message, kind, param, code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


_CODES: dict[type[errors.EmovoiceError], tuple[int, str]] = {
    errors.InputError: (400, "invalid_value"),
    errors.AudioError: (400, "invalid_audio"),
    errors.LengthError: (400, "invalid_length"),
}

_PARAMS = {"text": "input", "length": "input", "timbre": "voice", "source": "file", "duration": "duration_s",
           "instruction": "instructions"}  # fmt: skip
"""What the engine calls a field, and what the API calls it."""

_HIDDEN_FIELDS = ("path", "source", "folder")


def of(error: BaseException) -> ApiError:
    """The answer for any error; what is not the client's doing says nothing about the inside of the server."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, errors.ModelError) and error.field == "module":  # an extra that is not installed
        return ApiError(501, str(error), "server_error", code="not_implemented")
    kind = next((kind for kind in _CODES if isinstance(error, kind)), None)
    if kind is None or not isinstance(error, errors.EmovoiceError):
        return ApiError(500, "the server failed; its log says why", "server_error", code="internal_error")
    status, code = _CODES[kind]
    field = (error.field or "").split("[")[0].split(" ")[0]
    # A path is the server's own; the client sent a file.
    message = " ".join((f"{error.what}. {error.remedy or ''}" if field in _HIDDEN_FIELDS else str(error)).split())
    return ApiError(status, message, param="file" if field in _HIDDEN_FIELDS else _PARAMS.get(field, field) or None,
                    code=code)  # fmt: skip


def not_found(what: str, code: str, param: str | None = None) -> ApiError:
    """404 that is the same for what does not exist and for what is another's."""
    return ApiError(404, f"there is no such {what}", param=param, code=code)


def busy(retry_after_s: int) -> ApiError:
    """429: the queue is full."""
    return ApiError(
        429,
        f"the server is busy; try again in {retry_after_s} s",
        "rate_limit_error",
        code="queue_full",
        headers={"Retry-After": str(retry_after_s)},
    )


def stopping() -> ApiError:
    """503: no new requests are taken."""
    return ApiError(503, "the server is stopping", "server_error", code="stopping", headers={"Retry-After": "5"})
