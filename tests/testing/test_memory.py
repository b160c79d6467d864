"""Counting memory without using it: against tensors whose sizes are known."""

import pytest
import torch

from ar_tts.gpt import GPT
from emovoice.hub import shapes
from emovoice.testing.memory import CONFIGURATIONS, Alive, activations, markdown, modules, stages, weight_bytes


def test_tensors_count_while_they_live() -> None:
    weight = torch.ones(500)
    with Alive([weight]) as alive:
        x = torch.zeros(1000)
        y = x + 1
        assert alive.now == alive.most == 8000
        view = y[:10]
        del x
        assert alive.now == 4000
        z = weight.view(5, 100)  # a view of a weight is none
        del y
        assert alive.now == 4000 and len(view) == 10 and len(z) == 5
        del view
    assert alive.now == 0 and alive.most == 8000


def test_a_cache_is_as_large_as_its_shape_says() -> None:
    with torch.device("meta"):
        gpt = GPT(64, 3, 2, 0.0)
    with Alive(gpt.parameters()) as alive:
        cache = gpt.new_cache(2, 50)
    assert alive.now == 2 * 3 * 2 * 50 * 64 * 4 == 2 * cache.keys.numel() * 4


@pytest.mark.parametrize(("release", "lists"), [
    ("indextts-2", ("t2s-2", "codec-2", "campplus", "bigvgan", "w2v-bert")),
    ("indextts-2.5", ("t2s-2.5", "codec-2.5", "campplus", "bigvgan", "w2v-bert")),
])  # fmt: skip
def test_weights_are_those_of_the_published_lists(release: str, lists: tuple[str, ...]) -> None:
    numbers = sum(torch.Size(shape).numel() for name in lists for shape in shapes.expected(name).values())
    parts = modules(release)
    s2m = sum(tensor.numel() for tensor in parts["s2mel"].state_dict().values())
    assert weight_bytes(parts, CONFIGURATIONS["fp32"]) == pytest.approx(4 * (numbers + s2m), rel=1e-3)
    assert weight_bytes(parts, CONFIGURATIONS["fp16"]) == pytest.approx(2 * (numbers + s2m), rel=1e-3)
    assert {part for part, _ in stages(release, 1).values()} <= set(parts)


@pytest.mark.parametrize("stage", ["codes", "vocoder"])
def test_stages_run_without_content(stage: str) -> None:
    one, two = (activations("indextts-2", stage, dtype, 1) for dtype in (torch.float32, torch.float16))
    assert one > 10**8 and two == pytest.approx(one / 2, rel=0.02)


def test_the_table() -> None:
    row = {"release": "a", "precision": "fp32", "beams": 1, "weights_gb": 6.0, "activations_gb": {"flow": 0.5},
           "worst": "flow", "peak_gb": 6.5, "with_qwen_gb": 7.7}  # fmt: skip
    assert markdown([row]).splitlines()[2] == "| a | fp32 | 1 | 6.00 GB | 0.50 GB (flow) | 6.50 GB | 7.70 GB |"
