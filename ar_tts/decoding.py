"""The decoding loop of a model with a reader: text in; codes, pitch and level out, one step every 40 ms.

Durations are drawn by inverse transform: a symbol is left when the probability of still standing on it falls below
u ~ U(1/2 - spread, 1/2 + spread), drawn once per symbol. spread = 0 is the median duration, 1/2 plain sampling.

Codes, pitch and level are drawn by the sampler of kernels/, each from a stream of its own of the request's seed.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ar_tts.kernels import State, sample
from ar_tts.kernels.arithmetic import WHOLE, philox
from ar_tts.kernels.state import FINE
from ar_tts.model import SLOTS, TextToCodes

FREE_LENGTH = 0
_CODES, _PITCH, _LEVEL, _DURATIONS = range(4)  # streams of random numbers


@dataclass(frozen=True)
class Sampling:
    """How codes are drawn; temperature 0 takes the likeliest."""

    code_temperature: float = 0.0
    pitch_temperature: float = 0.3
    top_k: int = 20
    duration_spread: float = 0.12
    dwell_limit: int = 22


@dataclass(frozen=True)
class Step:
    """What one step wrote, and the text position it stood on."""

    code: int
    pitch: int
    level: int
    pointer: int


@torch.inference_mode()
def decode(model: TextToCodes, timbre: Tensor, emotion: Tensor, text: Tensor, length: int = FREE_LENGTH, seed: int = 0,
           sampling: Sampling = Sampling()) -> Iterator[Step]:
    """Write codes for `text` (1, L) with start and stop, about `length` of them where that is not 0.

    timbre (1, 192), emotion (1, E). Equal seeds give equal codes. Ends when the pointer has left the text, and at the
    latest after `max_codes` steps. Raises FloatingPointError where the model computes NaN.
    """
    assert model.reader is not None
    reader, config = model.reader, model.config
    draws = _Draws(model, seed, sampling, text.device)
    asked = torch.tensor([length], device=text.device)
    row = model.who_and_how(timbre, emotion)
    cache = model.gpt.new_cache(1, 1 + SLOTS + text.shape[1] + config.max_codes)
    model.hidden(model.prefix(row, text, asked), cache)
    pointer, dwell, survival = 0, 0, 1.0
    threshold = draws.threshold()
    step = Step(config.start_code, 0, 0, 0)
    for k in range(config.max_codes):
        here = torch.tensor([[pointer]], device=text.device)
        rows = model.code_rows(torch.tensor([[step.code]], device=text.device), k) + row
        rows = rows + reader.written(*(torch.tensor([[v]], device=text.device) for v in (step.pitch, step.level)))
        rows = rows + reader.where(text, here, asked, k, torch.tensor([[dwell]], device=text.device))
        hidden = model.hidden(rows, cache)
        moves = reader.advance(hidden)[0, 0].softmax(-1)
        survival *= float(moves[0])
        dwell += 1
        if survival < threshold or dwell > sampling.dwell_limit:
            pointer += 1 + int(moves[1:].argmax())
            dwell, survival, threshold = 0, 1.0, draws.threshold()
        if pointer >= text.shape[1]:
            return
        told = reader.told(hidden, text, torch.tensor([[pointer]], device=text.device))
        step = Step(*draws.next(model.mel_head(told)[0], reader.pitch(told)[0], reader.level(told)[0]), pointer)
        yield step


class _Draws:
    """The random choices of one request."""

    def __init__(self, model: TextToCodes, seed: int, sampling: Sampling, device: torch.device) -> None:
        assert model.reader is not None
        self.seed, self.spread, self.thresholds = seed, sampling.duration_spread, 0
        self.sizes = model.config.codes, model.reader.config.pitch_bins, model.reader.config.level_bins
        tones = max(self.sizes[1:])
        known = torch.arange(tones, device=device) < torch.tensor(self.sizes[1:], device=device)[:, None]
        self.codes = State.new(self.sizes[0], [seed], stream=_CODES, temperature=sampling.code_temperature,
                               top_k=sampling.top_k, device=device)
        self.tones = State.new(tones, [seed, seed], stream=[_PITCH, _LEVEL], temperature=sampling.pitch_temperature,
                               top_k=sampling.top_k, allowed=known, device=device)
        self.logits = torch.zeros(2, tones, device=device)

    def next(self, codes: Tensor, pitch: Tensor, level: Tensor) -> tuple[int, int, int]:
        """Logits (1, codes + 2), (1, pitch bins), (1, level bins) -> a code, a pitch, a level."""
        _, of_pitch, of_level = self.sizes
        self.logits[:1, :of_pitch], self.logits[1:, :of_level] = pitch, level
        sample(codes[:, : self.sizes[0]], self.codes)
        sample(self.logits, self.tones)
        code, flaw = self.codes.told()[0]
        (high, flaw_high), (loud, flaw_loud) = self.tones.told()
        if not flaw == flaw_high == flaw_loud == FINE:
            raise FloatingPointError("the text-to-codes model computes NaN: broken weights, or a broken voice")
        return code, high, loud

    def threshold(self) -> float:
        """The next u of the module's text."""
        self.thresholds += 1
        return 0.5 + self.spread * (2 * philox(self.seed, self.thresholds, _DURATIONS) / WHOLE - 1)
