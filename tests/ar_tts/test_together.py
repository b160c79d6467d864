"""Continuous batching: codes as alone whoever joins or leaves when, from any thread; steps that a graph can hold."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from ar_tts.generate import Decoder, Request, Written, write
from ar_tts.kernels import reference
from ar_tts.sampling import CodeSampling, LengthTarget
from ar_tts.slots import Openings, Replay, Slots
from ar_tts.together import _Job, _Room, _state
from ar_tts.unified import UnifiedVoice, unified_voice
from tests.ar_tts.published import noise, prompt, small, small_config

DRAWN = CodeSampling(beams=1, max_codes=40, temperature=1.0, repetition_penalty=1.5)
GREEDY = replace(DRAWN, sample=False)
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.fixture(scope="module")
def model() -> UnifiedVoice:
    return small()


def some_requests(model: UnifiedVoice, count: int, opening: int = 0) -> list[Request]:
    """Of different texts, lengths and seeds."""
    return [Request(prompt(model, 3 + 5 * i % 17, i), i, LengthTarget(5 + 7 * i % 30) if i % 3 else None, opening)
            for i in range(count)]  # fmt: skip


def codes_of(written: list[Written]) -> list[list[int]]:
    return [each.codes.tolist() for each in written]


@pytest.fixture(scope="module")
def alone(model: UnifiedVoice) -> list[Written]:
    return [write(model, [request], DRAWN)[0] for request in some_requests(model, 12)]


class _Watched(Decoder):
    """Notes how many requests share a look."""

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self.company: list[int] = []

    def _settle(self, room: _Room) -> None:
        self.company.append(self.requests)
        super()._settle(room)


@pytest.mark.parametrize("most_rows", [1, 3, 8])
@pytest.mark.parametrize("steady", [False, True])
def test_threads_share_steps_and_keep_their_codes(
    model: UnifiedVoice, alone: list[Written], most_rows: int, steady: bool
) -> None:
    decoder = _Watched(model, most_rows, steady)

    def one(number: int) -> Written:
        time.sleep(0.004 * (number % 5))  # they join while others are on their way
        return write(decoder, [some_requests(model, 12)[number]], DRAWN)[0]

    with ThreadPoolExecutor(6) as pool:
        written = list(pool.map(one, range(12)))
    assert codes_of(written) == codes_of(alone) and [w.stopped for w in written] == [w.stopped for w in alone]
    assert max(decoder.company) <= most_rows and decoder.requests == 0
    assert most_rows == 1 or max(decoder.company) > 1


def test_more_requests_than_rows_take_turns(model: UnifiedVoice, alone: list[Written]) -> None:
    written = write(Decoder(model, 5), some_requests(model, 12), DRAWN)
    assert codes_of(written) == codes_of(alone)
    for one, other in zip(written, alone, strict=True):
        assert torch.allclose(one.latents, other.latents, atol=1e-5)


def test_steady_numbers_do_not_depend_on_the_company(model: UnifiedVoice) -> None:
    requests, decoder = some_requests(model, 6), Decoder(model, 6, steady=True)
    together = write(decoder, requests, DRAWN)
    for request, mine in zip(requests, together, strict=True):
        (other,) = write(decoder, [request], DRAWN)
        assert torch.equal(mine.codes, other.codes) and torch.equal(mine.latents, other.latents)


def test_each_request_has_its_own_way_of_drawing(model: UnifiedVoice) -> None:
    requests, decoder = some_requests(model, 4), Decoder(model)
    upstream = replace(DRAWN, positions="upstream", penalise_prefix=True)
    ways = [DRAWN, GREEDY, upstream, replace(GREEDY, allow_start=True)]
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda pair: write(decoder, [pair[0]], pair[1])[0], zip(requests, ways, strict=True)))
    alone = [write(model, [request], way)[0] for request, way in zip(requests, ways, strict=True)]
    assert codes_of(written) == codes_of(alone)


# ---- what opens a prompt ----


@pytest.mark.parametrize("beams", [1, 3])
def test_a_kept_opening_changes_no_bit(model: UnifiedVoice, beams: int) -> None:
    opening, sampling = model.config.condition_num_latent, replace(DRAWN, beams=beams)
    speaker, emotion = noise(1, opening, 64), noise(1, 64, seed=1)
    texts = [torch.arange(2, 2 + n) for n in (4, 9, 17)]
    requests = [Request(model.prompt(speaker, emotion, text), 3, None, opening) for text in texts]
    decoder = Decoder(model)
    for request in requests:
        (kept,), (fresh,) = write(decoder, [request], sampling), write(model, [request], sampling)
        assert torch.equal(kept.codes, fresh.codes) and torch.equal(kept.latents, fresh.latents)
        (whole,) = write(model, [replace(request, opening=0)], sampling)
        assert kept.codes.tolist() == whole.codes.tolist()
        assert torch.allclose(kept.latents, whole.latents, atol=1e-5)
    assert decoder.openings.found == len(texts) - 1


def test_openings_are_told_apart_and_the_oldest_is_forgotten(model: UnifiedVoice) -> None:
    openings, rows = Openings(2), [noise(1, 6, 64, seed=seed) for seed in range(3)]
    first = openings.of(model, rows[0], 4)
    assert first is not None and first.length == 4
    assert openings.of(model, torch.cat([rows[0][:, :4], rows[1]], 1), 4) is first and openings.found == 1
    assert openings.of(model, rows[0], 3) is not first
    assert openings.of(model, rows[1], 4) is not first  # the third: the first was used before the second
    assert openings.of(model, rows[0], 4) is not first
    assert openings.of(model, rows[0], 0) is None


def test_what_is_not_finite_pushes_no_opening_out(model: UnifiedVoice) -> None:
    openings, good = Openings(2), noise(1, 6, 64)
    kept = openings.of(model, good, 4)
    for _ in range(3):
        assert openings.of(model, torch.full_like(good, float("nan")), 4) is not None
    assert openings.of(model, good, 4) is kept


# ---- what goes wrong ----


def test_a_request_that_cannot_be_read_fails_alone(model: UnifiedVoice, alone: list[Written]) -> None:
    decoder, good, failed = Decoder(model), some_requests(model, 3), threading.Event()

    def bad() -> None:
        with pytest.raises(RuntimeError):
            write(decoder, [Request(noise(1, 5, 7))], DRAWN)
        failed.set()

    thread = threading.Thread(target=bad)
    thread.start()
    assert codes_of(write(decoder, good, DRAWN)) == codes_of(alone[:3])
    thread.join()
    assert failed.is_set() and decoder.requests == 0


@pytest.mark.parametrize("where", ["_join", "_settle", "step"])
def test_an_interruption_harms_nobody_else(
    model: UnifiedVoice, alone: list[Written], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A thread is interrupted while it reads the prompt of another one's request, or makes steps for it."""
    decoder, owner, main = Decoder(model, 8), _Room if where == "step" else Decoder, threading.get_ident()
    advance, whole, over, made = Decoder._advance, getattr(owner, where), threading.Event(), [0]

    def only_here(self: Decoder) -> None:
        if threading.get_ident() != main and not over.is_set():
            time.sleep(0.001)  # the other one makes no step before the interruption
        else:
            advance(self)

    def interrupted(self: Any, *arguments: Any) -> Any:
        if over.is_set():
            return whole(self, *arguments)
        if where == "_join":
            mine = any(arguments[0].request is request for request in ours)
            made[0] += not mine
            if made[0] < 2:
                return whole(self, *arguments)
        else:
            out = whole(self, *arguments)
            made[0] += decoder.requests > len(ours)
            if made[0] < 4:
                return out
        over.set()
        raise KeyboardInterrupt

    def others() -> list[Written]:
        return write(decoder, some_requests(model, 4), DRAWN)

    monkeypatch.setattr(Decoder, "_advance", only_here)
    monkeypatch.setattr(owner, where, interrupted)
    ours = some_requests(model, 3)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(others)
        while not decoder._waiting:
            time.sleep(0.001)
        with pytest.raises(KeyboardInterrupt):
            write(decoder, ours, DRAWN)
        assert codes_of(found.result(60)) == codes_of(alone[:4])
    assert over.is_set() and decoder.requests == 0
    assert codes_of(write(decoder, ours, DRAWN)) == codes_of(alone[:3])


