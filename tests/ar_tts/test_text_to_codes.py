"""The text-to-codes transformer: cache = whole pass, batch = single, and a loop that always ends."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from ar_tts.decoding import Sampling, decode
from ar_tts.model import TextToCodes, TextToCodesConfig
from ar_tts.reader import MOVES, ReaderConfig, dwell_of

CONFIG = TextToCodesConfig(dim=32, layers=2, heads=2, dropout=0.0, text=10, codes=20, max_text=40, max_codes=200,
                           timbre_dim=8, emotion_dim=8, reader=ReaderConfig(symbols=12, symbol_dim=8, window=5))


@pytest.fixture(scope="module")
def model() -> TextToCodes:
    torch.manual_seed(0)
    return TextToCodes(CONFIG).eval()


def request(batch: int, text: int, steps: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    pointer = torch.sort(torch.randint(0, text, (batch, steps), generator=draw), 1).values
    return {"timbre": torch.randn(batch, 8, generator=draw), "emotion": torch.randn(batch, 8, generator=draw),
            "text": torch.randint(0, 12, (batch, text), generator=draw), "lengths": torch.tensor([0, steps][:batch]),
            "codes": torch.randint(0, 20, (batch, steps), generator=draw),
            "pitch": torch.randint(0, 128, (batch, steps), generator=draw),
            "level": torch.randint(0, 40, (batch, steps), generator=draw), "pointer": pointer}


def test_padding_of_text_changes_nothing(model: TextToCodes) -> None:
    alone = request(1, 9, 7)
    padded = alone | {"text": torch.cat([alone["text"], torch.full((1, 4), 12)], 1)}
    for a, b in zip(vars(model(**alone)).values(), vars(model(**padded)).values(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_a_row_is_the_same_alone_and_in_a_batch(model: TextToCodes) -> None:
    both = request(2, 9, 7)
    alone = {k: v[:1] for k, v in both.items()}
    assert torch.allclose(model(**both).codes[0], model(**alone).codes[0], atol=1e-5)


def test_steps_do_not_see_the_future(model: TextToCodes) -> None:
    one = request(1, 9, 7)
    other = one | {"codes": one["codes"].clone()}
    other["codes"][0, 4] = (other["codes"][0, 4] + 1) % 20
    a, b = model(**one).codes, model(**other).codes
    assert torch.allclose(a[:, :5], b[:, :5], atol=1e-6) and not torch.allclose(a[:, 5:], b[:, 5:], atol=1e-6)


def test_cached_hidden_states_are_those_of_the_whole_pass(model: TextToCodes) -> None:
    rows = torch.randn(1, 12, 32, generator=torch.Generator().manual_seed(2))
    cache = model.gpt.new_cache(1, 20)
    first = model.hidden(rows[:, :5], cache)
    rest = [model.hidden(rows[:, i : i + 1], cache) for i in range(5, 12)]
    assert torch.allclose(torch.cat([first, *rest], 1), model.hidden(rows), atol=1e-5)


def test_decoding_repeats_by_seed_reads_in_order_and_ends(model: TextToCodes) -> None:
    one = request(1, 9, 7)
    arguments = (model, one["timbre"], one["emotion"], one["text"])
    steps = [list(decode(*arguments, seed=seed)) for seed in (3, 3, 4)]
    assert steps[0] == steps[1] != steps[2]
    pointers = [step.pointer for step in steps[0]]
    assert pointers == sorted(pointers) and pointers[-1] < 9
    assert all(b - a < MOVES for a, b in pairwise(pointers))
    assert len(pointers) <= 9 * (Sampling().dwell_limit + 1)


def test_slots_tell_free_from_asked(model: TextToCodes) -> None:
    one = request(1, 9, 7)
    row = model.who_and_how(one["timbre"], one["emotion"])
    free, asked = (model.prefix(row, one["text"], torch.tensor([n])) for n in (0, 50))
    assert free.shape == (1, 3 + 9, 32)
    assert torch.equal(asked[0, 1], model.mel_pos_embedding.emb.weight[50]) and torch.equal(free[0, 2], asked[0, 2])


def test_dwell_counts_steps_on_a_symbol() -> None:
    assert dwell_of(torch.tensor([[0, 0, 0, 2, 2, 3]])).tolist() == [[0, 1, 2, 0, 1, 0]]


def test_an_untrained_reader_moves_as_often_as_speech_does() -> None:
    odds = TextToCodes(CONFIG).reader.advance.bias.softmax(-1)  # type: ignore[union-attr]
    assert torch.allclose(odds, torch.tensor([0.52, 0.40, 0.06, 0.02]), atol=1e-6)


def test_broken_weights_are_told(model: TextToCodes) -> None:
    text = torch.tensor([[10, 1, 2, 3, 11]])
    with pytest.raises(FloatingPointError, match="NaN"):
        list(decode(model, torch.full((1, 8), float("nan")), torch.zeros(1, 8), text))
