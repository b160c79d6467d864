"""The compiled network: the same as torch, the same alone and in any company, and never a surprise in between."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from ar_tts import decoding
from ar_tts.decoding import Request, decode, decode_batch, torch_steps, use_bytes
from ar_tts.kernels import network, products
from ar_tts.kernels.settled import COMPILE_S, Settled, compiled_before
from ar_tts.model import TextToCodes, TextToCodesConfig
from ar_tts.reader import ReaderConfig
from ar_tts.reading import Sampling, Step
from ar_tts.stepping import Stepper, Weights, in_bytes
from emovoice import bundle
from emovoice.engine import Engine

CONFIG = TextToCodesConfig(dim=64, layers=2, heads=4, dropout=0.0, text=10, codes=20, max_text=90, max_codes=120,
                           timbre_dim=8, emotion_dim=8, reader=ReaderConfig(symbols=12, symbol_dim=8, window=5))
Decode = Callable[..., Iterator[Step]]


def drawn(config: TextToCodesConfig) -> TextToCodes:
    """A model whose weights are large enough that what it says depends on everything."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = TextToCodes(config).eval().requires_grad_(False)
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


@pytest.fixture(scope="module")
def model() -> TextToCodes:
    return drawn(CONFIG)


@pytest.fixture(scope="module")
def weights(model: TextToCodes) -> Weights:
    return Weights(model)


@pytest.fixture(scope="module")
def mini() -> TextToCodes:
    return bundle.load("mini").t2s


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """`decode` takes the compiled network, whatever this process has chosen."""
    monkeypatch.setattr(network, "_chosen", True)


def request(seed: int = 0, symbols: int = 9, length: int = 0, size: int = 8, emotion: int = 8,
            sampling: Sampling = decoding.USUAL, kinds: int = 12) -> Request:
    random = torch.Generator().manual_seed(1000 * symbols + seed)
    return Request(torch.randn(1, size, generator=random), torch.randn(1, emotion, generator=random),
                   torch.randint(0, kinds, (1, symbols), generator=random), length, seed, sampling)


def arguments(asked: Request) -> tuple[object, ...]:
    return asked.timbre, asked.emotion, asked.text, asked.length, asked.seed, asked.sampling


def alone(weights: Weights, model: TextToCodes, asked: Request) -> list[Step]:
    return list(Stepper(weights).decode(model, *arguments(asked)))  # type: ignore[arg-type]


# ---- the same as torch ----


def requests_of(model: TextToCodes) -> int:
    """How many are being decoded."""
    return sum(stepper.requests for stepper in decoding._steppers[model])


@pytest.mark.parametrize("asked", [
    request(), request(1, 70), request(2, 30, 40), request(3, 20, sampling=Sampling(1.0, 1.0, 0, 0.5, 4)),
    request(4, 40, 200, sampling=Sampling(0.7, 0.3, 5, 0.0, 50))], ids=range(5))
def test_it_writes_what_torch_writes(model: TextToCodes, weights: Weights, asked: Request) -> None:
    written = alone(weights, model, asked)
    assert written == list(torch_steps(model, *arguments(asked)))  # type: ignore[arg-type]
    assert len({step.code for step in written}) > 1


@pytest.mark.parametrize("dim, heads", [(96, 2), (32, 1), (64, 1), (160, 2)])
def test_heads_of_other_sizes(dim: int, heads: int) -> None:
    other = drawn(TextToCodesConfig(**(vars(CONFIG) | {"dim": dim, "heads": heads})))
    asked = request(5, 25)
    assert alone(Weights(other), other, asked) == list(torch_steps(other, *arguments(asked)))  # type: ignore[arg-type]


def scores(stepper: Stepper, model: TextToCodes, asked: Request, calls: int = 1) -> tuple[list[Step], np.ndarray]:
    """The steps of some calls, and the scores of codes, pitch and level of the last of them."""
    iterator = stepper.decode(model, *arguments(asked), ahead=1)  # type: ignore[arg-type]
    written = [next(iterator) for _ in range(8 * calls)]
    row, room = stepper._requests[-1].row, stepper._room
    found = np.concatenate([room.code_logits[row], *room.tone_logits[2 * row : 2 * row + 2]])
    iterator.close()  # type: ignore[attr-defined]
    return written, found


def taught(model: TextToCodes, asked: Request, written: list[Step]) -> np.ndarray:
    """What the whole model says at the last step, when it is told the others."""
    columns = (torch.tensor([[getattr(s, name) for s in written]]) for name in ("code", "pitch", "level", "pointer"))
    said = model(asked.timbre, asked.emotion, asked.text, torch.tensor([asked.length]), *columns)
    assert model.reader is not None
    bins = max(model.reader.config.pitch_bins, model.reader.config.level_bins)
    tones = [F.pad(part[0, -1], (0, bins - part.shape[-1])) for part in (said.pitch, said.level)]
    return torch.cat([said.codes[0, -1, : model.config.codes], *tones]).detach().numpy()


