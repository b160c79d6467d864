"""Takes of cues: one request spoken, measured and scored by one loaded model.

A request carries everything that decides its sound, so that it can be spoken anywhere: in this process, in another,
on another machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from emovoice import waveform
from emovoice.dubbing import PROGRAMME_RATE_HZ
from emovoice.dubbing.plan import DEFAULT_POLICY, Policy, ask
from emovoice.errors import EmovoiceError, LengthError
from emovoice.voice import Voice

if TYPE_CHECKING:
    from emovoice.engine import Engine

_SHORTEST_EMBEDDED_S = 0.3


@dataclass(frozen=True)
class Request:
    """One take that is wanted.

    Attributes:
        key: see `journal`.
        cue: the id of a cue with this request, for messages.
        text: what is spoken.
        voice: who speaks.
        weights: eight weights of the emotion.
        length, room: samples of the programme in its slot, and up to the next cue.
        seed: of this take.
        take: its number, from 1.
        judged: whether a recogniser listens to it.
    """

    key: str
    cue: str
    text: str
    voice: Voice
    weights: tuple[float, ...]
    length: int
    room: int
    seed: int
    take: int
    judged: bool = False
    policy: Policy = DEFAULT_POLICY


@dataclass(frozen=True, eq=False)
class Taken:
    """What became of a request: float32 samples `(N,)` and what was measured, or `record["error"]`."""

    key: str
    record: dict[str, Any]
    samples: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    rate: int = PROGRAMME_RATE_HZ


class Speaker:
    """Speaks requests on one engine. An error of one request is its result; others are not touched by it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def load(cls, model: str, device: str = "cpu") -> Speaker:
        """A speaker on a model of its own. Raises ModelError."""
        from emovoice.engine import Engine

        return cls(Engine(model, device))

    def say(self, request: Request) -> Taken:
        """Speak one request."""
        record: dict[str, Any] = {"cue": request.cue, "take": request.take, "error": None}
        try:
            samples, more = self._spoken(request)
        except EmovoiceError as error:
            return Taken(request.key, {**record, "error": " ".join(str(error).split())})
        return Taken(request.key, {**record, **more}, samples, self.engine.pipeline.sample_rate)

    def _spoken(self, request: Request) -> tuple[np.ndarray, dict[str, Any]]:
        how: dict[str, Any] = {"timbre": request.voice, "emotion": request.weights, "intensity": 1.0}
        free_s = self.engine.estimate(request.text, **how)
        free = round(free_s * PROGRAMME_RATE_HZ)
        asked_s = ask(request.length, request.room, free, request.policy) / PROGRAMME_RATE_HZ
        warnings: tuple[str, ...] = ()
        try:
            audio = self.engine.synthesize(request.text, duration_s=asked_s, seed=request.seed, **how)
        except LengthError as error:  # long pauses in the text: it is spoken as it comes, and fitted afterwards
            warnings = (f"spoken at its own length: {error.what}",)
            audio = self.engine.synthesize(request.text, seed=request.seed, **how)
        record = {"free_s": round(free_s, 4), "asked_s": round(asked_s, 4), "got_s": round(audio.duration_s, 4),
                  "warnings": [*warnings, *audio.warnings], **self._scores(request, audio.samples, audio.rate)}
        return audio.samples, record

    def _scores(self, request: Request, samples: np.ndarray, rate: int) -> dict[str, Any]:
        spoken = np.flatnonzero(waveform.speech_frames(samples, rate))
        step_s = 0.02
        scores: dict[str, Any] = {
            "peak": round(waveform.peak(samples), 4),
            "speech_s": [round(float(spoken[0]) * step_s, 3), round(float(spoken[-1] + 1) * step_s, 3)]
            if len(spoken) else [0.0, 0.0],
        }
        if len(samples) >= _SHORTEST_EMBEDDED_S * rate and rate == self.engine.pipeline.sample_rate:
            scores |= self._likeness(request, samples)
        if request.judged:
            scores |= self._heard(request.text, samples, rate)
        return scores

    def _likeness(self, request: Request, samples: np.ndarray) -> dict[str, Any]:
        """How near timbre and emotion are to what was asked, by the model's own encoder."""
        from emovoice.dubbing.measure import weights_of

        timbre, emotion = self.engine.pipeline.embed(samples)
        space = self.engine.pipeline.bundle.space
        measured = weights_of(space.neutral, space.directions, emotion)
        return {"timbre": round(_cosine(timbre, request.voice.timbre), 4), "emotion": [round(x, 4) for x in measured]}

    @cached_property
    def _recogniser(self) -> Any:
        from emovoice.evaluation.judges import Recogniser

        return Recogniser()

    def _heard(self, text: str, samples: np.ndarray, rate: int) -> dict[str, Any]:
        from emovoice.dubbing.measure import spoken_words
        from emovoice.evaluation import words

        heard = self._recogniser.hear(samples, rate)
        expected = words.words(spoken_words(text))
        wer = words.errors(expected, words.words(heard)) / len(expected) if expected else 0.0
        return {"heard": heard, "wer": round(wer, 4)}


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.dot(a, b)) / norm if norm else 0.0
