"""The decoding loop: codes as without a cache, as `transformers` finds them, by seed, in batches, at exact lengths."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ar_tts.generate import Request, write
from ar_tts.sampling import CodeSampling, LengthTarget
from ar_tts.unified import Asked, UnifiedVoice, unified_voice
from tests.ar_tts.published import prompt, small

GREEDY = CodeSampling(sample=False, beams=1, repetition_penalty=1.0, max_codes=24)
DRAWN = CodeSampling(beams=1, max_codes=40, temperature=1.0, repetition_penalty=1.5)
BEAMS = replace(DRAWN, beams=3)


@pytest.fixture(scope="module")
def model() -> UnifiedVoice:
    return small()


def without_cache(model: UnifiedVoice, rows: Tensor, sampling: CodeSampling) -> list[int]:
    """The likeliest codes, each found by a whole pass."""
    opening, skip = rows.shape[1], sampling.positions == "upstream"
    codes = [model.config.start_mel_token]
    for _ in range(sampling.max_codes):
        fed = model.code_rows(torch.tensor([codes[:1]]))
        if len(codes) > 1:
            fed = torch.cat([fed, model.code_rows(torch.tensor([codes[1:]]), 1 + skip)], 1)
        logits = model.mel_head(model.hidden(torch.cat([rows, fed], 1))[0, opening:])[-1]
        logits[model.config.start_mel_token] = float("-inf")
        if int(logits.argmax()) == model.config.stop_mel_token:
            break
        codes.append(int(logits.argmax()))
    return codes[1:]


@pytest.mark.parametrize("mode", ["conformer", "campplus"])
@pytest.mark.parametrize("positions", ["trained", "upstream"])
def test_greedy_codes_are_those_of_whole_passes(mode: str, positions: str) -> None:
    model, sampling = small(mode), replace(GREEDY, positions=positions)
    for seed in range(3):
        rows = prompt(model, 5, seed)
        assert write(model, [Request(rows)], sampling)[0].codes.tolist() == without_cache(model, rows, sampling)


def test_the_two_conventions_of_positions_differ(model: UnifiedVoice) -> None:
    rows = Request(prompt(model, 5))
    codes = [write(model, [rows], replace(GREEDY, positions=p))[0].codes.tolist() for p in ("trained", "upstream")]
    assert codes[0] != codes[1]


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN, BEAMS, replace(BEAMS, positions="upstream")])
def test_latents_are_those_of_a_second_pass(model: UnifiedVoice, sampling: CodeSampling) -> None:
    for seed in range(3):
        rows = prompt(model, 4 + seed, seed)
        written = write(model, [Request(rows, seed, LengthTarget(20))], sampling)[0]
        assert written.latents.shape == (20, 64)
        assert torch.allclose(written.latents, model.latents(rows, written.codes[None])[0], atol=1e-5)


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN, BEAMS, replace(BEAMS, sample=False)])
@pytest.mark.parametrize("mode", ["conformer", "campplus"])
def test_a_request_keeps_its_codes_in_any_batch(mode: str, sampling: CodeSampling) -> None:
    model = small(mode)
    lengths = [None, LengthTarget(7), None, LengthTarget(18, 5), LengthTarget(1)]
    requests = [Request(prompt(model, 3 + 4 * i, i), i, length) for i, length in enumerate(lengths)]
    alone = [write(model, [request], sampling)[0] for request in requests]
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1], [3, 0]):
        for i, written in zip(order, write(model, [requests[i] for i in order], sampling), strict=True):
            assert written.codes.tolist() == alone[i].codes.tolist() and written.stopped == alone[i].stopped
            assert torch.allclose(written.latents, alone[i].latents, atol=1e-5)


@pytest.mark.parametrize("sampling", [DRAWN, BEAMS])
def test_codes_repeat_by_seed_and_leave_the_global_state_alone(model: UnifiedVoice, sampling: CodeSampling) -> None:
    rows, state = prompt(model, 6), torch.get_rng_state()
    codes = [write(model, [Request(rows, seed)], sampling)[0].codes.tolist() for seed in (1, 1, 2, 3)]
    assert codes[0] == codes[1] and len({tuple(c) for c in codes}) == 3
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN, BEAMS])
@pytest.mark.parametrize("order", ["A", "B"])
def test_an_asked_length_is_met_exactly(model: UnifiedVoice, sampling: CodeSampling, order: str) -> None:
    lengths = (1, 2, 13, 24)
    requests = [Request(prompt(model, 5, n, asked=Asked(n, order)), n, LengthTarget(n)) for n in lengths]
    for n, written in zip(lengths, write(model, requests, sampling), strict=True):
        assert written.stopped and len(written.codes) == n
        assert set(written.codes.tolist()).isdisjoint({model.config.start_mel_token, model.config.stop_mel_token})


@pytest.mark.parametrize("beams", [1, 3])
def test_a_tolerant_length_stays_within_its_window(model: UnifiedVoice, beams: int) -> None:
    sampling = replace(DRAWN, beams=beams, repetition_penalty=1.0)
    rows = prompt(model, 5)
    found = {len(write(model, [Request(rows, seed, LengthTarget(12, 3, pull=2.0))], sampling)[0].codes)
             for seed in range(25)}  # fmt: skip
    assert found <= set(range(9, 16)) and len(found) > 1


def stopping_at(model: UnifiedVoice, code: int) -> UnifiedVoice:
    """A model that stops at another code: random weights hardly ever choose one certain code."""
    other = unified_voice(replace(model.config, stop_mel_token=code)).eval().requires_grad_(False)
    other.load_state_dict(model.state_dict())
    return other


@pytest.mark.parametrize("sampling", [DRAWN, BEAMS])
def test_the_limit_is_told_from_an_end(model: UnifiedVoice, sampling: CodeSampling) -> None:
    rows, sampling = prompt(model, 5), replace(sampling, max_codes=9)
    assert write(model, [Request(rows, 0, LengthTarget(9))], sampling)[0].stopped
    free = write(model, [Request(rows)], sampling)[0]
    assert len(free.codes) == 9 and not free.stopped
    stopping = stopping_at(model, int(free.codes[4]))
    written = write(stopping, [Request(rows, seed) for seed in range(12)], sampling)
    assert any(w.stopped and len(w.codes) < 9 for w in written)
    assert all(w.stopped or len(w.codes) == 9 for w in written)


def test_no_request_no_codes(model: UnifiedVoice) -> None:
    assert write(model, []) == []


def test_more_codes_than_there_are_positions_are_refused(model: UnifiedVoice) -> None:
    request = Request(prompt(model, 5), 0, LengthTarget(30))
    with pytest.raises(ValueError, match="this model can write 120"):
        write(model, [request], replace(DRAWN, max_codes=121))
    with pytest.raises(ValueError, match="raise max_codes"):
        write(model, [request], replace(DRAWN, max_codes=29))
    longest = Request(prompt(model, 5), 0, LengthTarget(120))
    for positions in ("trained", "upstream"):
        sampling = replace(DRAWN, max_codes=120, positions=positions)
        assert len(write(model, [longest], sampling)[0].codes) == 120


# ---- beam search beside that of transformers ----


def same_gpt2(model: UnifiedVoice) -> Any:
    """GPT-2 of transformers with the weights of `model`, after what it has besides is taken out of `model`."""
    from transformers import GPT2Config, GPT2LMHeadModel

    for norm in (model.gpt.ln_f, model.final_norm):  # two norms in series are one if they only normalise
        norm.weight.fill_(1.0), norm.bias.zero_()
    model.mel_pos_embedding.emb.weight.zero_()
    model.mel_head.bias.zero_()
    other = GPT2LMHeadModel(GPT2Config(vocab_size=42, n_positions=300, n_embd=64, n_layer=2, n_head=2, eos_token_id=41,
                                       bos_token_id=40, tie_word_embeddings=False)).eval()  # fmt: skip
    state = {f"transformer.{name}": value for name, value in model.gpt.state_dict().items()}
    state |= {"transformer.wte.weight": model.mel_embedding.weight, "lm_head.weight": model.mel_head.weight,
              "transformer.wpe.weight": torch.zeros(300, 64)}  # fmt: skip
    other.load_state_dict(state)
    return other


@pytest.mark.parametrize(("beams", "penalty", "length_penalty"), [(3, 1.0, 0.0), (3, 10.0, 0.0), (4, 1.3, 1.0)])
def test_beam_search_finds_what_transformers_finds(beams: int, penalty: float, length_penalty: float) -> None:
    model = small()
    model.mel_head.weight.mul_(3)  # likelier codes, so that scores are far apart
    other = same_gpt2(model)
    sampling = CodeSampling(sample=False, beams=beams, repetition_penalty=penalty, length_penalty=length_penalty,
                            max_codes=30, allow_start=True)  # fmt: skip
    ended = []
    for seed in range(4):
        rows = prompt(model, 5, seed)
        opening = torch.cat([rows, model.code_rows(torch.tensor([[40]]))], 1)
        never = write(model, [Request(rows)], sampling)[0].codes.tolist()
        for stop in {41, never[3], never[9]}:
            found = other.generate(
                inputs_embeds=opening, attention_mask=torch.ones(opening.shape[:2]), do_sample=False, num_beams=beams,
                repetition_penalty=penalty, length_penalty=length_penalty, max_new_tokens=30, eos_token_id=stop,
                pad_token_id=stop,
            )[0].tolist()  # fmt: skip
            written = write(stopping_at(model, stop), [Request(rows)], sampling)[0]
            assert written.codes.tolist() == [code for code in found if code != stop]
            ended.append((written.stopped, len(written.codes)))
    assert len(set(ended)) > 2


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN, BEAMS, replace(BEAMS, sample=False)])
def test_a_broken_request_ends_and_harms_no_other(model: UnifiedVoice, sampling: CodeSampling) -> None:
    good, broken = Request(prompt(model, 5), 1), Request(torch.full_like(prompt(model, 4), float("nan")), 2)
    alone = write(model, [good], sampling)[0]
    one, other = write(model, [good, broken], sampling)
    assert one.codes.tolist() == alone.codes.tolist() and not one.flawed
    assert other.flawed and not other.stopped and len(other.codes) == 0
