"""The decoding loop of a model with a reader: text in; codes, pitch and level out, one step every 40 ms.

Durations are drawn by inverse transform: a symbol is left when the probability of still standing on it falls below
u ~ U(1/2 - spread, 1/2 + spread), drawn once per symbol. spread = 0 is the median duration, 1/2 plain sampling.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ar_tts.model import SLOTS, TextToCodes

FREE_LENGTH = 0


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

    timbre (1, 192), emotion (1, E). Draws come from a generator of `seed`, so equal seeds give equal codes. Ends when
    the pointer has left the text, and at the latest after `max_codes` steps.
    """
    assert model.reader is not None
    reader, config = model.reader, model.config
    random = torch.Generator().manual_seed(seed)
    asked = torch.tensor([length], device=text.device)
    row = model.who_and_how(timbre, emotion)
    cache = model.gpt.new_cache(1, 1 + SLOTS + text.shape[1] + config.max_codes)
    model.hidden(model.prefix(row, text, asked), cache)
    pointer, dwell, survival = 0, 0, 1.0
    threshold = _threshold(sampling, random)
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
            dwell, survival, threshold = 0, 1.0, _threshold(sampling, random)
        if pointer >= text.shape[1]:
            return
        told = reader.told(hidden, text, torch.tensor([[pointer]], device=text.device))
        codes = model.mel_head(told)[0, 0, : config.codes]
        step = Step(_draw(codes, sampling.code_temperature, sampling.top_k, random),
                    _draw(reader.pitch(told)[0, 0], sampling.pitch_temperature, sampling.top_k, random),
                    _draw(reader.level(told)[0, 0], sampling.pitch_temperature, sampling.top_k, random), pointer)
        yield step


def _threshold(sampling: Sampling, random: torch.Generator) -> float:
    return 0.5 + sampling.duration_spread * (2 * float(torch.rand((), generator=random)) - 1)


def _draw(logits: Tensor, temperature: float, top_k: int, random: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    values, indices = logits.float().topk(min(top_k, len(logits)))
    noise = torch.rand(len(values), generator=random).clamp(1e-9, 1 - 1e-7).to(values.device)
    return int(indices[(values / temperature - torch.log(-torch.log(noise))).argmax()])  # Gumbel-max