def test_its_scores_are_those_of_torch(model: TextToCodes, weights: Weights, mini: TextToCodes) -> None:
    for asked in (request(0, 60), request(1, 60, 80)):
        written, found = scores(Stepper(weights), model, asked, 3)
        assert np.abs(found - taught(model, asked, written)).max() < 1e-4
    asked = request(2, 40, 60, 192, 256, kinds=60)
    written, found = scores(Stepper(Weights(mini)), mini, asked, 3)
    assert np.abs(found - taught(mini, asked, written)).max() < 1e-4


@pytest.mark.slow
def test_mini_writes_what_torch_writes(mini: TextToCodes) -> None:
    packed = Weights(mini)
    assert {row[products.KIND] for row in (*packed.inner, *packed.outer)} <= {products.HALF, products.SINGLE}
    for seed, length in ((0, 0), (1, 50)):
        asked = request(seed, 30, length, 192, 256, kinds=60)
        assert alone(packed, mini, asked) == list(torch_steps(mini, *arguments(asked)))  # type: ignore[arg-type]


def test_weights_in_8_bits_are_those_that_torch_would_have(model: TextToCodes) -> None:
    """Torch with the rounded weights writes the same."""
    asked = request(6, 50)
    written = alone(Weights(model, rounded=True), model, asked)
    assert written == list(torch_steps(in_bytes(model), *arguments(asked)))  # type: ignore[arg-type]


def test_half_precision_and_few_registers_change_nothing(model: TextToCodes, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = deepcopy(model).half().float()
    asked = request(7, 60)
    packed = Weights(exact)
    written, found = scores(Stepper(packed), exact, asked)
    monkeypatch.setattr(products, "supports", lambda feature: False)
    plain = Weights(exact)
    again, same = scores(Stepper(plain), exact, asked)
    assert again == written and np.array_equal(found, same)
    assert {row[products.KIND] for row in plain.inner} == {products.SINGLE} and plain.bytes >= packed.bytes


# ---- the same in any company ----


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["open", "next", "close"]), st.integers(1, 40)),
                min_size=4, max_size=40))
def test_requests_come_and_go_and_write_what_they_write_alone(
        model: TextToCodes, weights: Weights, acts: list[tuple[int, str, int]]) -> None:
    stepper = Stepper(weights)
    asked = [request(n, 5 + 14 * n, 30 * (n % 2)) for n in range(6)]
    open_ones: dict[int, Iterator[Step]] = {}
    given_so_far: dict[int, list[Step]] = {}
    for n, act, count in acts:
        if act == "open" and n not in open_ones:
            open_ones[n], given_so_far[n] = stepper.decode(model, *arguments(asked[n])), []  # type: ignore[arg-type]
        elif act == "close" and n in open_ones:
            open_ones.pop(n).close()  # type: ignore[attr-defined]
        elif n in open_ones:
            given_so_far[n] += [step for _, step in zip(range(count), open_ones[n])]
            assert given_so_far[n] == _all_alone(model, weights, n, asked[n])[: len(given_so_far[n])]
    for n, one in open_ones.items():
        assert [*given_so_far[n], *one] == _all_alone(model, weights, n, asked[n])
    for one in open_ones.values():
        one.close()  # type: ignore[attr-defined]
    assert stepper.requests == 0


_known: dict[int, list[Step]] = {}


def _all_alone(model: TextToCodes, weights: Weights, n: int, asked: Request) -> list[Step]:
    if n not in _known:
        _known[n] = alone(weights, model, asked)
    return _known[n]


@pytest.mark.parametrize("others", [1, 2, 3, 4, 7, 15])
def test_not_a_bit_depends_on_the_others(model: TextToCodes, weights: Weights, others: int) -> None:
    asked = request(8, 80)
    _, expected = scores(Stepper(weights), model, asked)
    stepper = Stepper(weights)
    company = [stepper.decode(model, *arguments(request(n, 60 + n))) for n in range(others)]  # type: ignore[arg-type]
    for one in company:
        next(one)
    _, found = scores(stepper, model, asked)
    assert np.array_equal(found.view(np.int32), expected.view(np.int32))


@pytest.mark.usefixtures("compiled")
def test_threads_share_steps_and_get_their_own(model: TextToCodes, weights: Weights) -> None:
    asked = [request(n, 20 + 5 * n) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: list(decode(model, *arguments(one))), asked))  # type: ignore[arg-type]
    assert found == [alone(weights, model, one) for one in asked] == decode_batch(model, asked)
    assert found == decode_batch(model, asked, threads=3) and decode_batch(model, []) == []
    assert requests_of(model) == 0


def test_nobody_is_far_ahead_of_what_is_wanted(model: TextToCodes, weights: Weights) -> None:
    stepper = Stepper(weights)
    slow = stepper.decode(model, *arguments(request(0, 80)), ahead=16)  # type: ignore[arg-type]
    next(slow)
    assert len(list(stepper.decode(model, *arguments(request(1, 80))))) > 40  # type: ignore[arg-type]
    assert len(stepper._requests[0].made) <= 16 + 8
    assert stepper.requests == 1


