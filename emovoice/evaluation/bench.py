"""Speaks each item once, asks each judge once about it, and keeps both in a work folder: a run resumes.

    WORK/audio/<key>.wav     what was spoken (16 bit; float where a peak exceeds 1, since the level is judged)
    WORK/verdicts.jsonl      one line {"key", "judge", "value"} per verdict, appended as it comes

The key covers everything that was asked for, and the model by how it speaks a probe in that voice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from emovoice.errors import EmovoiceError, ModelError
from emovoice.evaluation import emotion_judge, measures, words
from emovoice.evaluation.judges import PitchJudge, QualityJudge, Recogniser, SpeakerJudge
from emovoice.evaluation.material import PROSODY, Prompt
from emovoice.writing import whole_file

T = TypeVar("T")
_PROBE = "The quick brown fox jumps over the lazy dog."


class Spoken(Protocol):
    """What an engine returns: float32 mono samples `(N,)` and their rate in Hz."""

    @property
    def samples(self) -> np.ndarray: ...
    @property
    def rate(self) -> int: ...


class Speaker(Protocol):
    """The part of `emovoice.Engine` that is judged."""

    def synthesize(
        self,
        text: str,
        timbre: Any = None,
        *,
        emotion: str,
        intensity: float,
        duration_s: float | None = None,
        seed: int = 0,
    ) -> Spoken: ...


@dataclass(frozen=True)
class Item:
    """One thing to say. `voice` names a prompt; "" is the engine's default voice."""

    text: str
    voice: str = ""
    emotion: str = "neutral"
    intensity: float = 0.0
    duration_s: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.intensity == 0:  # no emotion at all, whichever it is: spoken and judged once
            object.__setattr__(self, "emotion", "neutral")


@dataclass(frozen=True)
class Take:
    """What came of an item: a file, or why there is none."""

    key: str
    text: str
    path: Path | None
    failure: str | None = None

    def read(self) -> tuple[np.ndarray, int]:
        """Samples `(N,)` and rate in Hz."""
        import soundfile

        assert self.path is not None, "a failed take was asked for its samples"
        samples, rate = soundfile.read(self.path, dtype="float32", always_2d=True)
        return samples.mean(axis=1), int(rate)


class Progress(Protocol):
    """Wraps a list of items so that going through it is shown under a label."""

    def __call__(self, items: Sequence[T], label: str, /) -> Iterable[T]: ...


def _silent(items: Sequence[T], label: str, /) -> Iterable[T]:
    return items


