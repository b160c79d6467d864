"""A request on its way: the model's chunks, marked and encoded in a worker, handed to the event loop."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from emovoice import provenance
from emovoice.emotion import names
from emovoice.engine import Engine
from emovoice.errors import InputError, LengthError, ModelError
from emovoice.serve.batching import Job
from emovoice.serve.encoders import FORMATS, Encoder, encoder
from emovoice.serve.failures import ApiError
from emovoice.serve.requests import ConvertRequest, SpeechRequest
from emovoice.voice import Voice
from emovoice.watermark import Marker

if TYPE_CHECKING:
    from emovoice.conversion.stream import Conversion
    from emovoice.speech import Speech

log = logging.getLogger(__name__)

# A little inside of what the engine accepts, since its own estimate is rounded.
SLOWEST_SPEED, FASTEST_SPEED = 0.34, 2.4


@dataclass
class Report:
    """What is known about a finished request; kept for a while under its id.

    Attributes:
        mark: how the sound is marked: "metadata, watermark", "metadata", "watermark" or "none: why".
    """

    id: str
    mark: str = ""
    voice: str = ""
    format: str = ""
    sample_rate: int = 0
    duration_s: float = 0.0
    first_chunk_s: float | None = None
    compute_s: float | None = None
    finished: bool = False
    warnings: list[str] = field(default_factory=list)

    def headers(self) -> dict[str, str]:
        """What is known when the first bytes leave."""
        return {
            "X-Request-Id": self.id,
            "X-Emovoice-Mark": self.mark,
            "X-Emovoice-Voice": json.dumps(self.voice)[1:-1],
            "X-Emovoice-Sample-Rate": str(self.sample_rate),
            "X-Emovoice-Warnings": json.dumps(self.warnings),
        }


class Outbox:
    """From a worker's thread to the event loop. Never blocks: a slow reader must not hold a worker up."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[bytes | None, BaseException | None]] = asyncio.Queue()

    def put(self, data: bytes | None, error: BaseException | None = None) -> None:
        """Bytes; or None for the end, with the error if there is one."""
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, (data, error))
        except RuntimeError:  # the loop is closed: nobody waits any more
            pass

    async def get(self) -> tuple[bytes | None, BaseException | None]:
        """The next of what was put."""
        return await self._queue.get()


class Leveller:
    """Keeps samples within -1..1 without clipping: from the first chunk that is too loud on, all is made quieter."""

    def __init__(self) -> None:
        self.gain, self.peak = 1.0, 0.0

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """The chunk `(N,)` at the gain that it and all before it allow."""
        peak = float(np.abs(samples).max(initial=0.0))
        self.peak = max(self.peak, peak)
        self.gain = min(self.gain, 1.0 / peak if peak > 1 else 1.0)
        return samples if self.gain == 1 else samples * np.float32(self.gain)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What there is to say about it."""
        if self.gain == 1:
            return ()
        quieter_db = -20 * np.log10(self.gain)
        return (f"the loudest sample was {self.peak:.2f}; from there on it is {quieter_db:.1f} dB quieter",)


class Work:
    """One request for sound: what to speak, and what becomes of its chunks.

    Args:
        report: holds the `response_format`; the rest is filled in.
        chunks: opens the chunks, in a worker: an iterable with `rate`, `voice` and `warnings`.
        sse: send events with base64 of the sound instead of the sound.
        tags: the mark for the container.
        with_watermark: mark the samples too.
        deadline_s: seconds from now until it is given up.
        on_end: called with the report and the error, in the worker.
    """

    def __init__(
        self,
        report: Report,
        chunks: Callable[[Report], Any],
        *,
        sse: bool,
        tags: Mapping[str, str],
        with_watermark: bool,
        deadline_s: float,
        on_end: Callable[[Report, BaseException | None], None],
    ) -> None:
        self.report, self.outbox = report, Outbox()
        self._chunks, self.sse, self._tags, self._on_end = chunks, sse, tags, on_end
        self._marker = Marker(0, with_watermark)
        self._level = Leveller()
        self._encoder: Encoder | None = None
        self._source: Any = None
        self._began = time.monotonic()
        self._samples = 0
        report.mark = mark_of(report.format, self._marker.active)
        self.job = Job(self._start, self._deliver, self._finish, deadline=self._began + deadline_s)

    def _start(self) -> Iterator[np.ndarray]:
        self._source = self._chunks(self.report)
        self.report.sample_rate, self.report.voice = self._source.rate, self._source.voice
        self._marker.rate = self._source.rate
        self._encoder = encoder(self.report.format, self._source.rate, self._tags)
        return iter(self._source)

    def _deliver(self, chunk: np.ndarray) -> None:
        assert self._encoder is not None
        if self.report.first_chunk_s is None:
            self.report.first_chunk_s = time.monotonic() - self._began
            self._note(self._source.warnings)
        samples = self._marker(chunk)
        self._samples += len(samples)
        self._send(self._encoder.feed(self._level(samples)))

    def _finish(self, error: BaseException | None) -> None:
        report = self.report
        report.compute_s = time.monotonic() - self._began
        report.duration_s = self._samples / report.sample_rate if report.sample_rate else 0.0
        try:
            if error is None and self._encoder is not None:
                # Too short or silent all the way: what the headers promised is taken back.
                report.mark = mark_of(report.format, self._marker.has_marked)
                self._note(self._source.warnings)
                self._note(self._level.warnings)
                self._send(self._encoder.close())
                report.finished = True
                if self.sse:
                    own = {"duration_s": report.duration_s, "mark": report.mark, "warnings": report.warnings}
                    self.outbox.put(event({"type": "speech.audio.done", "usage": self._usage(), "emovoice": own}))
        except Exception as failure:
            error = failure
        self.outbox.put(None, error)
        self._on_end(report, error)

    def _usage(self) -> dict[str, int]:
        """The API's counts; here a token is a code of 40 ms, and text is not counted."""
        codes = round(self.report.duration_s * 25)
        return {"input_tokens": 0, "output_tokens": codes, "total_tokens": codes}

    def _send(self, data: bytes) -> None:
        if not data:
            return
        if self.sse:
            data = event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})
        self.outbox.put(data)

    def _note(self, warnings: Any) -> None:
        self.report.warnings += [text for text in warnings if text not in self.report.warnings]