def test_what_fails_in_the_end_is_told_to_its_own_thread(
    model: UnifiedVoice, alone: list[Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Decoder._written

    def failing(self: Decoder, job: _Job, *rest: Any) -> Written:
        if job.request.seed == 1:
            raise MemoryError("of one")
        return written(self, job, *rest)

    monkeypatch.setattr(Decoder, "_written", failing)
    decoder, requests = Decoder(model), some_requests(model, 3)
    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(write, decoder, [request], DRAWN) for request in requests]
        assert found[0].result()[0].codes.tolist() == alone[0].codes.tolist()
        assert found[2].result()[0].codes.tolist() == alone[2].codes.tolist()
        with pytest.raises(MemoryError, match="of one"):
            found[1].result()
    assert decoder.requests == 0


def test_a_prompt_that_fails_half_read_leaves_nothing_behind(
    model: UnifiedVoice, alone: list[Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Slots.read

    def half(self: Slots, model: UnifiedVoice, row: int, given: torch.Tensor, *rest: Any) -> None:
        read(self, model, row, given, *rest)
        if given.isnan().any():
            raise RuntimeError("half read")

    monkeypatch.setattr(Slots, "read", half)
    decoder, good = Decoder(model, 3), some_requests(model, 4)
    longest = Request(torch.full_like(prompt(model, 38), float("nan")), 2)
    with ThreadPoolExecutor(2) as pool:
        kept = pool.submit(write, decoder, good[:1], DRAWN)
        with pytest.raises(RuntimeError, match="half read"):
            write(decoder, [longest, *good[1:]], DRAWN)
        assert codes_of(kept.result()) == codes_of(alone[:1])
    assert codes_of(write(decoder, good, DRAWN)) == codes_of(alone[:4])


def test_a_room_that_is_not_used_any_more_is_freed_at_once(model: UnifiedVoice) -> None:
    rooms: list[weakref.ref[_Room]] = []

    class Watching(_Watched):
        def _settle(self, room: _Room) -> None:
            rooms.append(weakref.ref(room))
            super()._settle(room)

    decoder = Watching(model, 8)
    gc.disable()
    try:
        for _ in range(3):
            write(decoder, some_requests(model, 6), DRAWN)
        assert len(rooms) > 3 and all(room() is None for room in rooms)
    finally:
        gc.enable()


def test_who_comes_later_does_not_wait_for_those_before(model: UnifiedVoice) -> None:
    """A thread that makes step after step lets others in between two."""
    decoder, order = Decoder(model, 8), []

    def one(name: str, codes: int) -> None:
        write(decoder, [Request(prompt(model, 5), 0, LengthTarget(codes))], replace(DRAWN, max_codes=110))
        order.append(name)

    with ThreadPoolExecutor(2) as pool:
        long = pool.submit(one, "long", 110)
        while not decoder.requests:
            time.sleep(0.001)
        pool.submit(one, "short", 3).result()
        long.result()
    assert order == ["short", "long"]


def test_nan_stays_in_its_row_and_leaves_nothing_behind(model: UnifiedVoice, alone: list[Written]) -> None:
    decoder = Decoder(model, 2)
    broken = Request(torch.full_like(prompt(model, 30), float("nan")), 2)
    good = some_requests(model, 5)
    for order in ([broken, *good], [good[0], broken, *good[1:]]):
        written = write(decoder, order, DRAWN)
        assert [w.flawed for w in written] == [request is broken for request in order]
        assert codes_of([w for w in written if not w.flawed]) == codes_of(alone[:5])


def test_no_rows_are_refused(model: UnifiedVoice) -> None:
    with pytest.raises(ValueError, match="most_rows=0"):
        Decoder(model, 0)


def test_rows_move_all_at_once_and_take_their_place_along(model: UnifiedVoice) -> None:
    slots = Slots(model.gpt, 3, 8)
    slots.cache.keys.copy_(noise(*slots.cache.keys.shape)), slots.cache.values.copy_(noise(*slots.cache.values.shape))
    slots.begin[:] = torch.tensor([4, 5, 6])
    before = slots.cache.keys.clone()
    slots.copy([(0, 1, 4, 6), (1, 0, 2, 6)])
    assert torch.equal(slots.cache.keys[:, 0, :, 4:6], before[:, 1, :, 4:6])
    assert torch.equal(slots.cache.keys[:, 1, :, 2:6], before[:, 0, :, 2:6])
    assert torch.equal(slots.cache.keys[:, 0, :, :4], before[:, 0, :, :4])
    assert torch.equal(slots.cache.keys[:, 2], before[:, 2]) and slots.begin.tolist() == [5, 4, 6]


# ---- graphs ----


def test_a_step_neither_waits_for_the_device_nor_makes_a_shape_of_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a CUDA graph asks for: fake tensors have shapes and no data, so that whoever looks at it fails."""
    monkeypatch.setattr("ar_tts.together.sample", reference.sample)  # the kernel's twin
    with FakeTensorMode():
        model = unified_voice(small_config()).eval().requires_grad_(False)
        room = _Room(model, 4, 64, 64)
        room.step(4, 64)
        room.step(2, 32)
        with pytest.raises(DataDependentOutputException):
            room.state.token[0].item()


def test_warming_up_changes_nothing(model: UnifiedVoice) -> None:
    """A captured step is run before its capture: whatever is on its way must not notice."""
    plain, warmed = _Warm.codes(model, 0), _Warm.codes(model, 2)
    assert plain == warmed and len(plain) > 4


class _Warm:
    """One request, step by step; before each, `runs` that are to do no harm."""

    @staticmethod
    @torch.inference_mode()
    def codes(model: UnifiedVoice, runs: int) -> list[int]:
        request, room = Request(prompt(model, 6), 4), _Room(model, 2, 64, 64)
        room.slots.read(model, 0, request.prompt)
        room.take(0, _state(model, _Job(request, DRAWN)), DRAWN)
        for _ in range(12):
            with room._harmlessly():
                for _ in range(runs):
                    room._step(2, 64)
            room._step(2, 64)
        return room.codes[0, :12].tolist()


def test_what_fails_while_warming_up_ends_nobody(model: UnifiedVoice) -> None:
    room = _Room(model, 2, 64, 64)
    room.take(0, _state(model, _Job(Request(prompt(model, 6), 4), DRAWN)), DRAWN)
    with pytest.raises(MemoryError), room._harmlessly():
        raise MemoryError
    assert room.state.done.tolist() == [False, True]


def test_without_a_graph_the_function_is_called() -> None:
    called: list[tuple[int, ...]] = []

    def function(*numbers: int) -> None:
        called.append(numbers)

    @contextmanager
    def never() -> Iterator[None]:
        raise AssertionError("there is nothing to warm up")
        yield

    replay = Replay(torch.device("cpu"))
    for numbers in ((2, 64), (2, 64), (1, 64)):
        replay(function, numbers, never)
    assert called == [(2, 64), (2, 64), (1, 64)]


# ---- on a GPU ----


def eager(replay: Replay, function: Any, numbers: tuple[int, ...], harmlessly: Any) -> None:
    function(*numbers)


@cuda
@pytest.mark.parametrize("steady", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu_graphs_write_what_steps_write(steady: bool, dtype: torch.dtype) -> None:
    """Requests join and leave while rooms grow, and threads take turns."""
    model = small().to("cuda", dtype)
    requests = [replace(r, prompt=r.prompt.to("cuda", dtype)) for r in some_requests(model, 12)]

    def found(decoder: Decoder) -> list[Written]:
        first = write(decoder, requests[:1], DRAWN)
        with ThreadPoolExecutor(4) as pool:
            rest = pool.map(lambda request: write(decoder, [request], DRAWN)[0], requests[1:])
            return [*first, *rest]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Replay, "__call__", eager)
        expected = found(Decoder(model, 1, steady))
    for most_rows in (1, 6):
        decoder = Decoder(model, most_rows, steady)
        for one, other in zip(found(decoder), expected, strict=True):
            if most_rows == 1:
                assert torch.equal(one.codes, other.codes) and torch.allclose(one.latents, other.latents, atol=1e-2)
            else:
                assert not one.flawed and len(one.codes)
        assert decoder._room is not None and decoder._room._replay._graphs
    again = [write(decoder, [request], DRAWN)[0].codes.tolist() for request in requests[:2]]
    assert not steady or again == codes_of(found(decoder))[:2]


@cuda
def test_on_a_gpu_a_capture_that_fails_leaves_the_stream_as_it_was() -> None:
    replay, before = Replay(torch.device("cuda")), torch.cuda.current_stream()

    def waits() -> None:
        torch.zeros(1, device="cuda").item()

    with pytest.raises(RuntimeError):
        replay(waits, (), nullcontext)
    assert torch.cuda.current_stream() == before
