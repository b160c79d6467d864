"""Beam search of the published models, over scores that penalty, temperature and filters have changed, as published: a
sequence is ranked by the sum of those, divided by length ** length_penalty.

A request keeps its codes whatever it is batched with: draws come from its own seed (see sampling.py).

Shapes: R rows (a request has one a beam), V codes with start and stop, C width.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ar_tts.kernels import reference
from ar_tts.request import Request, Written, latents_of
from ar_tts.sampling import CodeSampling, processed
from ar_tts.slots import Openings, Slots
from ar_tts.unified import UnifiedVoice

_LOWEST = -1e9  # score of the beams that do not exist yet at the first step
_BUCKET = 64  # positions


class _Node:
    """One written code: the one before it, and the hidden state (C,) that predicted it."""

    __slots__ = ("before", "code", "depth", "hidden")

    def __init__(self, code: int, before: _Node | None, hidden: Tensor) -> None:
        self.code, self.before, self.hidden = code, before, hidden
        self.depth: int = 0 if before is None else before.depth + 1


@dataclass
class _Job:
    """One request on its way: `paths` end its beams, `scores` (beams,) rank them, `ended` are finished ones."""

    index: int
    request: Request
    paths: list[_Node | None]
    scores: Tensor
    ended: list[tuple[float, _Node | None, bool]] = field(default_factory=list)
    flawed: bool = False


class Search:
    """Some requests that begin together; `run` gives their codes."""

    def __init__(self, model: UnifiedVoice, requests: Sequence[Request], sampling: CodeSampling,
                 openings: Openings) -> None:
        self.model, self.sampling, self.requests = model, sampling, requests
        self.vocabulary = model.config.number_mel_codes
        self.stop = model.config.stop_mel_token
        self.device = requests[0].prompt.device
        self.beams = sampling.beams
        scores = torch.full((self.beams,), _LOWEST, device=self.device)
        scores[0] = 0.0
        self.jobs = [_Job(i, request, [None] * self.beams, scores.clone()) for i, request in enumerate(requests)]
        self.seen = torch.zeros(len(requests) * self.beams, self.vocabulary, dtype=torch.bool, device=self.device)
        if sampling.penalise_prefix:
            self.seen[:, [1, model.config.start_mel_token]] = True
        self.slots = self._read(openings)

    def run(self) -> list[Written]:
        """All requests, in their order."""
        done: list[Written | None] = [None] * len(self.requests)
        start = self.model.config.start_mel_token
        codes = torch.full((len(self.jobs) * self.beams,), start, device=self.device)
        for step in range(self.sampling.max_codes):
            codes = self._advance(self._feed(codes, step), step)
            for job in self.jobs:
                if self._over(job, step + 1):
                    done[job.index] = self._written(job)
            left = [row for row, job in enumerate(self.jobs) if done[job.index] is None]
            if not left:
                break
            if len(left) < len(self.jobs):
                codes = self._select(left, codes, step)
        return [written for written in done if written is not None]

    def _read(self, openings: Openings) -> Slots:
        """Take the prompts in, each once for all of its beams."""
        most = max(request.prompt.shape[1] + request.last(self.sampling) for request in self.requests)
        slots = Slots(self.model.gpt, len(self.seen), -(-most // _BUCKET) * _BUCKET)
        for first, request in zip(range(0, len(self.seen), self.beams), self.requests):
            slots.read(self.model, first, request.prompt, openings.of(self.model, request.prompt, request.opening))
            slots.copy([(first + beam, first, 0, request.prompt.shape[1]) for beam in range(1, self.beams)])
        return slots

    def _feed(self, codes: Tensor, step: int) -> Tensor:
        """The codes (R,) that were written last -> (R, C), what predicts the next."""
        place = step + (1 if step and self.sampling.positions == "upstream" else 0)
        seen = max(job.request.prompt.shape[1] for job in self.jobs) + step + 1
        seen = min(-(-seen // _BUCKET) * _BUCKET, self.slots.positions)
        here = self.slots.step(len(codes), seen, torch.full_like(codes, step))
        return self.model.hidden(self.model.code_rows(codes[:, None], place), here)[:, 0]

    def _logits(self, hidden: Tensor, step: int) -> Tensor:
        """(R, C) -> (R, V), with what must not be written at -inf."""
        logits = self.model.mel_head(hidden).float()
        if not self.sampling.allow_start:
            logits[:, self.model.config.start_mel_token] = float("-inf")
        bias = [job.request.length.bias(step) if job.request.length else 0.0 for job in self.jobs]
        logits[:, self.stop] += torch.tensor(bias, device=self.device).repeat_interleave(self.beams)
        return logits

    def _advance(self, hidden: Tensor, step: int) -> Tensor:
        scores = self._logits(hidden, step).log_softmax(-1)
        scores = processed(scores, self.seen, self.sampling, min_keep=2)
        scores = scores + torch.cat([job.scores for job in self.jobs])[:, None]
        flat = scores.view(len(self.jobs), -1)
        broken = flat.isnan().any(1) | (flat == float("-inf")).all(1)
        flat = torch.where(broken[:, None], 0.0, flat)
        chosen = flat.topk(2 * self.beams).indices
        if self.sampling.sample:
            chosen = torch.stack([self._drawn(job, row, step) for job, row in zip(self.jobs, flat)])
        best, order = flat.gather(1, chosen).sort(dim=1, descending=True, stable=True)
        chosen = chosen.gather(1, order)
        parents: list[int] = []
        codes: list[int] = []
        moves: list[tuple[int, int, int, int]] = []
        for job, flawed in zip(self.jobs, broken.tolist()):
            job.flawed = flawed
            if flawed:  # it goes through this step as all others, to be let go after it
                job.ended = [(float("inf"), job.paths[0], False)]
        for row, (job, values, indices) in enumerate(zip(self.jobs, best.tolist(), chosen.tolist())):
            first = row * self.beams
            taken = self._choose(job, values, indices, step)
            before = job.paths
            job.scores = torch.tensor([values[rank] for rank in taken], device=self.device)
            job.paths = []
            for beam, rank in enumerate(taken):
                parent, code = divmod(indices[rank], self.vocabulary)
                job.paths.append(_Node(code, before[parent], hidden[first + parent]))
                parents.append(first + parent)
                codes.append(code)
                if (split := _first_difference(before[beam], before[parent])) is not None:
                    opening = job.request.prompt.shape[1] + 1
                    moves.append((first + beam, first + parent, opening + split, opening + step))
        self.slots.copy(moves)
        drawn = torch.tensor(codes, device=self.device)
        self.seen = self.seen[parents]
        self.seen[torch.arange(len(codes), device=self.device), drawn] = True
        return drawn

    def _drawn(self, job: _Job, scores: Tensor, step: int) -> Tensor:
        """Candidates of one request, from the scores (beams * V) of all its beams -> (2 * beams,) indices."""
        possible = scores.isfinite().nonzero()[:, 0]
        if len(possible) < 2 * self.beams:
            possible = torch.arange(len(scores), device=scores.device)
        return possible[reference.drawn(scores[possible], job.request.seed, step, 2 * self.beams)]

    def _select(self, left: Sequence[int], codes: Tensor, step: int) -> Tensor:
        """Go on with these jobs only; `codes` (R,) -> those of their rows."""
        moves, rows = [], []
        for target, source in enumerate(left):
            end = self.jobs[source].request.prompt.shape[1] + step + 1
            for beam in range(self.beams):
                rows.append(source * self.beams + beam)
                if target != source:
                    moves.append((target * self.beams + beam, rows[-1], 0, end))
        broken = [row for row, job in enumerate(self.jobs) if job.flawed]
        for row in (job * self.beams + beam for job in broken for beam in range(self.beams)):
            self.slots.clear(row)
        self.slots.copy(moves)
        self.jobs, self.seen = [self.jobs[row] for row in left], self.seen[rows]
        return codes[rows]

    def _choose(self, job: _Job, values: Sequence[float], indices: Sequence[int], step: int) -> list[int]:
        """Ranks of the candidates that go on; those that stop are put among the ended, worst ones dropped."""
        taken: list[int] = []
        for rank, (value, index) in enumerate(zip(values, indices)):
            parent, code = divmod(index, self.vocabulary)
            if code != self.stop:
                taken.append(rank)
            elif rank < self.beams:
                self._end(job, value, job.paths[parent], step + 1, True)
        return taken[: self.beams]

    def _end(self, job: _Job, score: float, path: _Node | None, length: int, stopped: bool) -> None:
        job.ended.append((score / length**self.sampling.length_penalty, path, stopped))
        job.ended = sorted(job.ended, key=lambda end: end[0], reverse=True)[: self.beams]

    def _over(self, job: _Job, written: int) -> bool:
        if job.flawed:
            return True
        if written == job.request.last(self.sampling):
            for score, path in zip(job.scores.tolist(), job.paths):
                self._end(job, score, path, written, job.request.length is not None)
            return True
        attainable = float(job.scores.max()) / written**self.sampling.length_penalty
        return len(job.ended) == self.beams and job.ended[-1][0] >= attainable

    def _written(self, job: _Job) -> Written:
        _, node, stopped = max(job.ended, key=lambda end: end[0])
        codes, latents = [], []
        while node is not None:
            codes.append(node.code)
            latents.append(node.hidden)
            node = node.before
        found = torch.tensor(codes[::-1], dtype=torch.long, device=self.device)
        empty = job.request.prompt.new_zeros(0, job.request.prompt.shape[-1])
        seen = torch.stack(latents[::-1]) if latents else empty
        return Written(found, latents_of(self.model, job.request, found, seen, self.sampling), stopped, job.flawed)


def _first_difference(one: _Node | None, other: _Node | None) -> int | None:
    """Depth from which two paths of equal length differ, None where they do not."""
    depth = None
    while one is not other:
        assert one is not None and other is not None
        depth, one, other = one.depth, one.before, other.before
    return depth
