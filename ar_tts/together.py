"""Single sequences of a published model: requests join and leave the same steps at any time, from any thread.

A step is one launch on CUDA: the network, the draw and a note of both are captured as a graph for each number of rows
and of positions, in buckets. The host looks at what was drawn once in a few steps.

A request's codes are those it has alone: its draws count by its own seed and step, and it attends to nothing else. The
network rounds otherwise for another number of rows or positions, which may change a code where two are as likely;
`steady` computes the same number of both for any company, for the price of the largest.

Shapes: R rows (a request has one), P prompt rows, K codes, V codes with start and stop, C width.
"""
from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from ar_tts.kernels import State, sample
from ar_tts.kernels.state import DONE, FINE, FLAW, STEP, TOKEN
from ar_tts.request import Request, Written, check, latents_of
from ar_tts.sampling import PUBLISHED, CodeSampling, LengthTarget
from ar_tts.slots import Openings, Replay, Slots
from ar_tts.unified import UnifiedVoice

MOST_ROWS = 8
_LOOK = {"cuda": 4, "cpu": 1}  # steps between two looks: at most that many but one are in vain
_BUCKET = {"cuda": 256, "cpu": 64}  # positions


@dataclass(eq=False)
class _Job:
    """A request on its way, and how many steps were made for it."""

    request: Request
    sampling: CodeSampling
    steps: int = 0
    written: Written | None = None
    error: BaseException | None = None

    @property
    def over(self) -> bool:
        return self.written is not None or self.error is not None

    @property
    def prompt(self) -> int:
        return self.request.prompt.shape[1]

    @property
    def last(self) -> int:
        return self.request.last(self.sampling)