def mark_of(format: str, with_watermark: bool) -> str:
    """How a sound of this format is marked."""
    return provenance.said(FORMATS[format].carries_metadata, with_watermark, f"{format} has no room for metadata")


def speak(engine: Engine, request: SpeechRequest, voice: Voice) -> Callable[[Report], Speech]:
    """What opens the chunks of a speech request; it runs in a worker."""

    def open_chunks(report: Report) -> Speech:
        how = felt(request, report)
        duration_s, said = _asked(engine, request, voice, how)
        report.warnings += said
        try:
            return engine.stream(request.input, voice, duration_s=duration_s, seed=request.seed, accent=request.accent,
                                 **how)  # fmt: skip
        except LengthError as error:
            if request.speed == 1:
                raise
            message = f"the text cannot be spoken at speed {request.speed:g}: {error}"
            raise ApiError(400, message, param="speed", code="invalid_length") from error

    return open_chunks


def felt(request: SpeechRequest | ConvertRequest, report: Report) -> dict[str, Any]:
    """What a request says of emotion, as the engine's arguments; instructions give way to an emotion or a curve.

    Instructions that are nothing but the name of an emotion ("Anger.") mean exactly that one.
    """
    emotion: Any = request.curve or request.emotion
    words = (request.instructions or "").strip()
    if words and emotion is not None:
        report.warnings.append("the instructions were not used: an emotion is given")
    elif words:
        try:
            emotion = names.canonical(words.rstrip(".!"))
        except InputError:
            return {"instruction": words, "intensity": request.intensity}
    return {"emotion": emotion, "intensity": request.intensity}


def _asked(
    engine: Engine, request: SpeechRequest, voice: Voice, how: dict[str, Any]
) -> tuple[float | None, tuple[str, ...]]:
    """The length to ask the model for: as given, or what the speed makes of the free length."""
    if request.speed == 1:
        return request.duration_s, ()
    speed = min(max(float(request.speed), SLOWEST_SPEED), FASTEST_SPEED)
    free_s = engine.estimate(request.input, voice, accent=request.accent, **how)
    said = () if speed == request.speed else (f"speed {request.speed:g} is beyond the model; {speed:g} was used",)
    return free_s / speed, said


def convert(engine: Engine, request: ConvertRequest, path: str, voice: Voice | None) -> Callable[[Report], Converted]:
    """What opens the chunks of a conversion; it runs in a worker."""

    def open_chunks(report: Report) -> Converted:
        _check_converts(engine)
        how = felt(request, report)
        conversion = engine.convert_stream(path, timbre=voice, duration_s=request.duration_s, seed=request.seed, **how)
        return Converted(conversion, voice.name if voice else "the recording's own")

    return open_chunks


def _check_converts(engine: Engine) -> None:
    """Raises ApiError (501) for a model that comes without weights for it."""
    try:
        engine.pipeline.converter()
    except ModelError as error:
        what = f"the model '{engine.pipeline.name}' does not convert recordings"
        raise ApiError(501, what, "server_error", code="not_implemented") from error


class Converted:
    """The chunks of a conversion, mixed to the one channel that the server sends.

    Attributes:
        voice: who speaks.
    """

    def __init__(self, conversion: Conversion, voice: str) -> None:
        self._conversion, self.rate, self.voice = conversion, conversion.rate, voice
        self._mixed = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for chunk in self._conversion:
            if chunk.ndim == 2 and chunk.shape[1] > 1:
                self._mixed = chunk.shape[1]
            yield np.asarray(chunk if chunk.ndim == 1 else chunk.mean(axis=1), np.float32)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What there is to say so far."""
        mixed = (f"its {self._mixed} channels were mixed to one",) if self._mixed else ()
        return (*self._conversion.warnings, *mixed)


def tags(engine: Engine, process: str) -> dict[str, str]:
    """The mark for containers."""
    return provenance.tags(engine.pipeline.name, process)


def event(record: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(record).encode() + b"\n\n"
