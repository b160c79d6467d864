"""A static key/value cache whose rows stand at different places, and steps of static shapes replayed as CUDA graphs.

Rows need no padding: each begins at its own position 0. All that changes from step to step lies in tensors that keep
their place in memory, so that one graph serves any requests.

Shapes: R rows, H heads, S positions seen, P rows of a prompt, C width.
"""
from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ar_tts.gpt import GPT, Cache
from ar_tts.unified import UnifiedVoice

REMEMBERED = 8  # voices with an emotion
_WARM_UP = 2  # runs before a capture, in which libraries choose their kernels


class Slots:
    """Keys and values (layers, R, H, positions, C / H); row r holds a prompt of `begin[r]` positions and what was
    written behind it."""

    def __init__(self, gpt: GPT, rows: int, positions: int) -> None:
        self._gpt = gpt
        # What no row attends to counts nothing as long as it is finite: all begins as zeros.
        weight = gpt.ln_f.weight
        shape = (len(gpt.h), rows, gpt.heads, positions, len(weight) // gpt.heads)
        self.cache = Cache(_zeros(shape, weight), _zeros(shape, weight))
        self.rows, self.positions = rows, positions
        self.begin = torch.zeros(rows, dtype=torch.int64, device=self.cache.keys.device)

    def larger(self, rows: int, positions: int, seen: int) -> Slots:
        """A larger one with the same rows, of which `seen` positions are used."""
        other = Slots(self._gpt, max(rows, self.rows), max(positions, self.positions))
        for new, old in ((other.cache.keys, self.cache.keys), (other.cache.values, self.cache.values)):
            new[:, : self.rows, :, :seen] = old[:, :, :, :seen]
        other.begin[: self.rows] = self.begin
        return other

    def read(self, model: UnifiedVoice, row: int, prompt: Tensor, opening: Cache | None = None) -> None:
        """Take a prompt (1, P, C) in; `opening` holds its first rows already."""
        own = Cache(self.cache.keys[:, row : row + 1], self.cache.values[:, row : row + 1])
        if opening is not None:
            own.length = opening.length
            for mine, theirs in ((own.keys, opening.keys), (own.values, opening.values)):
                mine[:, :, :, : own.length] = theirs[:, :, :, : own.length]
        if own.length < prompt.shape[1]:
            model.hidden(prompt[:, own.length :], own)
        self.begin[row] = prompt.shape[1]

    def clear(self, row: int) -> None:
        """Forget a row that NaN got into."""
        self.cache.keys[:, row], self.cache.values[:, row] = 0, 0

    def copy(self, moves: list[tuple[int, int, int, int]]) -> None:
        """(to, from, start, end): row `to` becomes row `from` in these positions. All moves happen at once."""
        for part in (self.cache.keys, self.cache.values):
            taken = [part[:, source, :, start:end].clone() for _, source, start, end in moves]
            for (target, _, start, end), rows in zip(moves, taken, strict=True):
                part[:, target, :, start:end] = rows
        begins = [self.begin[source].clone() for _, source, _, _ in moves]
        for (target, *_), begin in zip(moves, begins, strict=True):
            self.begin[target] = begin

    def step(self, rows: int, seen: int, written: Tensor) -> Step:
        """One more position for each of the first rows, behind `written` (rows,) others; what any of them sees lies
        among the first `seen` positions."""
        at = (self.begin[:rows] + written).clamp(max=seen - 1)
        return Step(self.cache, rows, seen, at, torch.arange(rows, device=at.device))


@dataclass(frozen=True)
class Step:
    """The cache as `GPT` sees it in one step; see `gpt.Memory`. at: (R,) the position that each row fills."""

    cache: Cache
    rows: int
    seen: int
    at: Tensor
    row: Tensor

    def put(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """(R, H, 1, C / H) -> (R, H, S, C / H)."""
        out = []
        for part, new in ((self.cache.keys[layer], keys), (self.cache.values[layer], values)):
            part[self.row, :, self.at] = new[:, :, 0]
            out.append(part[: self.rows, :, : self.seen])
        return out[0], out[1]

    def mask(self, rows: int) -> Tensor:
        """(R, 1, 1, S)."""
        assert rows == 1
        return (torch.arange(self.seen, device=self.at.device) <= self.at[:, None])[:, None, None]

    def went_on(self, rows: int) -> None:
        """Nothing to note: places are told by the caller."""


def _zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """On the device and in the precision of `like`; on a processor memory is not taken before it is written to."""
    if like.device.type != "cpu":
        return like.new_zeros(shape)
    numbers = np.zeros(math.prod(shape) * like.element_size(), np.uint8)
    return torch.from_numpy(numbers).view(like.dtype).view(shape)


class Openings:
    """Keys and values of the rows that open prompts, for the last few voices with an emotion. For all threads.

    Rows are always computed by themselves, kept or not, so that what follows does not depend on what is kept.
    """

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most, self._lock = most, threading.Lock()
        self._kept: OrderedDict[int, tuple[Tensor, Cache]] = OrderedDict()
        self._count = self.found = 0

    def of(self, model: UnifiedVoice, prompt: Tensor, rows: int) -> Cache | None:
        """The cache of the first rows of a prompt (1, P, C); None for 0 rows."""
        if not rows:
            return None
        opening = prompt[:, :rows]
        with self._lock:
            for number, (known, cache) in self._kept.items():
                if known.shape == opening.shape and torch.equal(known, opening):
                    self._kept.move_to_end(number)
                    self.found += 1
                    return cache
            cache = model.gpt.new_cache(1, rows)
            model.hidden(opening, cache)
            self._count += 1
            self._kept[self._count] = opening.clone(), cache
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return cache


class Replay:
    """Runs a function of whole numbers that reads and writes static tensors; on CUDA as one graph for each arguments.

    Args:
        function: must neither wait for the device nor make a shape of data; what it returns keeps its place in memory.
        harmlessly: a context in which runs change nothing that counts, to warm up in.
    """

    def __init__(self, function: Callable[..., Any], device: torch.device,
                 harmlessly: Callable[[], AbstractContextManager[Any]]) -> None:
        self._function, self._harmlessly, self._on_cuda = function, harmlessly, device.type == "cuda"
        self._device, self._pool = device, cast(Any, None)  # shared by all graphs
        self._graphs: dict[tuple[int, ...], tuple[Any, Any]] = {}

    def __call__(self, *numbers: int) -> Any:
        """What the function returns."""
        if not self._on_cuda:
            return self._function(*numbers)
        if numbers not in self._graphs:
            self._graphs[numbers] = self._captured(numbers)
        graph, out = self._graphs[numbers]
        graph.replay()
        return out

    def forget(self) -> None:
        """The tensors have moved."""
        self._graphs.clear()

    def _captured(self, numbers: tuple[int, ...]) -> tuple[Any, Any]:
        with torch.cuda.device(self._device), self._harmlessly():
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(_WARM_UP):
                    self._function(*numbers)
            torch.cuda.current_stream().wait_stream(aside)
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the device meanwhile: only what this one does counts.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                out = self._function(*numbers)
            return graph, out