class Bench:
    """An engine, four judges and a work folder.

    Args:
        engine: anything that speaks like `emovoice.Engine`.
        work: the folder; made if it is not there.
        prompts: voices that items may name.
        voice_from: makes what the engine takes as `timbre` from a prompt (`Engine.voice_from`).
        progress: shows how far a list of items is.
        fresh: forget what the folder holds about this model.

    Attributes:
        model: the fingerprint of the engine with its default voice.
        steady: whether the same request gave the same speech twice, without which no run resumes.
        failures: what the engine refused to speak, by key.
    """

    def __init__(
        self,
        engine: Speaker,
        work: Path,
        prompts: Sequence[Prompt] = (),
        voice_from: Callable[[Prompt], Any] = lambda prompt: prompt.path,
        progress: Progress = _silent,
        threads: int = 1,
        fresh: bool = False,
    ) -> None:
        self._engine = engine
        self._voice_from = voice_from
        self._voices: dict[str, Any] = {"": None}
        self._prompts = {prompt.voice: prompt for prompt in prompts}
        self._progress = progress
        self.recogniser, self.speaker = Recogniser(threads), SpeakerJudge()
        self.pitch, self.quality = PitchJudge(), QualityJudge()
        self._audio = work / "audio"
        self._audio.mkdir(parents=True, exist_ok=True)
        self._log = work / "verdicts.jsonl"
        self._verdicts = {} if fresh else _read_log(self._log)
        self._fresh = fresh
        self._spoken: set[str] = set()
        self._models: dict[str, str] = {}
        self.model = self._model_as("")
        self.steady = self.model == fingerprint(engine)
        self.failures: dict[str, str] = {}

    def each(self, items: Sequence[T], label: str) -> Iterator[T]:
        """The items one after the other, shown as progress."""
        yield from self._progress(items, label)

    def take(self, item: Item) -> Take:
        """The item spoken: from the folder, or by the engine now. A refusal is a take with a `failure`."""
        key = _key({"model": self._model_as(item.voice), **asdict(item)})
        path = self._audio / f"{key}.wav"
        if path.is_file() and not (self._fresh and key not in self._spoken):
            return Take(key, item.text, path)
        self._spoken.add(key)
        try:
            spoken = self._engine.synthesize(
                item.text,
                self._voice(item.voice),
                emotion=item.emotion,
                intensity=item.intensity,
                duration_s=item.duration_s,
                seed=item.seed,
            )
        except EmovoiceError as error:
            self.failures[key] = (
                f"{item.voice or 'default'}, {item.emotion} {item.intensity:g}: {item.text}: {error}"
            )
            return Take(key, item.text, None, str(error))
        samples = np.asarray(spoken.samples, dtype=np.float32)
        subtype = "PCM_16" if np.abs(samples).max(initial=0.0) < 1 else "FLOAT"
        _write(path, samples, spoken.rate, subtype)
        return Take(key, item.text, path)

    def recording(self, path: Path, text: str = "") -> Take:
        """A file that is judged like a take: a prompt, or a render of the teacher."""
        return Take(hashlib.sha256(path.read_bytes()).hexdigest()[:24], text, path)

    def made_of(self, source: Take, how: str, make: Callable[[], np.ndarray], rate: int) -> Take:
        """What was made of a recording, such as its copy: from the folder, or by `make` now.

        Args:
            how: names what `make` does and by which model; another name is another take.
        """
        key = _key({"made of": source.key, "how": how})
        path = self._audio / f"{key}.wav"
        if not path.is_file() or (self._fresh and key not in self._spoken):
            self._spoken.add(key)
            samples = np.asarray(make(), dtype=np.float32)
            _write(path, samples, rate, "PCM_16" if np.abs(samples).max(initial=0.0) < 1 else "FLOAT")
        return Take(key, source.text, path)

    def prompt(self, voice: str) -> Take:
        """The prompt of a voice."""
        return self.recording(self._prompt(voice).path)

    def samples(self, take: Take) -> int:
        """Length in samples; 0 for a failed take."""
        return int(self._verdict(take, "samples", lambda x, rate: len(x))) if take.path else 0

    def seconds(self, take: Take) -> float:
        """Length in seconds; 0 for a failed take."""
        return float(self._verdict(take, "seconds", lambda x, rate: len(x) / rate)) if take.path else 0.0

    def speech_s(self, take: Take) -> float:
        """Seconds without the silence at both ends; 0 for a failed take."""
        return float(self._verdict(take, "speech_s", measures.speech_s)) if take.path else 0.0

    def word_errors(self, take: Take) -> tuple[int, int]:
        """Wrong words and words; all are wrong in a failed take."""
        expected = words.words(take.text)
        if take.path is None:
            return len(expected), len(expected)
        heard: str = self._verdict(take, self.recogniser.version, self.recogniser.hear)
        return words.errors(expected, words.words(heard)), len(expected)

    def embedding(self, take: Take) -> np.ndarray:
        """`(256,)`: the speaker judge's vector; zeros for a failed take."""
        if take.path is None:
            return np.zeros(256)
        return np.asarray(
            self._verdict(take, self.speaker.version, lambda x, r: _rounded(self.speaker.embed(x, r)))
        )

    def pitch_track(self, take: Take) -> np.ndarray:
        """`(F,)` Hz every 16 ms, 0 where there is no voice; none for a failed take."""
        if take.path is None:
            return np.zeros(0)

        def track(x: np.ndarray, rate: int) -> list[float]:
            return [round(float(hz), 2) for hz in np.nan_to_num(self.pitch.track(x, rate)[1])]

        return np.asarray(self._verdict(take, f"track/{self.pitch.version}", track), dtype=np.float64)

    def hand_features(self, take: Take) -> np.ndarray:
        """`(F,)`: acoustic measures for the judge of emotions, see `emotion_judge`."""
        pitch = self.pitch_track(take)

        def measure(x: np.ndarray, rate: int) -> list[float]:
            return [round(float(value), 5) for value in emotion_judge.features(x, rate, pitch)]

        return np.asarray(self._verdict(take, f"{emotion_judge.VERSION}/{self.pitch.version}", measure))

    def dnsmos(self, take: Take) -> float:
        """DNSMOS overall, 1..5; 1 for a failed take."""
        return float(self._verdict(take, self.quality.version, self.quality.score)) if take.path else 1.0

    def prosody(self, take: Take) -> dict[str, float]:
        """The measures of `material.PROSODY`: st, st, letters/s, dB; NaN with nothing to measure."""
        if take.path is None:
            return dict.fromkeys(PROSODY, float("nan"))

        def measure(x: np.ndarray, rate: int) -> list[float]:
            pitch = self.pitch.voiced_hz(x, rate)
            return [
                measures.f0_level_st(pitch),
                measures.f0_range_st(pitch),
                measures.letters_per_s(take.text, x, rate),
                measures.level_db(x, rate),
            ]

        return dict(zip(PROSODY, self._verdict(take, f"prosody/{self.pitch.version}", measure), strict=True))

    def _verdict(self, take: Take, judge: str, ask: Callable[[np.ndarray, int], Any]) -> Any:
        known = (take.key, judge)
        if known not in self._verdicts:
            value = ask(*take.read())
            self._verdicts[known] = value
            with open(self._log, "a", encoding="utf-8") as log:
                log.write(json.dumps({"key": take.key, "judge": judge, "value": value}) + "\n")
        return self._verdicts[known]

    def _voice(self, name: str) -> Any:
        if name not in self._voices:
            self._voices[name] = self._voice_from(self._prompt(name))
        return self._voices[name]

    def _prompt(self, name: str) -> Prompt:
        if name not in self._prompts:
            raise ModelError("there is no prompt of this voice", field="voice", value=name)
        return self._prompts[name]

    def _model_as(self, voice: str) -> str:
        if voice not in self._models:
            self._models[voice] = fingerprint(self._engine, self._voice(voice))
        return self._models[voice]


