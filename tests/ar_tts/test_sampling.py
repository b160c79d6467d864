"""Filters as in `transformers`, draws by their odds, the pull of a length."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ar_tts.sampling import PUBLISHED, CodeSampling, LengthTarget, processed
from tests.ar_tts.published import noise


def as_transformers(scores: torch.Tensor, seen: torch.Tensor, sampling: CodeSampling, min_keep: int) -> torch.Tensor:
    from transformers.generation import logits_process as lp

    steps: list[Any] = [lp.RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty),
                        lp.TemperatureLogitsWarper(sampling.temperature)]  # fmt: skip
    if sampling.top_k:
        steps.append(lp.TopKLogitsWarper(sampling.top_k, min_tokens_to_keep=min_keep))
    if sampling.top_p < 1:
        steps.append(lp.TopPLogitsWarper(sampling.top_p, min_tokens_to_keep=min_keep))
    history = seen.nonzero()[:, 1].view(len(seen), -1)  # equally many in each row
    for step in steps:
        scores = step(history, scores)
    return scores


@pytest.mark.parametrize("min_keep", [1, 2])
@pytest.mark.parametrize(
    "sampling",
    [PUBLISHED, CodeSampling(top_k=0), CodeSampling(top_p=1.0), CodeSampling(top_k=1), CodeSampling(top_p=0.01),
     CodeSampling(temperature=0.1, repetition_penalty=1.1), CodeSampling(top_k=500)],
)  # fmt: skip
def test_filters_are_those_of_transformers(sampling: CodeSampling, min_keep: int) -> None:
    seen = torch.zeros(4, 200, dtype=torch.bool)
    for row in range(4):
        seen[row, torch.randperm(200, generator=torch.Generator().manual_seed(row))[:17]] = True
    for scores in (3 * noise(4, 200), (3 * noise(4, 200)).log_softmax(-1)):
        expected = as_transformers(scores.clone(), seen, sampling, min_keep)
        found = processed(scores, seen, sampling, min_keep)
        assert torch.equal(found.isinf(), expected.isinf())
        assert torch.allclose(found.nan_to_num(neginf=0), expected.nan_to_num(neginf=0), atol=1e-5)


def test_without_draws_only_the_penalty_counts() -> None:
    scores, seen = torch.tensor([[2.0, -1.0, 3.0]]), torch.tensor([[True, True, False]])
    assert processed(scores, seen, CodeSampling(sample=False, repetition_penalty=2.0)).tolist() == [[1.0, -2.0, 3.0]]


def test_the_stop_is_forbidden_then_pulled() -> None:
    exact, soft = LengthTarget(5), LengthTarget(5, 2, pull=1.5)
    assert [exact.bias(n) for n in (0, 4)] == [float("-inf")] * 2 and exact.last == 5
    assert [soft.bias(n) for n in (2, 3, 4, 5, 6)] == [float("-inf"), -3.0, -1.5, 0.0, 1.5] and soft.last == 7


@pytest.mark.parametrize("codes", [(0, 0), (5, 5), (5, -1), (-2, 0)])
def test_lengths_that_make_no_sense(codes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="codes="):
        LengthTarget(*codes)


@pytest.mark.parametrize(
    "option",
    [{"temperature": 0.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}, {"repetition_penalty": 0.0}, {"beams": 0},
     {"max_codes": 0}, {"positions": "shifted"}],
)  # fmt: skip
def test_settings_that_make_no_sense(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        CodeSampling(**option)
