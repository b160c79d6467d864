"""Many requests through one compiled network: they join and leave at any step, and get the codes they get alone.

Whoever needs the next step of a request makes that step for all that are there, from any thread; the others find theirs
done. What one request computes does not depend on the rest, see kernels/steps.py.
"""
from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ar_tts.kernels import cpu, steps
from ar_tts.kernels.state import DONE, FINE, TOKEN
from ar_tts.model import SLOTS, TextToCodes
from ar_tts.reading import Draws, Reading, Sampling, Step, broken

AHEAD = 128
"""Steps that are made for a request before it asks for them: as many as a window of the renderer holds."""
_MOST = 16  # requests in one step
_ALIGNED = 64


class Weights:
    """The decoder's numbers in the layout of kernels/steps.py; `stamp` says of which state of the model."""

    def __init__(self, model: TextToCodes, rounded: bool = False) -> None:
        """rounded: 8 bits a weight instead of those it has."""
        assert model.reader is not None
        self.config, self.rounded, self.stamp = model.config, rounded, stamp_of(model)
        self.dim, self.heads = model.config.dim, model.config.heads
        reader = model.reader
        self.bins = max(reader.config.pitch_bins, reader.config.level_bins)
        self._numbers: list[np.ndarray] = []  # biases, norms and scales, until they are joined
        self._filled = 0
        self._held: list[np.ndarray] = []  # what the addresses point to
        inner = [self._product([layer]) for block in model.gpt.h
                 for layer in (block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj)]
        self.inner = np.array([*inner, self._product([reader.advance])])
        self.inner_norms = np.array([self._norm(norm) for norm in (
            *(norm for block in model.gpt.h for norm in (block.ln_1, block.ln_2)), model.gpt.ln_f, model.final_norm)])
        self.outer = np.array([self._product([reader.mix[1]]), self._product([reader.mix[3]]),
                               self._product([model.mel_head, reader.pitch, reader.level],
                                             [model.config.codes, self.bins, self.bins])])
        self.outer_norms = np.array([self._norm(reader.mix[0])])
        self.vectors = np.concatenate(self._numbers)
        tables = [_numpy(table) for table in (
            model.mel_embedding.weight, model.mel_pos_embedding.emb.weight, reader.pitch_in.weight,
            reader.level_in.weight, reader.dwell.weight, reader.pace.weight.t())]
        self.tables = np.ascontiguousarray(np.concatenate(tables))
        self.begins = np.cumsum([0, *map(len, tables[:-1])])

    @property
    def bytes(self) -> int:
        """Of the weights that a step reads."""
        return sum(part.nbytes for part in self._held)

    def _vector(self, numbers: np.ndarray) -> int:
        """Keep a vector -> where it begins."""
        self._numbers.append(numbers.astype(np.float32))
        self._filled += len(numbers)
        return self._filled - len(numbers)

    def _norm(self, norm: Any) -> tuple[int, int]:
        return self._vector(_numpy(norm.weight)), self._vector(_numpy(norm.bias))

    def _product(self, layers: Sequence[nn.Module], widths: Sequence[int] | None = None) -> tuple[int, ...]:
        """Layers of one input side by side, each cut or filled up to its width."""
        pairs = [_affine(layer) for layer in layers]
        widths = widths or [len(bias) for _, bias in pairs]
        inputs, outputs = len(pairs[0][0]), -(-sum(widths) // steps.PANEL) * steps.PANEL
        weight, bias = np.zeros((inputs, outputs), np.float32), np.zeros(outputs, np.float32)
        start = 0
        for (w, b), width in zip(pairs, widths, strict=True):
            used = min(width, len(b))
            weight[:, start : start + used], bias[start : start + used] = w[:, :used], b[:used]
            start += width
        kind, stored, scale = _stored(weight, self.rounded)
        panels = stored.reshape(inputs, -1, steps.PANEL).transpose(1, 0, 2)
        held = _aligned(panels)
        self._held.append(held)
        return kind, held.ctypes.data, inputs, outputs, self._vector(bias), self._vector(scale)


class Stepper:
    """The requests that are being decoded with one set of weights, and room for them to work in."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self._lock = threading.Lock()
        self._requests: list[_Request] = []
        self._free: list[int] = []
        self._most = 4 if _many_registers() else 2
        self._room(0, 4)

    def decode(self, model: TextToCodes, timbre: Tensor, emotion: Tensor, text: Tensor, length: int, seed: int,
               sampling: Sampling, ahead: int = AHEAD) -> Iterator[Step]:
        """See `ar_tts.decoding.decode`. `model` has the weights that this was made of."""
        request = _Request(model, self.weights, timbre, emotion, text, length, seed, sampling, ahead)
        with self._lock:
            self._join(request)
        try:
            while (step := self._next(request)) is not None:
                yield step
        finally:
            with self._lock:
                self._leave(request)

    @property
    def requests(self) -> int:
        """How many there are now."""
        return len(self._requests)

    def _next(self, request: _Request) -> Step | None:
        if not request.made and not request.ended:
            with self._lock:
                if not request.made and not request.ended:
                    self._advance([request, *(other for other in self._requests if other is not request)])
        if request.made:
            return request.made.popleft()
        if request.broken:
            raise broken()
        return None

    def _join(self, request: _Request) -> None:
        if not self._free:
            self._room(len(self._rows), 2 * len(self._rows))
        request.row = row = self._free.pop()
        if request.limit > len(self._scores):
            self._scores = np.empty(request.limit, np.float32)
        self._rows[row] = request.columns
        both = (self._codes, request.draws.codes, row, 1), (self._tones, request.draws.tones, 2 * row, 2)
        for state, own, first, count in both:
            for whole, part in zip(state.arrays()[:4], own.arrays()[:4], strict=True):
                whole[first : first + count] = part
        self._requests.append(request)

    def _leave(self, request: _Request) -> None:
        self._requests.remove(request)
        self._free.append(request.row)

    def _room(self, rows: int, wanted: int) -> None:
        """Make room for more requests than the `rows` that there are."""
        dim, weights = self.weights.dim, self.weights
        grown: dict[str, np.ndarray] = {}
        for name, width, kind in (("_rows", steps.SYMBOLS + 1, np.int64), ("_hidden", dim, np.float32),
                                  ("_moves", steps.MOVES, np.float32)):
            grown[name] = np.zeros((wanted, width), kind)
            if rows:
                grown[name][:rows] = getattr(self, name)
        self._rows, self._hidden, self._moves = grown.values()
        self._code_logits = np.zeros((wanted, weights.config.codes), np.float32)
        self._tone_logits = np.zeros((2 * wanted, weights.bins), np.float32)
        codes, tones = (_idle(wanted, weights.config.codes), _idle(2 * wanted, weights.bins))
        if rows:
            for old, new in ((self._codes, codes), (self._tones, tones)):
                for whole, part in zip(new.arrays()[:4], old.arrays()[:4], strict=True):
                    whole[: len(part)] = part
        self._codes, self._tones = codes, tones
        self._free += range(rows, wanted)
        if rows:
            return
        self._x, self._near = (np.zeros((_MOST, dim), np.float32) for _ in range(2))
        self._qkv, self._wide = (np.zeros((_MOST, n * dim), np.float32) for n in (3, 4))
        self._logits = np.zeros((_MOST, weights.outer[2][steps.OUTPUTS]), np.float32)
        self._scores = np.empty(steps.BLOCK, np.float32)

    def _advance(self, wanting: Sequence[_Request]) -> None:
        """One step of the first request, and of as many others as may be ahead."""
        made = [r for r in wanting if not r.ended and len(r.made) < r.ahead][:_MOST]
        which = np.array([r.row for r in made])
        weights = self.weights
        steps.read(self._rows, which, weights.heads, self._most, weights.inner, weights.inner_norms, weights.vectors,
                   weights.tables, weights.begins, self._x, self._near, self._qkv, self._wide, self._scores,
                   self._hidden, self._moves)
        still = []
        for request in made:
            if request.moved(self._moves[request.row].tolist()):
                self._rows[request.row, steps.POINTER : steps.DWELL + 1] = request.reading.pointer, request.reading.dwell
                still.append(request)
        if still:
            self._write(still)

    def _write(self, writing: Sequence[_Request]) -> None:
        """What the requests write at their pointers."""
        weights, which = self.weights, np.array([r.row for r in writing])
        steps.write(self._rows, which, self._most, weights.outer, weights.outer_norms, weights.vectors, self._x,
                    self._near, self._wide, self._hidden, self._logits, self._code_logits, self._tone_logits)
        for state, logits, rows in ((self._codes, self._code_logits, which),
                                    (self._tones, self._tone_logits, np.concatenate([2 * which, 2 * which + 1]))):
            arrays = state.arrays()
            arrays[0][:, DONE] = 1
            arrays[0][rows, DONE] = 0
            cpu.sample_arrays(logits, *arrays)
        codes, tones = self._codes.arrays()[0], self._tones.arrays()[0]
        for request in writing:
            row = request.row
            (code, flaw), *heard = codes[row, TOKEN:].tolist(), *tones[2 * row : 2 * row + 2, TOKEN:].tolist()
            (pitch, flaw_high), (level, flaw_loud) = heard
            if not flaw == flaw_high == flaw_loud == FINE:
                request.broken = request.ended = True
                continue
            request.wrote(Step(code, pitch, level, request.reading.pointer))
            self._rows[row, steps.STEP : steps.LEVEL + 1] = request.written, code, pitch, level


class _Request:
    """One request: its tables and cache, where it stands in its text, and what was made for it."""

    @torch.inference_mode()
    def __init__(self, model: TextToCodes, weights: Weights, timbre: Tensor, emotion: Tensor, text: Tensor, length: int,
                 seed: int, sampling: Sampling, ahead: int) -> None:
        assert model.reader is not None
        reader, config = model.reader, model.config
        self.ahead, self.made, self.row, self.written = ahead, deque[Step](), -1, 0
        self.ended = self.broken = False
        self.draws = Draws(model, seed, sampling, text.device)
        self.reading = Reading(self.draws, text.shape[1])
        self.last = config.max_codes
        row = model.who_and_how(timbre, emotion)
        asked, at = torch.tensor([length]), torch.arange(text.shape[1])[None]
        where = reader.window_in(reader.window(text, at)) + row + reader.pace.bias
        self.where, self.told = _numpy(where[0]), _numpy(reader.window_out(reader.window(text, at))[0])
        prefix = model.prefix(row, text, asked)
        start = prefix.shape[1]
        cache = model.gpt.new_cache(1, start)
        model.hidden(prefix, cache)
        most = start + config.max_codes
        self.limit = limit = -(-most // steps.BLOCK) * steps.BLOCK
        size = config.dim // config.heads
        shape = (config.layers, config.heads, limit, size)
        # Memory that is never written is never committed: no need to begin small and grow.
        self.keys, self.values = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self.values[:, :, :start] = cache.values[:, 0].numpy()
        blocks = -(-start // steps.BLOCK)
        keys = np.zeros((*shape[:2], blocks * steps.BLOCK, size), np.float32)
        keys[:, :, :start] = cache.keys[:, 0].numpy()
        turned = keys.reshape(*shape[:2], blocks, steps.BLOCK, size).swapaxes(-1, -2)
        self.keys[:, :, : blocks * steps.BLOCK] = turned.reshape(*shape[:2], blocks * steps.BLOCK, size)
        symbols = int((text != reader.config.symbols).sum())
        self.columns = (*(part.ctypes.data for part in (self.where, self.told, self.keys, self.values)), limit, start,
                        0, config.start_code, 0, 0, 0, 0, length, symbols)

    def moved(self, moves: Sequence[float]) -> bool:
        """Whether the request goes on after its pointer moved."""
        self.ended = not self.reading.moved(moves)
        return not self.ended

    def wrote(self, step: Step) -> None:
        """Take a step in."""
        self.made.append(step)
        self.written += 1
        self.ended = self.written == self.last


def stamp_of(model: nn.Module) -> tuple[tuple[int, int], ...]:
    """Changes when weights do, unless they are changed behind the back of torch."""
    return tuple((p.data_ptr(), 0 if p.is_inference() else p._version) for p in model.parameters())


def _idle(rows: int, vocabulary: int) -> Any:
    from ar_tts.kernels.state import State

    return State.new(vocabulary, [0] * rows)


def _numpy(tensor: Tensor) -> np.ndarray:
    """A copy in single precision."""
    return np.array(tensor.detach().float().contiguous())


def _affine(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Weight (in, out) and bias (out,) of a Conv1D or nn.Linear."""
    weight = layer.weight.t() if isinstance(layer, nn.Linear) else layer.weight
    return _numpy(weight), _numpy(layer.bias)


def _stored(weight: np.ndarray, rounded: bool) -> tuple[int, np.ndarray, np.ndarray]:
    """How to keep (in, out): kind, numbers, scales (out,) of bytes. Half precision only where nothing is lost."""
    if rounded:
        scale = np.maximum(np.abs(weight).max(0), np.float32(1e-12)) / np.float32(127)
        return steps.BYTE, np.rint(weight / scale).astype(np.int8), scale
    none = np.zeros(0, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        half = weight.astype(np.float16)
    if _has("f16c") and np.array_equal(half.astype(np.float32), weight, equal_nan=True):
        return steps.HALF, half, none
    return steps.SINGLE, weight, none


def _aligned(panels: np.ndarray) -> np.ndarray:
    """A contiguous copy that begins at a cache line."""
    room = np.empty(panels.nbytes + _ALIGNED, np.uint8)
    start = -room.ctypes.data % _ALIGNED
    flat = room[start : start + panels.nbytes]
    flat.view(panels.dtype)[:] = panels.ravel()
    return flat


def _many_registers() -> bool:
    return _has("avx512f")


def _has(feature: str) -> bool:
    from llvmlite import binding

    return bool(binding.get_host_cpu_features().get(feature, False))


@dataclass(frozen=True)
class Request:
    """What `ar_tts.decoding.decode_batch` decodes: see `decode`."""

    timbre: Tensor
    emotion: Tensor
    text: Tensor
    length: int = 0
    seed: int = 0