class Decoder:
    """One model and the requests that it is writing codes for. For all threads.

    Args:
        model: its device and precision are those of the decoder.
        most_rows: requests in one step, 1 or more; others wait. A row of IndexTTS-2 takes 123 kB a position in half
            precision: 0.2 GB for 1500 codes.
        steady: see the text of the module.
    """

    def __init__(self, model: UnifiedVoice, most_rows: int = MOST_ROWS, steady: bool = False) -> None:
        if most_rows < 1:
            raise ValueError(f"most_rows={most_rows}: allowed is 1 or more")
        self.model, self.most_rows, self.steady = model, most_rows, steady
        self.openings = Openings()
        self.device = model.mel_pos_embedding.emb.weight.device
        kind = "cuda" if self.device.type == "cuda" else "cpu"
        self._look, self._bucket = _LOOK[kind], _BUCKET[kind]
        self._lock, self._next = threading.Lock(), threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._jobs: list[_Job] = []  # job i has row i
        self._room: _Room | None = None

    @torch.inference_mode()
    def write(self, requests: Sequence[Request], sampling: CodeSampling = PUBLISHED) -> list[Written]:
        """Write the codes of all requests, in their order.

        Raises ValueError where more codes are asked for than the model has positions.
        """
        check(self.model, requests, sampling)
        jobs = [_Job(request, sampling) for request in requests]
        self._waiting.extend(jobs)
        try:
            return [self._finished(job) for job in jobs]
        finally:
            if not all(job.over for job in jobs):
                with self._in_turn():
                    self._leave([job for job in jobs if not job.over])

    @property
    def requests(self) -> int:
        """How many are being written now."""
        return len(self._jobs)

    def _finished(self, job: _Job) -> Written:
        while not job.over:
            with self._in_turn():
                if not job.over:
                    self._advance()
        if job.error is not None:
            raise job.error
        assert job.written is not None
        return job.written

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """The lock; who has just had it comes after who waits."""
        with self._next:
            self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    # ---- with the lock ----

    def _advance(self) -> None:
        """Let in who waits, make some steps, let go who is done."""
        while self._waiting and len(self._jobs) < self.most_rows:
            self._let_in(self._waiting.popleft())
        if not self._jobs:
            return
        room = self._room
        assert room is not None
        for job in self._jobs:
            job.steps += self._look  # before they are made: who is interrupted in between leaves with enough
        rows, seen = len(self._jobs), self._whole(self._in_use())
        if self.steady:
            rows, seen = room.slots.rows, room.slots.positions
        elif self.device.type == "cuda":
            rows = 1 << (rows - 1).bit_length()
        for _ in range(self._look):
            room.step(min(rows, room.slots.rows), min(seen, room.slots.positions))
        self._settle(room)

    def _let_in(self, job: _Job) -> None:
        """It joins, or learns why it cannot."""
        try:
            self._join(job)
        except BaseException as error:
            row = len(self._jobs)
            if self._room is not None and row < self._room.slots.rows:
                self._room.slots.clear(row)  # of what was read so far
            if not isinstance(error, Exception):  # an interruption is meant for this thread, not for the job's
                self._waiting.appendleft(job)
                raise
            job.error = error

    def _whole(self, positions: int) -> int:
        """In whole buckets."""
        return -(-positions // self._bucket) * self._bucket

    def _in_use(self) -> int:
        """Positions that any request sees."""
        return max((job.prompt + job.steps for job in self._jobs), default=0)

    def _join(self, job: _Job) -> None:
        config, row = self.model.config, len(self._jobs)
        if self.steady:
            prompt = 2 + config.condition_num_latent + 2 + config.max_text_tokens
            rows, positions = self.most_rows, max(prompt, job.prompt) + config.max_mel_tokens
            codes = config.max_mel_tokens
        else:
            rows, positions, codes = row + 1, job.prompt + job.last, job.last
        # A row that is done is fed until the next look.
        positions, codes = self._whole(positions + self._look), self._whole(codes + self._look)
        if self._room is None:
            self._room = _Room(self.model, rows, positions, codes)
        elif self._room.less_than(rows, positions, codes):
            wider = min(2 * row, self.most_rows) if self._room.slots.rows < rows else 0
            self._room = self._room.larger(max(rows, wider), positions, codes, self._in_use())
        if self.device.type == "cuda":  # rows without a request are fed as well
            self._room.slots.clear(row)
        opening = self.openings.of(self.model, job.request.prompt, job.request.opening)
        self._room.slots.read(self.model, row, job.request.prompt, opening)
        self._room.take(row, _state(self.model, job), job.sampling)
        self._jobs.append(job)

    def _settle(self, room: _Room) -> None:
        """Let go of the requests that are done."""
        for row, told in reversed([*enumerate(room.state.whole[: len(self._jobs)].tolist())]):
            if told[DONE]:
                job = self._jobs[row]
                try:
                    job.written = self._written(job, told, row, room)
                except Exception as error:  # it is told to whoever asked for this one
                    job.error = error
                self._leave([job])

    def _written(self, job: _Job, told: list[int], row: int, room: _Room) -> Written:
        ended, flawed = told[TOKEN] == self.model.config.stop_mel_token, told[FLAW] != FINE
        count = told[STEP] - ended
        codes, seen = room.codes[row, :count].clone(), room.hidden[row, :count].clone()
        latents = latents_of(self.model, job.request, codes, seen, job.sampling)
        stopped = not flawed if ended else job.request.length is not None
        return Written(codes, latents, stopped, flawed)

    def _leave(self, jobs: Sequence[_Job]) -> None:
        """The last row moves to where one becomes free."""
        for job in jobs:
            if job in self._waiting:
                self._waiting.remove(job)
            elif job in self._jobs:
                assert self._room is not None
                row, last = self._jobs.index(job), len(self._jobs) - 1
                if job.written is None or job.written.flawed:
                    self._room.slots.clear(row)
                self._jobs[row] = self._jobs[last]
                self._room.move(row, last, self._jobs[last].prompt + self._jobs[last].steps)
                self._jobs.pop()
        if not self._jobs and self.device.type != "cuda":  # there are graphs to keep, here only memory
            self._room = None


def _state(model: UnifiedVoice, job: _Job) -> State:
    """How a request is drawn from."""
    config, sampling, length = model.config, job.sampling, job.request.length
    target = length or LengthTarget(sampling.max_codes, pull=0.0)
    device = job.request.prompt.device
    known = torch.ones(config.number_mel_codes, dtype=torch.bool, device=device)
    known[config.start_mel_token] = sampling.allow_start
    state = State.new(
        config.number_mel_codes, [job.request.seed], allowed=known, device=device,
        temperature=sampling.temperature if sampling.sample else 0.0, top_k=sampling.top_k, top_p=sampling.top_p,
        penalty=sampling.repetition_penalty, stop=config.stop_mel_token, last=target.last, target=target.codes,
        earliest=target.codes - target.tolerance_codes if length else 0, pull=target.pull)
    if sampling.penalise_prefix:
        state.counts[:, [1, config.start_mel_token]] = 1
    state.whole[:, TOKEN] = config.start_mel_token
    return state


class _Room:
    """Static tensors of R rows: the cache, the sampler's state, and what was written (R, K)."""

    def __init__(self, model: UnifiedVoice, rows: int, positions: int, codes: int, slots: Slots | None = None) -> None:
        self._model = model
        self.slots = slots or Slots(model.gpt, rows, positions)
        device, config = self.slots.begin.device, model.config
        self.state = State.new(config.number_mel_codes, [0] * rows, stop=config.stop_mel_token, device=device)
        self.state.whole[:, DONE] = 1
        self.shift = torch.zeros(rows, dtype=torch.int64, device=device)  # of code positions behind the first
        self.codes = torch.zeros(rows, codes, dtype=torch.int64, device=device)
        self.hidden = self.slots.cache.keys.new_zeros(rows, codes, config.model_dim)
        self._firsts: dict[int, State] = {}
        self._replay = Replay(device)

    def less_than(self, rows: int, positions: int, codes: int) -> bool:
        """Whether something does not fit."""
        return self.slots.rows < rows or self.slots.positions < positions or self.codes.shape[1] < codes

    def larger(self, rows: int, positions: int, codes: int, seen: int) -> _Room:
        """With the same requests, which see `seen` positions."""
        slots = self.slots.larger(rows, positions, seen)
        other = _Room(self._model, slots.rows, slots.positions, max(codes, self.codes.shape[1]), slots)
        for new, old in zip(other._kept(), self._kept(), strict=True):
            new[tuple(slice(n) for n in old.shape)] = old
        return other

    def _kept(self) -> tuple[Tensor, ...]:
        state = self.state
        return state.whole, state.real, state.counts, state.allowed, self.shift, self.codes, self.hidden

    def take(self, row: int, state: State, sampling: CodeSampling) -> None:
        """A request comes in."""
        self.state.take(row, state)
        self.shift[row] = int(sampling.positions == "upstream")

    def move(self, target: int, source: int, seen: int) -> None:
        """Row `source` becomes row `target`, and free."""
        if target != source:
            self.slots.copy([(target, source, 0, min(seen, self.slots.positions))])
            for part in self._kept():
                part[target] = part[source]
        self.state.whole[source, DONE] = 1

    def step(self, rows: int, seen: int) -> None:
        """One code of each of the first rows, which see at most so many positions."""
        self._replay(self._step, (rows, seen), self._harmlessly)

    def _step(self, rows: int, seen: int) -> None:
        """One code of each of the first rows: the network reads what they wrote last, the next one is drawn."""
        if rows not in self._firsts:
            self._firsts[rows] = self.state.first(rows)
        model, state = self._model, self._firsts[rows]
        written = state.whole[:, STEP].clone()
        place = written + self.shift[:rows] * (written > 0)
        x = model.mel_embedding(state.token) + model.mel_pos_embedding.emb(place)
        hidden = model.hidden(x[:, None], self.slots.step(rows, seen, written))[:, 0]
        row = torch.arange(rows, device=written.device)
        self.hidden[row, written] = hidden
        sample(model.mel_head(hidden), state)
        self.codes[row, written] = state.token

    @contextmanager
    def _harmlessly(self) -> Iterator[None]:
        """Rows that are done draw nothing; what the network leaves of them is overwritten by their next step."""
        done = self.state.whole[:, DONE].clone()
        self.state.whole[:, DONE] = 1
        try:
            yield
        finally:
            self.state.whole[:, DONE] = done