# ---- what goes wrong ----


def test_a_broken_voice_is_told_and_harms_no_other(model: TextToCodes, weights: Weights) -> None:
    stepper, fine = Stepper(weights), request(0, 30)
    good = stepper.decode(model, *arguments(fine))  # type: ignore[arg-type]
    first = next(good)
    bad = Request(torch.full((1, 8), float("nan")), fine.emotion, fine.text)
    with pytest.raises(FloatingPointError, match="NaN"):
        list(stepper.decode(model, *arguments(bad)))  # type: ignore[arg-type]
    assert [first, *good] == alone(weights, model, fine) and stepper.requests == 0


@pytest.mark.parametrize("where", ["gpt.h.1.attn.c_attn.weight", "gpt.h.0.mlp.c_proj.bias", "reader.pitch.weight",
                                   "mel_head.bias"])
def test_broken_weights_are_told(model: TextToCodes, where: str) -> None:
    broken = deepcopy(model)
    broken.get_parameter(where).view(-1)[5:600] = float("nan")
    with pytest.raises(FloatingPointError, match="NaN"):
        alone(Weights(broken), broken, request())


def test_a_request_that_nobody_wants_any_more_leaves(model: TextToCodes, weights: Weights) -> None:
    stepper = Stepper(weights)
    for n in range(6):
        one = stepper.decode(model, *arguments(request(n, 30)))  # type: ignore[arg-type]
        next(one)
        assert stepper.requests == 1
        if n:
            one.close()  # type: ignore[attr-defined]
        del one
        if not n:
            gc.collect()
        assert stepper.requests == 0
    assert len(stepper._room.rows) == 4


@pytest.mark.usefixtures("compiled")
def test_other_weights_are_noticed(model: TextToCodes) -> None:
    other, asked = deepcopy(model), request(3, 40)
    before = list(decode(other, *arguments(asked)))  # type: ignore[arg-type]
    use_bytes(other)
    assert list(decode(other, *arguments(asked))) == alone(Weights(other, True), other, asked)  # type: ignore[arg-type]
    use_bytes(other, False)
    other.mel_head.weight.neg_()
    after = list(decode(other, *arguments(asked)))  # type: ignore[arg-type]
    assert after == list(torch_steps(other, *arguments(asked))) != before  # type: ignore[arg-type]


@pytest.mark.usefixtures("compiled")
def test_what_does_not_fit_is_decoded_by_torch() -> None:
    odd = drawn(TextToCodesConfig(**(vars(CONFIG) | {"dim": 24, "heads": 2})))
    asked = request(1, 12)
    assert list(decode(odd, *arguments(asked))) == list(torch_steps(odd, *arguments(asked)))  # type: ignore[arg-type]
    assert odd not in decoding._steppers


# ---- when it is used ----


def test_a_process_stays_with_what_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding differs, so that nothing changes between two requests of one seed, unless somebody says so."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    source = tmp_path / "some.py"
    source.write_text("")
    begun = threading.Event()

    def stages() -> Iterator[None]:
        begun.set()
        yield

    cold = Settled(stages, [(source, "run")])
    assert not cold.ready() and not begun.is_set()
    cold.spend(COMPILE_S / 2)
    assert not begun.is_set()
    cold.spend(COMPILE_S)
    assert begun.wait(5) and not cold.ready()  # for the next process
    kept = tmp_path / "__pycache__" / "some.run-1.py311.nbi"
    kept.parent.mkdir()
    kept.write_text("")
    assert compiled_before([(source, "run")]) and not compiled_before([(source, "walk")])
    assert not cold.ready() and Settled(stages, [(source, "run")]).ready()
    hurried = Settled(stages, [(source, "run")])
    hurried.decline()
    assert not hurried.ready()
    assert cold.start() and cold.ready()


def test_without_numba_torch_stays(tmp_path: Path) -> None:
    def missing() -> list[None]:
        raise ImportError

    nothing = Settled(missing, [])
    assert not nothing.ready() and not nothing.start() and not nothing.ready()


def test_the_first_process_after_an_installation_decodes_with_torch(
        model: TextToCodes, weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_chosen", False)
    asked = request(4, 20)
    fresh = deepcopy(model)
    assert list(decode(fresh, *arguments(asked))) == alone(weights, model, asked)  # type: ignore[arg-type]
    assert fresh not in decoding._steppers


@pytest.mark.usefixtures("compiled")
def test_speech_that_nobody_hears_to_its_end_leaves() -> None:
    engine = Engine("debug")
    model = engine.pipeline.bundle.t2s
    speech = [engine.stream("One, two, three, four, five, six, seven.", seed=seed) for seed in range(3)]
    for each in speech:
        next(each)
    assert requests_of(model) == 3
    heard = np.concatenate(list(speech.pop()))
    assert len(heard) and requests_of(model) == 2
    for each in speech:
        each.close()
    assert requests_of(model) == 0
