"""Many requests through one compiled network: they join and leave at any step, and get the codes they get alone.

Whoever needs the next step of a request makes that step for all that are there, from any thread; the others find theirs
done. What one request computes does not depend on the rest, see kernels/steps.py.
"""
from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ar_tts.kernels import State, products, steps
from ar_tts.model import TextToCodes
from ar_tts.reading import Draws, Sampling, Step, broken

AHEAD = 128
"""Steps that are made for a request before it asks for them: as many as a window of the renderer holds."""
_MOST, _STEPS = 16, 8  # requests in one step, steps in one call
_PROMPT = 64  # positions of a prompt in one call
_ALIGNED = 64


class Weights:
    """The decoder's numbers in the layout of the kernels; `stamp` says of which state of the model."""

    def __init__(self, model: TextToCodes, rounded: bool = False) -> None:
        """rounded: 8 bits a weight instead of those it has."""
        assert model.reader is not None
        self.config, self.rounded, self.stamp = model.config, rounded, stamp_of(model)
        reader = model.reader
        self.bins = max(reader.config.pitch_bins, reader.config.level_bins)
        self._numbers: list[np.ndarray] = []  # biases, norms and scales, until they are joined
        self._filled = 0
        self._held: list[np.ndarray] = []  # what the addresses point to
        blocks: list[Any] = list(model.gpt.h)
        *inner, first, second, codes, pitch, level = _layers(model)
        self.inner = np.array([self._product([layer]) for layer in inner])
        self.inner_norms = np.array([self._norm(norm) for norm in (
            *(norm for block in blocks for norm in (block.ln_1, block.ln_2)), model.gpt.ln_f, model.final_norm)])
        self.outer = np.array([self._product([first]), self._product([second]),
                               self._product([codes, pitch, level], [model.config.codes, self.bins, self.bins])])
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
        inputs, outputs = len(pairs[0][0]), -(-sum(widths) // products.PANEL) * products.PANEL
        weight, bias = np.zeros((inputs, outputs), np.float32), np.zeros(outputs, np.float32)
        start = 0
        for (w, b), width in zip(pairs, widths, strict=True):
            used = min(width, len(b))
            weight[:, start : start + used], bias[start : start + used] = w[:, :used], b[:used]
            start += width
        kind, stored, scale = _stored(weight, self.rounded)
        panels = stored.reshape(inputs, -1, products.PANEL).transpose(1, 0, 2)
        held = _aligned(panels)
        self._held.append(held)
        return kind, held.ctypes.data, inputs, outputs, self._vector(bias), self._vector(scale)


class Stepper:
    """The requests that are being decoded with one set of weights, and room for them to work in."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        # One that may be taken again: iterators may be closed by the garbage collector in the middle of a step.
        self._lock = threading.RLock()
        self._requests: list[_Request] = []
        self._most = 8 if products.supports("avx512f") else 2
        dim = weights.config.dim
        self._x, self._near = (np.zeros((_PROMPT, dim), np.float32) for _ in range(2))
        self._qkv, self._wide = (np.zeros((_PROMPT, n * dim), np.float32) for n in (3, 4))
        self._logits = np.zeros((_MOST, weights.outer[2][products.OUTPUTS]), np.float32)
        self._scores = np.empty(products.BLOCK, np.float32)
        self._room = _Room(4, weights)
        self._free = [*range(4)]

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
        if not request.made and not request.state:
            with self._lock:
                if not request.made and not request.state:
                    self._advance([request, *(other for other in self._requests if other is not request)])
        if request.made:
            return request.made.popleft()
        if request.state == steps.BROKEN:
            raise broken()
        return None

    def _join(self, request: _Request) -> None:
        if not self._free:
            self._room, size = self._room.doubled(), len(self._room.rows)
            self._free += range(size, 2 * size)
        request.row = self._free.pop()
        if request.positions > len(self._scores):
            self._scores = np.empty(request.positions, np.float32)
        self._room.take(request.row, request.columns, request.draws)
        self._take_in(request)
        self._requests.append(request)

    def _take_in(self, request: _Request) -> None:
        """Read the prompt."""
        weights = self.weights
        for start in range(0, len(request.prompt), _PROMPT):
            part = request.prompt[start : start + _PROMPT]
            self._x[: len(part)] = part
            steps.take_in(request.cache.ctypes.data, start, weights.config.heads, self._most, weights.inner,
                          weights.inner_norms, weights.vectors, self._x[: len(part)], self._near, self._qkv, self._wide,
                          self._scores)

    def _leave(self, request: _Request) -> None:
        self._requests.remove(request)
        self._free.append(request.row)

    def _advance(self, wanting: Sequence[_Request]) -> None:
        """Some steps of the first request, and of as many others as may be ahead."""
        now = [r for r in wanting if not r.state and len(r.made) < r.ahead][:_MOST]
        weights, room = self.weights, self._room
        steps.advance(room.rows, room.survival, np.array([r.row for r in now]), _STEPS, weights.config.heads,
                      self._most, weights.inner, weights.inner_norms, weights.outer, weights.outer_norms,
                      weights.vectors, weights.tables, weights.begins, self._x, self._near, self._qkv, self._wide,
                      self._scores, room.hidden, room.moves, self._logits, room.code_logits, room.tone_logits,
                      room.made, room.codes.arrays(), room.tones.arrays())
        for request in now:
            count, request.state = room.rows[request.row, steps.MADE :].tolist()
            request.made += [Step(*numbers) for numbers in room.made[request.row, :count].tolist()]


class _Room:
    """What the kernel knows of R requests, and where it puts what it found."""

    def __init__(self, rows: int, weights: Weights) -> None:
        self._weights = weights
        codes, bins = weights.config.codes, weights.bins
        self.rows, self.survival = np.zeros((rows, steps.STATE + 1), np.int64), np.ones(rows)
        self.hidden, self.moves = (np.zeros((rows, n), np.float32) for n in (weights.config.dim, steps.MOVES))
        self.code_logits, self.tone_logits = np.zeros((rows, codes), np.float32), np.zeros((2 * rows, bins), np.float32)
        self.made = np.zeros((rows, _STEPS, 4), np.int64)
        self.codes, self.tones = State.new(codes, [0] * rows), State.new(bins, [0] * (2 * rows))

    def doubled(self) -> _Room:
        """A larger one with the same requests."""
        other = _Room(2 * len(self.rows), self._weights)
        for old, new in zip(self._kept(), other._kept(), strict=True):
            new[: len(old)] = old
        return other

    def _kept(self) -> tuple[np.ndarray, ...]:
        """What outlasts a call."""
        return (self.rows, self.survival, *self.codes.arrays()[:4], *self.tones.arrays()[:4])

    def take(self, row: int, columns: Sequence[int], draws: Draws) -> None:
        """A request comes in."""
        self.rows[row], self.survival[row] = columns, 1.0
        both = (self.codes, draws.codes, row, 1), (self.tones, draws.tones, 2 * row, 2)
        for state, own, first, count in both:
            for whole, part in zip(state.arrays()[:4], own.arrays()[:4], strict=True):
                whole[first : first + count] = part


class _Request:
    """One request: its tables and cache, and what was made for it."""

    @torch.inference_mode()
    def __init__(self, model: TextToCodes, weights: Weights, timbre: Tensor, emotion: Tensor, text: Tensor, length: int,
                 seed: int, sampling: Sampling, ahead: int) -> None:
        assert model.reader is not None
        reader, config, symbols = model.reader, model.config, text.shape[1]
        self.ahead, self.row, self.made, self.state = ahead, -1, deque[Step](), steps.GOING
        self.draws = Draws(model, seed, sampling, text.device)
        row, at = model.who_and_how(timbre, emotion), torch.arange(symbols)[None]
        seen = reader.window(text, at)
        where = reader.window_in(seen) + row + reader.pace.bias
        self.prompt = _numpy(model.prefix(row, text, torch.tensor([length]))[0])
        blocks = -(-(len(self.prompt) + config.max_codes) // products.BLOCK)
        self.positions = blocks * products.BLOCK
        # Memory that is never written is never committed: no need to begin small and grow.
        self.cache = np.empty((blocks, config.layers, 2 * config.dim, products.BLOCK), np.float32)
        told, thresholds = reader.window_out(seen)[0], self.draws.thresholds(symbols + 1)
        self._held = _numpy(where[0]), _numpy(told), self.cache, thresholds
        columns = {steps.LENGTH: len(self.prompt), steps.CODE: config.start_code, steps.ASKED: length,
                   steps.SYMBOLS: int((text != reader.config.symbols).sum()), steps.TEXT: symbols,
                   steps.DWELL_LIMIT: sampling.dwell_limit, steps.LAST: config.max_codes}
        columns |= {column: part.ctypes.data for column, part in enumerate(self._held)}
        self.columns = [columns.get(column, 0) for column in range(steps.STATE + 1)]


@torch.no_grad()
def in_bytes(model: TextToCodes) -> TextToCodes:
    """A copy whose weights are those that `Weights(model, rounded=True)` has, for torch."""
    copy = deepcopy(model).requires_grad_(False)
    for layer in _layers(copy):
        weight = layer.weight.t() if isinstance(layer, nn.Linear) else layer.weight
        scale = weight.abs().amax(0).clamp(min=1e-12) / 127
        weight.copy_((weight / scale).round() * scale)
    return copy


def _layers(model: TextToCodes) -> list[Any]:
    """All layers whose weights a step reads: four a block, then that of the moves, and five behind the reader."""
    assert model.reader is not None
    reader, blocks = model.reader, list(model.gpt.h)
    inner: list[Any] = [layer for block in blocks for layer in (
        block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj)]  # type: ignore[union-attr]
    return [*inner, reader.advance, reader.mix[1], reader.mix[3], model.mel_head, reader.pitch, reader.level]


def stamp_of(model: nn.Module) -> tuple[tuple[int, int], ...]:
    """Changes when weights do, unless they are changed behind the back of torch."""
    return tuple((p.data_ptr(), 0 if p.is_inference() else p._version) for p in model.parameters())


def _numpy(tensor: Tensor) -> np.ndarray:
    """A copy in single precision."""
    return tensor.detach().float().contiguous().numpy().copy()


def _affine(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Weight (in, out) and bias (out,) of a Conv1D or nn.Linear."""
    weight = layer.weight.t() if isinstance(layer, nn.Linear) else layer.weight
    return _numpy(weight), _numpy(layer.bias)


def _stored(weight: np.ndarray, rounded: bool) -> tuple[int, np.ndarray, np.ndarray]:
    """How to keep (in, out): kind, numbers, scales (out,) of bytes. Half precision only where nothing is lost."""
    if rounded:
        scale = np.maximum(np.abs(weight).max(0), np.float32(1e-12)) / np.float32(127)
        return products.BYTE, np.rint(weight / scale).astype(np.int8), scale
    none = np.zeros(0, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        half = weight.astype(np.float16)
    if products.supports("f16c") and np.array_equal(half.astype(np.float32), weight, equal_nan=True):
        return products.HALF, half, none
    return products.SINGLE, weight, none


def _aligned(panels: np.ndarray) -> np.ndarray:
    """A contiguous copy that begins at a cache line."""
    room = np.empty(panels.nbytes + _ALIGNED, np.uint8)
    start = -room.ctypes.data % _ALIGNED
    flat = room[start : start + panels.nbytes]
    flat.view(panels.dtype)[:] = panels.ravel()
    return flat
