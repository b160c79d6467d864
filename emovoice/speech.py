"""Speech while it is being made: an iterator of chunks that knows how far it is."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from emovoice.chunks import Chunks
from emovoice.errors import ModelError
from emovoice.pipelines import AnySentence


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


class Speech(Chunks):
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
        super().__init__(pipeline.sample_rate, plan.asked_s, spent_s)
        self.voice = plan.voice
        self.sentences = len(plan.sentences)
        self.sentences_done = 0
        self._pipeline, self._plan = pipeline, plan
        self._plan_warnings = plan.warnings

    def _notes(self) -> tuple[str, ...]:
        return self._plan_warnings

    def _made(self) -> Iterator[np.ndarray]:
        plan = self._plan
        for index, sentence in enumerate(plan.sentences):
            if index:
                yield np.zeros(plan.gap_samples[index - 1], dtype=np.float32)
            chunks = self._pipeline.speak(
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
