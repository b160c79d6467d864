"""The decoding loop of a model with a reader: text in; codes, pitch and level out, one step every 40 ms.

On a processor the network of a step is compiled, and all requests to one model share their steps (stepping.py); before
that is there, without Numba, and on other devices, `torch_steps` decodes one request. Codes, pitch and level are drawn
by the sampler of kernels/, each from a stream of its own of the request's seed.
"""
from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ar_tts.kernels import network, sample
from ar_tts.kernels.state import FINE
from ar_tts.model import SLOTS, TextToCodes
from ar_tts.reading import Draws, Reading, Sampling, Step, broken

if TYPE_CHECKING:
    from ar_tts.stepping import Stepper

FREE_LENGTH = 0
USUAL = Sampling()


def decode(model: TextToCodes, timbre: Tensor, emotion: Tensor, text: Tensor, length: int = FREE_LENGTH, seed: int = 0,
           sampling: Sampling = USUAL) -> Iterator[Step]:
    """Write codes for `text` (1, L) with start and stop, about `length` of them where that is not 0.

    timbre (1, 192), emotion (1, E). Equal seeds give equal codes. Ends when the pointer has left the text, and at the
    latest after `max_codes` steps. Raises FloatingPointError where the model computes NaN. Requests that are decoded at
    the same time, in one thread or in several, share steps where the network is compiled; close an iterator that is
    not needed any more, or steps are still made for it.
    """
    stepper = _stepper(model, text)
    if stepper is None:
        return _timed(torch_steps(model, timbre, emotion, text, length, seed, sampling))
    return stepper.decode(model, timbre, emotion, text, length, seed, sampling)


@torch.inference_mode()
def torch_steps(model: TextToCodes, timbre: Tensor, emotion: Tensor, text: Tensor, length: int = FREE_LENGTH,
                seed: int = 0, sampling: Sampling = USUAL) -> Iterator[Step]:
    """`decode` of one request in torch, on any device: what the compiled network must repeat."""
    assert model.reader is not None
    reader, config = model.reader, model.config
    draws = Draws(model, seed, sampling, text.device)
    asked = torch.tensor([length], device=text.device)
    row = model.who_and_how(timbre, emotion)
    cache = model.gpt.new_cache(1, 1 + SLOTS + text.shape[1] + config.max_codes)
    model.hidden(model.prefix(row, text, asked), cache)
    place = Reading(draws, text.shape[1])
    tones = torch.zeros(2, draws.tones.counts.shape[1], device=text.device)
    step = Step(config.start_code, 0, 0, 0)
    for k in range(config.max_codes):
        here = torch.tensor([[place.pointer]], device=text.device)
        rows = model.code_rows(torch.tensor([[step.code]], device=text.device), k) + row
        rows = rows + reader.written(*(torch.tensor([[v]], device=text.device) for v in (step.pitch, step.level)))
        rows = rows + reader.where(text, here, asked, k, torch.tensor([[place.dwell]], device=text.device))
        hidden = model.hidden(rows, cache)
        if not place.moved(reader.advance(hidden)[0, 0].softmax(-1).tolist()):
            return
        told = reader.told(hidden, text, torch.tensor([[place.pointer]], device=text.device))
        pitch, level = reader.pitch(told)[0], reader.level(told)[0]
        tones[:1, : pitch.shape[1]], tones[1:, : level.shape[1]] = pitch, level
        step = Step(*_drawn(draws, model.mel_head(told)[0, :, : config.codes], tones), place.pointer)
        yield step


def _drawn(draws: Draws, codes: Tensor, tones: Tensor) -> tuple[int, int, int]:
    """Logits (1, codes), (2, bins) -> a code, a pitch, a level."""
    sample(codes, draws.codes)
    sample(tones, draws.tones)
    code, flaw = draws.codes.told()[0]
    (pitch, flaw_high), (level, flaw_loud) = draws.tones.told()
    if not flaw == flaw_high == flaw_loud == FINE:
        raise broken()
    return code, pitch, level


@dataclass(frozen=True)
class Request:
    """The arguments of `decode` beside the model."""

    timbre: Tensor
    emotion: Tensor
    text: Tensor
    length: int = FREE_LENGTH
    seed: int = 0
    sampling: Sampling = USUAL


def decode_batch(model: TextToCodes, requests: Sequence[Request], threads: int = 1) -> list[list[Step]]:
    """What `decode` writes for each of them, all at once where the network is compiled; shared out among threads."""
    count = max(1, min(threads, len(requests)))
    with ThreadPoolExecutor(count) as pool:
        shares = list(pool.map(partial(_together, model), (requests[n::count] for n in range(count)), range(count)))
    return [shares[n % count][n // count] for n in range(len(requests))]


def _together(model: TextToCodes, requests: Sequence[Request], number: int) -> list[list[Step]]:
    """`decode_batch` of one thread."""
    def written(each: Request) -> Iterator[Step]:
        arguments = (each.timbre, each.emotion, each.text, each.length, each.seed, each.sampling)
        stepper = _stepper(model, each.text, number)
        if stepper is None:
            return _timed(torch_steps(model, *arguments))
        return stepper.decode(model, *arguments, ahead=model.config.max_codes)

    open_ones = [written(each) for each in requests]
    try:
        firsts = [list(islice(one, 1)) for one in open_ones]  # joins them; steps are made for all from now on
        return [[*first, *rest] for first, rest in zip(firsts, open_ones, strict=True)]
    finally:
        for one in open_ones:
            one.close()  # type: ignore[attr-defined]


def use_bytes(model: TextToCodes, wanted: bool = True) -> None:
    """Decode with 8 bits a weight from the next request on, where the network is compiled: faster, and other codes."""
    (_in_bytes.add if wanted else _in_bytes.discard)(model)


_in_bytes: weakref.WeakSet[TextToCodes] = weakref.WeakSet()
_steppers: weakref.WeakKeyDictionary[TextToCodes, list[Stepper]] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def _stepper(model: TextToCodes, text: Tensor, number: int = 0) -> Stepper | None:
    """What decodes with the model as it is now, one of several with the same weights; None where torch has to."""
    weight = model.mel_head.weight
    if text.is_cuda or weight.device.type != "cpu" or weight.dtype != torch.float32 or model.training:
        return None
    if model.config.dim % 32 or model.config.dim // model.config.heads % 16 or not network.ready():
        return None
    from ar_tts.stepping import Stepper, Weights, stamp_of

    with _making:
        found = _steppers.get(model)
        kept = None if found is None else (found[0].weights.rounded, found[0].weights.stamp)
        if found is None or kept != (model in _in_bytes, stamp_of(model)):
            found = _steppers[model] = [Stepper(Weights(model, model in _in_bytes))]
        while len(found) <= number:
            found.append(Stepper(found[0].weights))
        return found[number]


def _timed(steps: Iterator[Step]) -> Iterator[Step]:
    """The same steps; their time decides when it is worth it to compile."""
    while True:
        began = time.perf_counter()
        step = next(steps, None)
        network.spend(time.perf_counter() - began)
        if step is None:
            return
        yield step
