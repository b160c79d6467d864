"""8-bit weights: the digits say the input, the packed product is the plain one, and codes stay the same in a batch."""

from __future__ import annotations

import pytest
import torch

from ar_tts.generate import Request, write
from ar_tts.gpt import Conv1D
from ar_tts.int8 import Int8Linear, digits_of, fast, plain_product, quantise, quantise_decoder, rounded
from ar_tts.sampling import CodeSampling, LengthTarget
from tests.ar_tts.published import noise, prompt, small

SIZES = [(1, 64, 48), (3, 1280, 64), (40, 96, 8)]


INPUTS = [noise(5, 96), noise(96, 5).t(), 1e-9 * noise(2, 8), torch.zeros(2, 8), 1e6 * noise(1, 8)]


@pytest.mark.parametrize("x", INPUTS)
def test_two_digits_say_an_input(x: torch.Tensor) -> None:
    digits, scale = digits_of(x)
    low, high = (digits.double() - 128).chunk(2)
    assert digits.shape == (2 * len(x), x.shape[1])
    assert torch.allclose((256 * high + low) * scale, x.double(), atol=float(x.abs().max()) * 2e-5)


@pytest.mark.parametrize("size", SIZES)
def test_the_packed_product_is_the_plain_one(size: tuple[int, int, int]) -> None:
    rows, inputs, outputs = size
    x, weight, bias = noise(rows, inputs), noise(outputs, inputs, seed=1), noise(outputs, seed=2)
    layer = Int8Linear(weight, bias)
    levels, scale = rounded(weight)
    digits, at = digits_of(x)
    low, high = plain_product(digits, levels, scale).chunk(2)
    assert torch.allclose(layer(x), (low + 256 * high) * at + bias, rtol=1e-4, atol=1e-4)
    exact = x.double() @ (levels * scale[:, None]).double().t() + bias
    assert float((layer(x) - exact).abs().max()) < 1e-3 * float(exact.abs().max())


def test_both_kinds_of_layer_are_replaced() -> None:
    """GPT-2's is stored the other way round; the packing takes only one of the two layouts."""
    conv, linear = Conv1D(64, 40), torch.nn.Linear(64, 40)
    conv.weight.data, conv.bias.data = linear.weight.data.t().contiguous(), linear.bias.data
    module = torch.nn.ModuleDict({"conv": conv, "deeper": torch.nn.Sequential(linear)})
    x, expected = noise(3, 2, 64), linear(noise(3, 2, 64))
    assert quantise(module) == 2
    assert torch.equal(module["conv"](x), module["deeper"](x))
    assert torch.allclose(module["conv"](x), expected, atol=0.03)


def test_without_a_fast_product_the_plain_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, bias, x = noise(40, 64), noise(40, seed=1), noise(3, 64, seed=2)
    expected = Int8Linear(weight, bias)(x)
    monkeypatch.setattr("ar_tts.int8.fast", lambda: False)
    assert torch.allclose(Int8Linear(weight, bias)(x), expected, atol=1e-4)


def test_a_row_does_not_depend_on_its_batch() -> None:
    layer, x = Int8Linear(noise(48, 64), None), noise(6, 64, seed=1)
    alone = torch.cat([layer(row[None]) for row in x])
    assert torch.equal(alone, layer(x)) if fast() else torch.allclose(alone, layer(x), atol=1e-5)


def test_a_rounded_model_writes_nearly_the_same() -> None:
    model, rounded_model = small(), small()
    quantise_decoder(rounded_model)
    rows, codes = prompt(model, 6), torch.randint(40, (1, 40), generator=torch.Generator().manual_seed(0))
    one, other = (m.latents(rows, codes) for m in (model, rounded_model))
    assert 0 < float((one - other).abs().max()) < 0.1
    likeliest = [m.mel_head(hidden).argmax(-1) for m, hidden in ((model, one), (rounded_model, other))]
    assert float((likeliest[0] == likeliest[1]).float().mean()) > 0.9
    requests = [Request(prompt(model, 3 + 5 * i, i), i, LengthTarget(20)) for i in range(3)]
    for sampling in (CodeSampling(beams=1, max_codes=40), CodeSampling(max_codes=40)):
        together = write(rounded_model, requests, sampling)
        for request, written in zip(requests, together, strict=True):
            assert written.codes.tolist() == write(rounded_model, [request], sampling)[0].codes.tolist()
