"""Forced alignment on posteriors that are made up."""

from __future__ import annotations

import numpy as np
import pytest

from emovoice.corpus import align as aligning
from emovoice.corpus.align import align, best_path, durations, may_be_skipped, share_evenly
from emovoice.encoder.phones import classes_of_text
from emovoice.errors import InputError
from emovoice.text import symbols
from emovoice.training.data import Utterance, phone_classes, utterance


def tokens(phonemes: str) -> np.ndarray:
    """(S,) token numbers with START and STOP."""
    return np.array([symbols.START, *symbols.encode(phonemes), symbols.STOP])


def posteriors(text: np.ndarray, frames: np.ndarray, sure: float = 0.9, noise: float = 0.0) -> np.ndarray:
    """(T, C) log-posteriors of a classifier that gives each frame's true class the probability `sure`."""
    truth = np.repeat(classes_of_text(text), frames)
    logits = np.full((len(truth), symbols.VOCAB_SIZE), np.log((1 - sure) / (symbols.VOCAB_SIZE - 1)))
    logits[np.arange(len(truth)), truth] = np.log(sure)
    logits += noise * np.random.default_rng(0).standard_normal(logits.shape)
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def some_frames(text: np.ndarray, seed: int) -> np.ndarray:
    """(S,) lengths of 1 to 9 frames; of the symbols that may be skipped, half are. What cannot be told is even."""
    rng = np.random.default_rng(seed)
    optional = may_be_skipped(text)
    frames = rng.integers(1, 10, len(text)) * ~(optional & (rng.random(len(text)) < 0.5))
    return share_evenly(frames, classes_of_text(text), optional)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("phonemes", ["ðə bˈɑTəl hæd ɐ wˈId nˈɛk.", "nˈO, ʃi sˈɛd: “ɡˌO əwˈA!”", "fˈɑːðə — hˈaːt"])
def test_what_was_spoken_is_found_exactly(phonemes: str, seed: int) -> None:
    text = tokens(phonemes)
    frames = some_frames(text, seed)
    found = align(posteriors(text, frames), text)
    assert found.frames.tolist() == frames.tolist()
    assert found.fit == pytest.approx(1)


@pytest.mark.parametrize("seed", range(6))
def test_noise_moves_few_boundaries_and_no_frame_is_lost(seed: int) -> None:
    text = tokens("ðə bˈɑTəl hæd ɐ wˈId nˈɛk.")
    frames = some_frames(text, seed)
    found = align(posteriors(text, frames, sure=0.3, noise=1.0), text)
    assert found.frames.sum() == frames.sum()
    assert (found.frames[~may_be_skipped(text)] > 0).all(), "no sound is skipped"
    assert (np.cumsum(found.frames) == np.cumsum(frames)).mean() > 0.7


def test_any_posteriors_give_a_path_that_rises_and_skips_only_marks() -> None:
    text = tokens("nˈO, ʃi sˈɛd: “ɡˌO!”")
    optional = may_be_skipped(text)
    needed = int(np.count_nonzero(~optional))
    rng = np.random.default_rng(1)
    for total in (needed, needed + 1, 60, 300):
        path = best_path(rng.standard_normal((total, len(text))), optional)
        assert len(path) == total and (np.diff(path) >= 0).all()
        assert set(np.flatnonzero(~optional)) <= set(path.tolist())


def test_the_path_is_the_best_of_all() -> None:
    rng = np.random.default_rng(2)
    optional = np.array([True, False, True, True, False, True])
    scores = rng.standard_normal((5, 6))

    def paths(prefix: list[int]) -> list[list[int]]:
        if len(prefix) == 5:
            return [prefix]
        return [longer for s in range(prefix[-1] if prefix else 0, 6) for longer in paths([*prefix, s])]

    allowed = [p for p in paths([]) if {1, 4} <= set(p)]
    best = max(allowed, key=lambda p: scores[np.arange(5), p].sum())
    assert best_path(scores, optional).tolist() == best


def test_a_recording_with_fewer_frames_than_sounds() -> None:
    text = tokens("ɡˌO əwˈA")
    with pytest.raises(InputError, match="too short for its text"):
        align(np.zeros((4, symbols.VOCAB_SIZE)), text)
    assert align(np.log(np.full((5, symbols.VOCAB_SIZE), 1 / symbols.VOCAB_SIZE)), text).frames.sum() == 5


def test_another_text_fits_badly() -> None:
    said, other = tokens("ðə bˈɑTəl hæd ɐ wˈId nˈɛk."), tokens("plˈiz kˈʌm hˈOm sˈun ɔɹ ɡˌO.")
    heard = posteriors(said, some_frames(said, 3))
    assert align(heard, said).fit > 0.95 and align(heard, other).fit < 0.3
    assert align(heard, tokens("ðə bˈɑTəl")).fit < 0.6, "half of the text is missing"
    silence = np.full((40, symbols.VOCAB_SIZE), -20.0)
    silence[:, aligning.SILENT] = 0.0
    assert align(silence, said).fit < 0.01


def test_marks_count_as_their_sounds() -> None:
    phonemes = "ˈɑː b."
    expected = [0, *symbols.encode("ɑɑɑ"), 0, *symbols.encode("b"), 0, 0]
    assert classes_of_text(tokens(phonemes)).tolist() == expected
    assert may_be_skipped(tokens(phonemes)).tolist() == [True, True, False, False, True, False, True, True]


def test_sharing() -> None:
    text = tokens("ˈɑː b.")
    classes, optional = classes_of_text(text), may_be_skipped(text)
    assert share_evenly(np.array([3, 0, 1, 6, 0, 2, 5, 0]), classes, optional).tolist() == [3, 2, 2, 3, 0, 2, 2, 3]
    assert share_evenly(np.array([0, 0, 1, 1, 1, 2, 1, 0]), classes, optional).tolist() == [0, 0, 1, 1, 1, 2, 1, 0]


@pytest.mark.parametrize("seed", range(20))
def test_durations_give_every_code_the_symbol_in_its_middle(seed: int) -> None:
    text = tokens("nˈO, ʃi sˈɛd: “ɡˌO əwˈA!”")
    frames = some_frames(text, seed)
    frames[-1] += frames.sum() % 2  # whole codes
    kept = durations(frames)
    assert min(kept) >= 0 and sum(kept) * 0.025 == pytest.approx(frames.sum() * 0.02, abs=0.001)
    row = {"id": "a", "group": 0, "voice": "own", "emotion": "neutral", "intensity": 0.0, "warp": 1.0,
           "phonemes": symbols.decode(text), "durations": kept, "f0_hz": [0.0]}  # fmt: skip
    by_frame = np.repeat(np.arange(len(text)), frames)
    for samples in (None, np.zeros(960 * (len(by_frame) // 2) + 500, np.int16)):
        u: Utterance = utterance(row, samples)
        assert u.pointer.tolist() == by_frame[1::2].tolist()
    assert phone_classes(u).tolist() == np.repeat(classes_of_text(text)[by_frame[1::2]], 2).tolist()


