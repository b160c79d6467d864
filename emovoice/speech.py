"""Speech while it is being made: an iterator of chunks that knows how far it is."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from emovoice.audio import Audio
from emovoice.errors import ModelError
from emovoice.pipelines import AnySentence
from emovoice.writing import peak_warnings


@dataclass(frozen=True, eq=False)
class Plan:
    """A request in the terms of the pipeline: everything checked and decided, nothing spoken yet.

    Attributes:
        sentences: S of them, in the order they are spoken.
        length_samples: S lengths to speak them in; None for the free length.
        gap_samples: S - 1 silences between them.
        timbre: what the pipeline made of the voice; for our own models float32 (192,).
        emotions: S times what it made of an emotion; for our own models float32 (256,).
        gains_db: S levels beside what the model gives.
        seed: every sentence gets its own seed from this one and its index.
        asked_s: the length asked for, or None.
        voice: the name of the voice.
        warnings: what there is to say already.
    """

    sentences: tuple[AnySentence, ...]
    length_samples: tuple[int | None, ...]
    gap_samples: tuple[int, ...]
    timbre: Any
    emotions: tuple[Any, ...]
    gains_db: tuple[float, ...]
    seed: int
    asked_s: float | None
    voice: str
    warnings: tuple[str, ...]


class Speech(Iterator[np.ndarray]):
    """Chunks of float32 samples `(N,)`; what `stream()` returns.

    Only the chunk at hand is in memory, however long the text. To go through it once:

        speech = emovoice.stream("A long story.")
        for chunk in speech:
            play(chunk, speech.rate)
        print(speech.warnings)

    Attributes:
        rate: samples a second.
        voice: the name of the voice.
        asked_s: the length asked for, or None.
        sentences: how many there are.
        sentences_done: how many have been spoken.
    """

    def __init__(self, pipeline: Any, plan: Plan, spent_s: float = 0.0) -> None:
        self.rate = pipeline.sample_rate
        self.voice = plan.voice
        self.asked_s = plan.asked_s
        self.sentences = len(plan.sentences)
        self.sentences_done = 0
        self._plan_warnings = plan.warnings
        self._samples = 0
        self._peak = 0.0
        self._spent_s = spent_s
        self._chunks = self._speak(pipeline, plan)

    def __next__(self) -> np.ndarray:
        start = time.perf_counter()
        try:
            chunk = next(self._chunks)
        finally:
            self._spent_s += time.perf_counter() - start
        self._samples += len(chunk)
        self._peak = max(self._peak, float(np.abs(chunk).max(initial=0.0)))
        return chunk

    @property
    def duration_s(self) -> float:
        """Seconds of speech so far."""
        return self._samples / self.rate

    @property
    def real_time_factor(self) -> float:
        """Seconds spent making a second of speech, so far; what is done between chunks does not count."""
        return self._spent_s / self.duration_s if self._samples else 0.0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What there is to say so far; complete after the last chunk."""
        return self._plan_warnings + peak_warnings(self._peak)

    def collect(self) -> Audio:
        """All that is left, as one `Audio`."""
        chunks = list(self)
        samples = np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.float32)
        return Audio(samples, self.rate, self.asked_s, self.real_time_factor, self.warnings)

    def _speak(self, pipeline: Any, plan: Plan) -> Iterator[np.ndarray]:
        for index, sentence in enumerate(plan.sentences):
            if index:
                yield np.zeros(plan.gap_samples[index - 1], dtype=np.float32)
            chunks = pipeline.speak(
                sentence,
                plan.timbre,
                plan.emotions[index],
                length_samples=plan.length_samples[index],
                seed=sentence_seed(plan.seed, index),
            )
            gain = np.float32(10 ** (plan.gains_db[index] / 20))
            self._plan_warnings += yield from _all_checked(chunks, sentence, gain)
            self.sentences_done = index + 1


def sentence_seed(seed: int, index: int) -> int:
    """The seed of sentence `index`, in 0..2**63-1: the same in a stream, in a batch and alone."""
    state = np.random.SeedSequence(seed, spawn_key=(index,)).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def _all_checked(
    chunks: Iterator[np.ndarray], sentence: AnySentence, gain: np.float32
) -> Generator[np.ndarray, None, tuple[str, ...]]:
    """The chunks of a sentence times a gain; returns what its generator does: warnings nobody knew before, or None."""
    while True:
        try:
            chunk = next(chunks)
        except StopIteration as end:
            return end.value or ()
        samples = _checked(chunk, sentence)
        yield samples if gain == 1 else samples * gain


def _checked(chunk: np.ndarray, sentence: AnySentence) -> np.ndarray:
    samples = np.asarray(chunk, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise ModelError(
            "the model produced samples that are not numbers",
            field="sentence",
            value=sentence.text,
            remedy="Try another seed; if it stays, the weights are damaged or do not suit this device.",
        )
    return samples
