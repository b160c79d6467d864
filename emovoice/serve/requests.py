"""What may stand in a request, checked: pydantic models, and their errors in the API's shape."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
)

from emovoice.emotion.path import waypoints
from emovoice.errors import InputError
from emovoice.serve.failures import ApiError
from emovoice.serve.settings import ServeLimits

OPENAI_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
"""Model names that clients send by themselves; they all mean the model that is loaded."""

Number = StrictFloat | StrictInt
Unit = Annotated[Number, Field(ge=0, le=1)]
Seconds = Annotated[Number, Field(ge=0, le=14400, allow_inf_nan=False)]
ResponseFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


def _usable(curve: list[tuple[Number, str, Number]]) -> list[tuple[Number, str, Number]]:
    try:
        waypoints(curve, None)
    except InputError as error:
        raise ValueError(str(error)) from error
    return curve


Curve = Annotated[
    list[tuple[Seconds, StrictStr, Unit]], Field(min_length=1, max_length=1000), AfterValidator(_usable)
]
"""The emotion over time: [[seconds, emotion, intensity], ...]."""


class VoiceRef(BaseModel):
    """A voice by id, the other way in which the API names one."""

    id: StrictStr


class SpeechRequest(BaseModel):
    """The body of `POST /v1/audio/speech`; the fields after `stream_format` are emovoice's own.

    Attributes:
        curve: the emotion over time, instead of `emotion`.
        accent: how the text is read; None for the voice's own.
    """

    model_config = ConfigDict(extra="allow")

    input: StrictStr
    model: StrictStr | None = None
    voice: StrictStr | VoiceRef = "default"
    instructions: StrictStr | None = None
    response_format: ResponseFormat = "mp3"
    speed: Annotated[Number, Field(ge=0.25, le=4)] = 1.0
    stream_format: Literal["audio", "sse"] = "audio"
    emotion: StrictStr | list[Number] | dict[str, Number] | None = None
    intensity: Unit | None = None
    duration_s: Annotated[Number, Field(gt=0, le=3600, allow_inf_nan=False)] | None = None
    seed: Annotated[StrictInt, Field(ge=0, le=2**63 - 1)] = 0
    curve: Curve | None = None
    accent: Literal["us", "gb"] | None = None

    @property
    def voice_name(self) -> str:
        """The voice as text, however it was named."""
        return self.voice if isinstance(self.voice, str) else self.voice.id

    @property
    def unknown(self) -> tuple[str, ...]:
        """Fields that mean nothing here."""
        return tuple(sorted(self.model_extra or ()))


class ConvertRequest(BaseModel):
    """The fields of `POST /v1/audio/convert` beside the recording.

    Attributes:
        curve: as in `SpeechRequest`, written as JSON.
    """

    model_config = ConfigDict(extra="allow")

    model: str | None = None
    voice: str | None = None
    emotion: str | None = None
    intensity: Annotated[float, Field(ge=0, le=1)] | None = None
    curve: Json[Curve] | None = None
    instructions: str | None = None
    duration_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    response_format: ResponseFormat = "wav"


def parse_speech(body: bytes, limits: ServeLimits) -> SpeechRequest:
    """A speech request from JSON. Raises ApiError (400)."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "the body is not JSON", code="invalid_json") from error
    if not isinstance(given, dict):
        raise ApiError(400, "the body must be a JSON object", code="invalid_json")
    request = _validated(SpeechRequest, given)
    _check_length(request.input, limits.text_chars, "input")
    _check_length(request.instructions, limits.instruction_chars, "instructions")
    if request.speed != 1 and request.duration_s is not None:
        raise ApiError(400, "speed and duration_s are both given", param="duration_s", code="conflict")
    _check_one_emotion(request)
    return request


def parse_convert(fields: dict[str, Any], limits: ServeLimits) -> ConvertRequest:
    """A conversion from the fields of a form. Raises ApiError (400)."""
    request = _validated(ConvertRequest, {key: value for key, value in fields.items() if value != ""})
    _check_length(request.instructions, limits.instruction_chars, "instructions")
    _check_one_emotion(request)
    return request


def check_model(asked: str | None, served: str) -> None:
    """Raises ApiError (404) for a model that is not the one that is loaded; nothing is ever loaded by request."""
    if asked is None or asked in (served, "emovoice") or asked.startswith(OPENAI_MODELS):
        return
    message = f"this server speaks with the model '{served}' only"
    raise ApiError(404, message, param="model", code="model_not_found")


def _validated(kind: type[Any], given: dict[str, Any]) -> Any:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        param = str(first["loc"][0]) if first["loc"] else None
        said = first["msg"].removeprefix("Value error, ")
        what = "it is missing" if first["type"] == "missing" else said[:1].lower() + said[1:]
        raise ApiError(400, f"{param or 'the body'}: {what}", param=param, code="invalid_value") from error


def _check_one_emotion(request: SpeechRequest | ConvertRequest) -> None:
    if request.curve is not None and request.emotion is not None:
        raise ApiError(400, "emotion and curve are both given", param="curve", code="conflict")


def _check_length(text: str | None, most: int, param: str) -> None:
    if text is not None and len(text) > most:
        message = f"{param} has {len(text)} characters; at most {most} are taken"
        raise ApiError(400, message, param=param, code="string_above_max_length")
