"""What the page does: requests to the same queue as the API's, with sound to listen to while it is made.

A take is played through an address of this server as it grows, so that the browser needs no player of ours; when it
is whole it becomes a marked file.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import secrets
import tempfile
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from emovoice.emotion.names import EMOTIONS, NAMED_INTENSITY
from emovoice.emotion.path import read_keyframes
from emovoice.serve import dubs, failures, picture, work
from emovoice.serve.requests import SpeechRequest, parse_convert, parse_speech
from emovoice.serve.service import Service, as_answer
from emovoice.serve.tokens import ANYONE
from emovoice.serve.voices import check_accent, check_consent, check_name
from emovoice.voice import Voice, voices
from emovoice.writing import write_audio

TAKES_PATH = "/takes"
GRID = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Intensities of the grid: those of EmoReg's demo."""

_KEPT_TAKES = 64
_HEADER_END = b"data\xff\xff\xff\xff"


@dataclass
class Take:
    """Sound that grows, for any number of listeners."""

    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    pieces: list[bytes] = field(default_factory=list)
    done: bool = False
    path: Path | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(self, data: bytes | None) -> None:
        """More of it; None for the end."""
        async with self.changed:
            if data is None:
                self.done = True
            else:
                self.pieces.append(data)
            self.changed.notify_all()

    async def follow(self) -> AsyncIterator[bytes]:
        """All of it from the beginning, waiting for what is not there yet."""
        index = 0
        while True:
            async with self.changed:
                await self.changed.wait_for(lambda: self.done or index < len(self.pieces))  # noqa: B023
                news = self.pieces[index:]
            for piece in news:
                yield piece
            index += len(news)
            if self.done and index == len(self.pieces):
                return

    def samples(self) -> np.ndarray:
        """What is there so far, float32 `(N,)`."""
        data = b"".join(self.pieces)
        sound = data[data.find(_HEADER_END) + len(_HEADER_END) :]
        return np.frombuffer(sound[: len(sound) // 2 * 2], "<i2").astype(np.float32) / 32767


@dataclass
class Update:
    """News about a take: what the page shows.

    Attributes:
        player: HTML of a player that plays while the sound is made; "" once it is whole.
        path: the finished file, or None.
        picture: SVG of the finished sound, or "".
        said: one line about how far it is, or what there is to say about it.
    """

    player: str = ""
    path: str | None = None
    picture: str = ""
    said: str = ""


class Stopped(Exception):
    """Nobody follows a dub any more."""


class Studio:
    """What the tabs call. Errors are ApiError; their message is for people.

    Args:
        service: the server that this is the page of.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self._folder = tempfile.TemporaryDirectory(prefix="emovoice-page-")
        self.folder = Path(self._folder.name)
        self._takes: OrderedDict[str, Take] = OrderedDict()
        self._dubbing = threading.Lock()

    @property
    def routes(self) -> list[Route]:
        """Where takes are listened to."""
        return [Route(f"{TAKES_PATH}/{{id}}", self._listen)]

    # ---- speaking and converting ---------------------------------------------------------------------------------

    async def speak(
        self,
        text: str,
        instruction: str,
        voice: str,
        recording: str | None,
        consent: str,
        emotion: str,
        intensity: float,
        curve: str,
        duration_s: float | None,
        seed: float,
    ) -> AsyncIterator[Update]:
        """Speak a text; see `emovoice.Engine.stream`. A recording, if there is one, is the voice."""
        how, drawn, label = _felt(instruction, emotion, intensity, curve)
        fields = {
            **how,
            "input": text or "",
            "voice": voice,
            "duration_s": duration_s or None,
            "seed": int(seed or 0),
            "response_format": "wav",
        }
        request = parse_speech(json.dumps(fields).encode(), self.service.limits)
        who, said = await self._voice(request, recording, consent)
        chunks = work.speak(self.service.engine, request, who)
        opened = self.service.open(ANYONE, "wav", chunks, "speech", warnings=said)
        async for update in self._made(opened, "speech", drawn, label):
            yield update

    async def convert(
        self, recording: str | None, instruction: str, emotion: str, intensity: float, curve: str = ""
    ) -> AsyncIterator[Update]:
        """Speak a recording again with another emotion; see `emovoice.Engine.convert_stream`."""
        path = _given(recording)
        how, drawn, label = _felt(instruction, emotion, intensity, curve)
        request = parse_convert({**how, "curve": json.dumps(how["curve"]) if how["curve"] else ""}, self.service.limits)
        chunks = work.convert(self.service.engine, request, path, None)
        opened = self.service.open(ANYONE, "wav", chunks, "conversion")
        async for update in self._made(opened, "conversion", drawn, label):
            yield update

    async def grid(self, recording: str | None, instruction: str, emotion: str) -> AsyncIterator[list[str | None]]:
        """The same recording at six intensities: paths, None for those that are still to come."""
        paths: list[str | None] = [None] * len(GRID)
        for index, intensity in enumerate(GRID):
            async for update in self.convert(recording, instruction, emotion, intensity):
                paths[index] = update.path
            yield list(paths)

    async def _voice(
        self, request: SpeechRequest, recording: str | None, consent: str
    ) -> tuple[Voice, tuple[str, ...]]:
        if recording is None:
            return self.service.voices.get(request.voice_name, ANYONE)
        agreed, path = check_consent(consent), _given(recording)
        self.service.voices.note_consent(_sha256(path), agreed)
        voice = await self.service.run(partial(self.service.engine.voice_from, path, name="recording"))
        return voice, ()

    async def _made(
        self, opened: work.Work, process: str, curve: picture.Curve, label: str
    ) -> AsyncIterator[Update]:
        """Follow a piece of work to its end."""
        take = self._new_take()
        player = _player(take, label)
        try:
            yield Update(player, said="waiting")
            while True:
                data, error = await opened.outbox.get()
                if error is not None:
                    raise as_answer(error)
                await take.add(data)
                if data is None:
                    break
                rate = opened.report.sample_rate
                yield Update(player, said=f"{len(take.samples()) / rate:.1f} s so far")
        finally:
            opened.job.cancelled.set()
            if not take.done:
                await take.add(None)
        yield await asyncio.to_thread(self._whole, take, opened.report, process, curve, label)

    def _whole(self, take: Take, report: work.Report, process: str, curve: picture.Curve, label: str) -> Update:
        samples = take.samples()
        take.path = self.folder / f"{_safe(label)}-{take.id[:6]}.wav"
        write_audio(take.path, [samples], report.sample_rate, tags=work.tags(self.service.engine, process))
        drawn = picture.svg(samples, report.sample_rate, curve, label)
        facts = [f"{report.duration_s:.2f} s of speech in {report.compute_s or 0:.1f} s", f"marked: {report.mark}"]
        return Update("", str(take.path), drawn, "; ".join([*facts, *report.warnings]))

    def _new_take(self) -> Take:
        take = Take()
        self._takes[take.id] = take
        while len(self._takes) > _KEPT_TAKES:
            _, old = self._takes.popitem(last=False)
            if old.path is not None:
                old.path.unlink(missing_ok=True)  # the page has a copy of its own
        return take

    async def _listen(self, request: Request) -> Response:
        take = self._takes.get(request.path_params["id"])
        if take is None:
            raise failures.not_found("take", "take_not_found")
        return StreamingResponse(take.follow(), media_type="audio/wav", headers={"Cache-Control": "no-store"})

    # ---- dubbing -------------------------------------------------------------------------------------------------

    async def begin_dub(self, timeline: str | None, video: str | None) -> tuple[dubs.Dub, list[list[Any]]]:
        """A dub of uploaded files, and its table."""
        return await asyncio.to_thread(dubs.begin, timeline, video, self.folder)

    async def dub(
        self, dub: dubs.Dub | None, table: list[list[Any]], again: int | None = None
    ) -> AsyncIterator[tuple[list[list[Any]], str, list[str]]]:
        """Speak a dub, or one line again: table, progress and files, several times while it goes on.

        One at a time: each has a model of its own. When nobody follows any more it ends with the take it is at.
        """
        if dub is None:
            raise failures.ApiError(400, "read a timeline first", param="timeline", code="missing_file")
        done, total, stop = 0, 0, threading.Event()
        settings = self.service.settings

        def note(now: int, of: int) -> None:
            nonlocal done, total
            if stop.is_set():
                raise Stopped
            done, total = now, of

        def speak() -> list[list[Any]]:
            with self._dubbing:
                note(0, 0)
                return dubs.speak(dub, table, settings.model or self.service.model, settings.device, again, note)

        spoken = asyncio.ensure_future(asyncio.to_thread(speak))
        spoken.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # it is told, or nobody is there
        try:
            while not spoken.done():
                yield table, f"{done} of {total} takes" if total else "preparing", []
                await asyncio.wait((spoken,), timeout=1.0)
        finally:
            stop.set()
        met = spoken.result()
        report = dub.report or {}
        verdict = f"verdict: {report.get('verdict')}; {report.get('spoken')} of {report.get('cues')} cues are spoken;"
        verdict += f" marked: {report.get('mark')}"
        yield met, verdict, dubs.files(dub)

    # ---- voices --------------------------------------------------------------------------------------------------

    def choices(self) -> list[tuple[str, str]]:
        """Voices to choose from: what to show, and what to ask for."""
        shipped = sorted(voices(), key=lambda name: name != "default")
        return [(name, name) for name in shipped] + [(s.name, s.id) for s in self.service.voices.list(ANYONE)]

    def table(self) -> list[list[str]]:
        """Rows of the uploaded voices: name, id, consent, warnings."""
        return [[s.name, s.id, s.consent, "; ".join(s.warnings)] for s in self.service.voices.list(ANYONE)]

    async def add_voice(self, recording: str | None, name: str, consent: str, accent: str) -> str:
        """Store a voice; what there is to say about it."""
        agreed, label, path = check_consent(consent), check_name(name), _given(recording)
        self.service.voices.check_room(ANYONE, label)
        listen = partial(self.service.engine.voice_from, path, name=label, accent=check_accent(accent))
        made = await self.service.run(listen)
        voice = Voice(label, made.timbre, made.emotion, made.accent, made.model, "uploaded recording", made.warnings)
        stored = await asyncio.to_thread(self.service.voices.add, voice, ANYONE, agreed, _sha256(path))
        return "; ".join((f"'{stored.name}' is stored", *stored.warnings))

    def delete_voice(self, id: str | None) -> str:
        """Forget a voice."""
        self.service.voices.delete(id or "", ANYONE)
        return "deleted"


def _felt(
    instruction: str, emotion: str, intensity: float, curve: str
) -> tuple[dict[str, Any], picture.Curve, str]:
    """The fields of a request, what is drawn of the emotion, and a label: the instruction or the curve goes first."""
    words, points = (instruction or "").strip(), (curve or "").strip()
    if words and points:
        raise failures.ApiError(400, "give an instruction or a curve, not both", param="curve", code="conflict")
    if points:
        rows = read_keyframes(points)
        return {"curve": rows}, tuple((t_s, amount) for t_s, _, amount in rows), points
    if words:
        return {"instructions": words, "intensity": intensity, "curve": None}, (), words
    drawn = () if emotion == "neutral" else ((0.0, intensity),)
    return {"emotion": emotion, "intensity": intensity, "curve": None}, drawn, f"{emotion} {intensity:g}"


def emotions() -> list[str]:
    """Names to choose from."""
    return ["neutral", *EMOTIONS]


def defaults() -> Mapping[str, Any]:
    """What the controls show at first."""
    return {"emotion": "happy", "intensity": NAMED_INTENSITY}


def _player(take: Take, label: str) -> str:
    name = escape(f"live: {label}", quote=True)
    return f'<audio class="emovoice-live" controls autoplay aria-label="{name}" src="{TAKES_PATH}/{take.id}"></audio>'


def _given(recording: str | None) -> str:
    if not recording:
        raise failures.ApiError(400, "give a recording first", param="file", code="missing_file")
    return os.fspath(recording)


def _safe(label: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", label.casefold()).strip("-.")[:40] or "speech"


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
