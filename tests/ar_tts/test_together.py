"""Continuous batching: codes as alone whoever joins or leaves when, from any thread; steps that a graph can hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

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


@pytest.mark.parametrize("most_rows", [1, 3, 8])
@pytest.mark.parametrize("steady", [False, True])
def test_threads_share_steps_and_keep_their_codes(
    model: UnifiedVoice, alone: list[Written], most_rows: int, steady: bool
) -> None:
    decoder = Decoder(model, most_rows, steady)
    most = 0

    def one(number: int) -> Written:
        nonlocal most
        time.sleep(0.004 * (number % 5))  # they join while others are on their way
        (written,) = write(decoder, [some_requests(model, 12)[number]], DRAWN)
        most = max(most, decoder.requests)
        return written

    with ThreadPoolExecutor(6) as pool:
        written = list(pool.map(one, range(12)))
    assert codes_of(written) == codes_of(alone) and [w.stopped for w in written] == [w.stopped for w in alone]
    assert most <= most_rows and decoder.requests == 0


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


def test_an_interruption_frees_the_rows(
    model: UnifiedVoice, alone: list[Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder, settle, left = Decoder(model), Decoder._settle, [5]

    def interrupted(self: Decoder, room: _Room) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        settle(self, room)

    monkeypatch.setattr(Decoder, "_settle", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(decoder, some_requests(model, 4), DRAWN)
    assert decoder.requests == 0
    assert codes_of(write(decoder, some_requests(model, 4), DRAWN)) == codes_of(alone[:4])


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
        room.step._function(4, 64)
        room.step._function(2, 32)
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


def test_without_a_graph_the_function_is_called(model: UnifiedVoice) -> None:
    called: list[tuple[int, ...]] = []

    @contextmanager
    def never() -> Iterator[None]:
        raise AssertionError("there is nothing to warm up")
        yield

    replay = Replay(lambda *numbers: called.append(numbers), torch.device("cpu"), never)
    replay(2, 64), replay(2, 64), replay(1, 64)
    assert called == [(2, 64), (2, 64), (1, 64)]


@cuda
@pytest.mark.parametrize("steady", [False, True])
def test_on_a_gpu_graphs_write_what_steps_write(alone: list[Written], steady: bool) -> None:
    model = small().cuda()
    requests = [replace(r, prompt=r.prompt.cuda()) for r in some_requests(model, 12)]
    eager, decoder = Decoder(model, 6, steady), Decoder(model, 6, steady)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Replay, "__call__", lambda self, *numbers: self._function(*numbers))
        expected = write(eager, requests, DRAWN)
    written = write(decoder, requests, DRAWN)
    assert codes_of(written) == codes_of(expected)
    assert len(decoder._room.step._graphs) == 1 or not steady  # type: ignore[union-attr]
    again = write(decoder, requests[:1], DRAWN)[0]
    assert torch.equal(again.codes, written[0].codes)