def fingerprint(engine: Speaker, timbre: Any = None) -> str:
    """Names a model by how it speaks: changes with weights, configuration and code of any kind of model.

    Args:
        timbre: the voice to speak with, so that what makes voices of recordings counts as well.
    """
    digest = hashlib.sha256()
    for emotion, intensity in (("neutral", 0.0), ("angry", 0.8)):
        spoken = engine.synthesize(
            _PROBE, timbre, emotion=emotion, intensity=intensity, duration_s=None, seed=0
        )
        # 12 bits: rounding of another order of summation must not make it another model
        digest.update(np.round(np.asarray(spoken.samples) * 2048).astype(np.int16).tobytes())
        digest.update(str(spoken.rate).encode())
    return digest.hexdigest()[:16]


def _key(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:24]


def _rounded(vector: np.ndarray) -> list[float]:
    return [round(float(value), 5) for value in vector]


def _write(path: Path, samples: np.ndarray, rate: int, subtype: str) -> None:
    import soundfile

    with whole_file(path) as file:
        soundfile.write(file, samples, rate, format="WAV", subtype=subtype)


def _read_log(log: Path) -> dict[tuple[str, str], Any]:
    """Verdicts so far. A line cut short by a crash is passed over: that verdict is asked for again."""
    verdicts = {}
    if log.is_file():
        text = log.read_text(encoding="utf-8")
        if text and not text.endswith("\n"):
            with open(log, "a", encoding="utf-8") as file:
                file.write("\n")
        for line in text.splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            verdicts[row["key"], row["judge"]] = row["value"]
    return verdicts
