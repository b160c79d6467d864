"""The decoding loop of the published models: prompts in, codes and their latents out, in batches and with beams.

Prompts of different length are padded on the left with rows that nothing attends to. A request keeps its codes whatever
it is batched with: draws come from its own seed (see sampling.py).

The hidden states that the codes are drawn from are the latents that the published pipeline fetches by a second pass,
as long as code positions are those of training; they are kept, and the second pass is left out.

Shapes: B requests, R rows (a request has one, or one a beam), P prompt rows, V codes with start and stop, C width.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from ar_tts.kernels import State, reference, sample
from ar_tts.kernels.state import FINE
from ar_tts.sampling import PUBLISHED, CodeSampling, LengthTarget, processed
from ar_tts.unified import UnifiedVoice

_LOWEST = -1e9  # score of the beams that do not exist yet at the first step


@dataclass(frozen=True)
class Request:
    """Rows before the codes (1, P, C) from `UnifiedVoice.prompt`, the seed of its draws, a length to keep to."""

    prompt: Tensor = field(repr=False)
    seed: int = 0
    length: LengthTarget | None = None


@dataclass
class Written:
    """codes (K,) without stop; latents (K, C), the hidden states that predicted them; whether the end was reached
    rather than the limit of codes; `flawed` where the model computed NaN, which ends a request and harms no other."""

    codes: Tensor
    latents: Tensor = field(repr=False)
    stopped: bool
    flawed: bool = False


@torch.inference_mode()
def write(model: UnifiedVoice, requests: Sequence[Request], sampling: CodeSampling = PUBLISHED) -> list[Written]:
    """Write the codes of all requests together.

    Raises ValueError where the table of code positions is shorter than what is asked for.
    """
    if not requests:
        return []
    longest = max([sampling.max_codes, *(r.length.last for r in requests if r.length)])
    if longest > model.config.max_mel_tokens:
        raise ValueError(f"{longest} codes are asked for; this model can write {model.config.max_mel_tokens}")
    over = [r.length.last for r in requests if r.length and r.length.last > sampling.max_codes]
    if over:
        raise ValueError(f"a length of {over[0]} codes with max_codes={sampling.max_codes}: raise max_codes")
    loop = _Search if sampling.beams > 1 else _Single
    return loop(model, requests, sampling).run()


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


class _Loop(ABC):
    """What single sequences and beams share: cache, positions, forbidden codes, the written history."""

    def __init__(self, model: UnifiedVoice, requests: Sequence[Request], sampling: CodeSampling) -> None:
        self.model, self.sampling, self.requests = model, sampling, requests
        self.vocabulary = model.config.number_mel_codes
        self.stop = model.config.stop_mel_token
        self.device = requests[0].prompt.device
        self.beams = sampling.beams
        scores = torch.full((self.beams,), _LOWEST, device=self.device)
        scores[0] = 0.0
        self.jobs = [_Job(i, request, [None] * self.beams, scores.clone()) for i, request in enumerate(requests)]

    def run(self) -> list[Written]:
        """All requests, in their order."""
        done: list[Written | None] = [None] * len(self.requests)
        hidden = self._read()
        for step in range(self.sampling.max_codes):
            codes = self._advance(hidden, step)
            for job in self.jobs:
                if self._over(job, step + 1):
                    done[job.index] = self._written(job)
            left = [row for row, job in enumerate(self.jobs) if done[job.index] is None]
            if not left:
                break
            if len(left) < len(self.jobs):
                rows = [row * self.beams + beam for row in left for beam in range(self.beams)]
                self.jobs = [self.jobs[row] for row in left]
                self.cache.select(rows)
                self._select(rows)
                codes = codes[rows]
            hidden = self._feed(codes, step)
        return [written for written in done if written is not None]

    def _read(self) -> Tensor:
        """The prompts and the start code -> (R, C), what predicts the first code."""
        config, prompts = self.model.config, [request.prompt for request in self.requests]
        start = self.model.code_rows(torch.tensor([[config.start_mel_token]], device=self.device))
        longest = max(prompt.shape[1] for prompt in prompts)
        rows = torch.cat([F.pad(torch.cat([prompt, start], 1), (0, 0, longest - prompt.shape[1], 0))
                          for prompt in prompts])
        self.opening = longest + 1
        cache = self.model.gpt.new_cache(len(prompts), self.opening + self.sampling.max_codes)
        if any(prompt.shape[1] < longest for prompt in prompts):
            padding = torch.tensor([longest - prompt.shape[1] for prompt in prompts], device=self.device)
            cache.keep = torch.arange(cache.keys.shape[3], device=self.device) >= padding[:, None]
        hidden = self.model.hidden(rows, cache)[:, -1]
        self.cache = cache.repeated(self.beams)
        return hidden.repeat_interleave(self.beams, 0)

    def _feed(self, codes: Tensor, step: int) -> Tensor:
        """The codes (R,) written at `step` -> (R, C), what predicts the next."""
        position = step + (1 if self.sampling.positions == "trained" else 2)
        return self.model.hidden(self.model.code_rows(codes[:, None], position), self.cache)[:, 0]

    @abstractmethod
    def _advance(self, hidden: Tensor, step: int) -> Tensor:
        """Choose the codes (R,) of this step."""

    @abstractmethod
    def _select(self, rows: Sequence[int]) -> None:
        """Forget all rows but these."""

    @abstractmethod
    def _over(self, job: _Job, written: int) -> bool:
        """Whether a request ends here."""

    def _at_limit(self, job: _Job, written: int) -> bool:
        return written == (job.request.length.last if job.request.length else self.sampling.max_codes)

    def _written(self, job: _Job) -> Written:
        _, node, stopped = max(job.ended, key=lambda end: end[0])
        codes, latents = [], []
        while node is not None:
            codes.append(node.code)
            latents.append(node.hidden)
            node = node.before
        found = torch.tensor(codes[::-1], dtype=torch.long, device=self.device)
        if self.sampling.positions != "trained" and codes:
            return Written(found, self.model.latents(job.request.prompt, found[None])[0], stopped, job.flawed)
        empty = job.request.prompt.new_zeros(0, job.request.prompt.shape[-1])
        return Written(found, torch.stack(latents[::-1]) if latents else empty, stopped, job.flawed)


class _Single(_Loop):
    """One sequence a request: the likeliest, or a draw."""

    def __init__(self, model: UnifiedVoice, requests: Sequence[Request], sampling: CodeSampling) -> None:
        super().__init__(model, requests, sampling)
        known = torch.ones(self.vocabulary, dtype=torch.bool, device=self.device)
        known[model.config.start_mel_token] = sampling.allow_start
        lengths = [request.length or LengthTarget(sampling.max_codes, pull=0.0) for request in requests]
        self.state = State.new(
            self.vocabulary, [request.seed for request in requests], allowed=known, device=self.device,
            temperature=sampling.temperature if sampling.sample else 0.0, top_k=sampling.top_k, top_p=sampling.top_p,
            penalty=sampling.repetition_penalty, stop=self.stop, last=[length.last for length in lengths],
            earliest=[length.codes - length.tolerance_codes if request.length else 0
                      for request, length in zip(requests, lengths)],
            target=[length.codes for length in lengths], pull=[length.pull for length in lengths])
        if sampling.penalise_prefix:
            self.state.counts[:, [1, model.config.start_mel_token]] = 1

    def _advance(self, hidden: Tensor, step: int) -> Tensor:
        sample(self.model.mel_head(hidden), self.state)
        for job, (code, flaw), row in zip(self.jobs, self.state.told(), hidden):
            job.flawed = flaw != FINE
            if code == self.stop:
                job.ended.append((0.0, job.paths[0], not job.flawed))
            else:
                job.paths[0] = _Node(code, job.paths[0], row)
        return self.state.token

    def _select(self, rows: Sequence[int]) -> None:
        self.state.select(rows)

    def _over(self, job: _Job, written: int) -> bool:
        if not job.ended and self._at_limit(job, written):
            job.ended.append((0.0, job.paths[0], job.request.length is not None))
        return bool(job.ended)


class _Search(_Loop):
    """Beam search over scores that penalty, temperature and filters have changed, as published: a sequence is ranked by
    the sum of those, divided by length ** length_penalty."""

    def __init__(self, model: UnifiedVoice, requests: Sequence[Request], sampling: CodeSampling) -> None:
        super().__init__(model, requests, sampling)
        self.seen = torch.zeros(len(requests) * self.beams, self.vocabulary, dtype=torch.bool, device=self.device)
        if sampling.penalise_prefix:
            self.seen[:, [1, model.config.start_mel_token]] = True

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
        moves: list[tuple[int, int, int]] = []
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
                    moves.append((first + beam, first + parent, self.opening + split))
        self.cache.copy(moves)
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

    def _select(self, rows: Sequence[int]) -> None:
        self.seen = self.seen[list(rows)]

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
        if self._at_limit(job, written):
            for score, path in zip(job.scores.tolist(), job.paths):
                self._end(job, score, path, written, job.request.length is not None)
            return True
        attainable = float(job.scores.max()) / written**self.sampling.length_penalty
        return len(job.ended) == self.beams and job.ended[-1][0] >= attainable


def _first_difference(one: _Node | None, other: _Node | None) -> int | None:
    """Depth from which two paths of equal length differ, None where they do not."""
    depth = None
    while one is not other:
        assert one is not None and other is not None
        depth, one, other = one.depth, one.before, other.before
    return depth
