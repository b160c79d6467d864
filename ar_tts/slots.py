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
_CAPTURES = threading.Lock()  # torch can make one graph at a time
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
            like = {number: known for number, (known, _) in self._kept.items() if known.shape == opening.shape}
            same = torch.stack([(known == opening).all() for known in like.values()]).tolist() if like else []
            for number in (number for number, equal in zip(like, same, strict=True) if equal):
                self._kept.move_to_end(number)
                self.found += 1
                return self._kept[number][1]
            cache = model.gpt.new_cache(1, rows)
            model.hidden(opening, cache)
            if bool(opening.isfinite().all()):
                self._count += 1
                self._kept[self._count] = opening.clone(), cache
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return cache


class Replay:
    """Runs functions of whole numbers that read and write static tensors; on CUDA as one graph for each set of numbers.

    A function must neither wait for the device nor make a shape of data, and it must be the same one every time. It is
    given with each call and not kept: whoever owns both it and this would be kept alive by it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool, self._aside = cast(Any, None), cast(Any, None)  # memory of all graphs, and a stream to capture in
        self._graphs: dict[tuple[int, ...], Any] = {}

    def __call__(self, function: Callable[..., None], numbers: tuple[int, ...],
                 harmlessly: Callable[[], AbstractContextManager[Any]]) -> None:
        """harmlessly: a context in which runs change nothing that counts, to warm up in."""
        if self._device.type != "cuda":
            function(*numbers)
            return
        if numbers not in self._graphs:
            self._graphs[numbers] = self._captured(function, numbers, harmlessly)
        self._graphs[numbers].replay()

    def _captured(self, function: Callable[..., None], numbers: tuple[int, ...],
                  harmlessly: Callable[[], AbstractContextManager[Any]]) -> Any:
        with _CAPTURES, torch.cuda.device(self._device), harmlessly():
            own = torch.cuda.current_stream()
            self._aside = self._aside or torch.cuda.Stream()
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            self._aside.wait_stream(own)
            with torch.cuda.stream(own):  # which is returned to if the capture fails
                with torch.cuda.stream(self._aside):
                    for _ in range(_WARM_UP):
                        function(*numbers)
                own.wait_stream(self._aside)
                graph = torch.cuda.CUDAGraph()
                # Other threads may use the device meanwhile: only what this one does counts.
                with torch.cuda.graph(graph, pool=self._pool, stream=self._aside, capture_error_mode="thread_local"):
                    function(*numbers)
            return graph
