"""Windows tile what is spoken, and what they give is what one window would have given."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from emovoice.engine import Engine
from emovoice.rendering import CODES, CONTEXT_CODES, FIRST_CODES, FRAMES_PER_CODE, Renderer, windows
from vocoders.vocos import Vocoder, VocosConfig

HOP = 256


@pytest.mark.parametrize("count", [0, 1, FIRST_CODES, FIRST_CODES + CONTEXT_CODES, 124, 125, 300, 777])
def test_windows_tile_the_steps_and_see_around_them(count: int) -> None:
    found = list(windows(iter(range(count))))
    assert [code for window in found for code in range(window.start, window.end)] == list(range(count))
    for window in found:
        assert window.steps == tuple(range(window.first, window.first + len(window.steps)))
        assert window.start % 4 == window.first % 4 == 0 and window.first == max(window.start - CONTEXT_CODES, 0)
        assert window.first + len(window.steps) == min(window.end + CONTEXT_CODES, count) or window.end == count
        assert len(window.steps) <= CODES + 2 * CONTEXT_CODES + FIRST_CODES


def test_a_window_waits_for_no_more_than_it_sees() -> None:
    taken: list[int] = []

    def steps() -> Iterator[int]:
        for step in range(500):
            taken.append(step)
            yield step

    next(windows(steps()))
    assert len(taken) == FIRST_CODES + CONTEXT_CODES


class Made:
    """A mel and a melody for K codes, and what a window gets of them."""

    def __init__(self, codes: int, ratio: float) -> None:
        torch.manual_seed(1)
        self.ratio = ratio
        self.mel = torch.randn(1, 100, 4 * codes)
        self.hz = 120 + 60 * torch.rand(1, 4 * codes)

    def frame(self, code: int) -> int:
        return -(-round(code * self.ratio * HOP) // HOP)

    def of(self, steps: tuple[int, ...], frames: int) -> torch.Tensor:
        first = self.frame(steps[0])
        self.heard = self.hz[:, first : first + frames]
        return self.mel[..., first : first + frames]


@pytest.mark.parametrize("ratio", [FRAMES_PER_CODE, 3.1, 3.9])
@pytest.mark.parametrize("source", [True, False])
@torch.inference_mode()
def test_windows_give_what_one_would(source: bool, ratio: float, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    codes = 250
    vocoder = Vocoder(VocosConfig(dim=16, intermediate_dim=32, layers=6, source=source)).eval()
    made = Made(codes, ratio)
    monkeypatch.setattr(vocoder, "hear_pitch", lambda mel, near: made.heard)
    renderer: Renderer[int] = Renderer(vocoder, made.of, lambda steps: np.zeros(len(steps)), ratio)
    chunks = list(renderer.chunks(range(codes)))
    samples = np.concatenate(chunks)
    assert len(chunks) == 4 and len(samples) == round(codes * ratio * HOP)
    frames = made.frame(codes)
    expected = vocoder(made.mel[..., :frames], made.hz[:, :frames] if source else None)[0].numpy()[: len(samples)]
    # the last bits of a turn are hundredths of a radian in the highest harmonics
    assert np.linalg.norm(samples - expected) < 1e-3 * np.linalg.norm(expected)


def test_the_first_sound_comes_before_the_last_code(
    engine_factory: type[Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ar_tts import decoding

    engine = engine_factory()
    taken: list[int] = []
    decode = decoding.decode

    def counted(*args: object) -> Iterator[decoding.Step]:
        for step in decode(*args):  # type: ignore[arg-type]
            taken.append(1)
            yield step

    monkeypatch.setattr("emovoice.pipeline.decode", counted)
    speech = engine.stream("The committee will meet again next week to discuss the questions that remain.")
    first = next(speech)
    before = len(taken)
    rest = speech.collect().samples
    assert before < len(taken) / 2 and len(first) <= FIRST_CODES * 960
    again = engine.synthesize("The committee will meet again next week to discuss the questions that remain.")
    assert np.array_equal(np.concatenate([first, rest]), again.samples)
