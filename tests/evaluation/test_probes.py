"""Linear probes on vectors that are made up."""

from __future__ import annotations

import numpy as np
import pytest

from emovoice.evaluation.probes import read_out, split


def clouds(items: int, classes: int, dim: int, signal: float, seed: int = 0) -> tuple[np.ndarray, list[str], list[str]]:
    """Vectors around a random point per class, labels, and 2 items a text."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, classes, items)
    vectors = signal * rng.standard_normal((classes, dim))[numbers] + rng.standard_normal((items, dim))
    return vectors, [f"c{n}" for n in numbers], [f"text {i // 2}" for i in range(items)]


def test_what_is_in_a_vector_is_read() -> None:
    reading = read_out(*clouds(600, 12, 40, 2.0))
    assert reading.classes == 12 and reading.accuracy > 0.95 and reading.chance == pytest.approx(1 / 12)
    assert len(reading.right) == 180


def test_what_is_not_in_it_is_chance() -> None:
    reading = read_out(*clouds(600, 9, 200, 0.0))
    assert abs(reading.accuracy - 1 / 9) < 0.08


def test_a_little_is_found_in_much_noise_of_other_scales() -> None:
    vectors, labels, texts = clouds(900, 4, 60, 0.6)
    noise = np.random.default_rng(1).standard_normal((900, 60)) * 1000
    reading = read_out(np.concatenate([noise, vectors, np.ones((900, 3))], 1), labels, texts)
    assert reading.accuracy > 0.7 > 0.4 > reading.chance


def test_the_text_is_no_help() -> None:
    """Vectors that only tell the text: a probe that met the text would know the class."""
    rng = np.random.default_rng(2)
    texts = [f"text {i // 6}" for i in range(600)]
    labels = [f"c{rng.integers(4)}" if i % 6 == 0 else "" for i in range(600)]
    labels = [labels[i // 6 * 6] for i in range(600)]
    vectors = np.repeat(rng.standard_normal((100, 50)), 6, axis=0)
    assert read_out(vectors, labels, texts).accuracy < 0.5


def test_a_common_class_counts_no_more_than_others() -> None:
    vectors, labels, texts = clouds(900, 3, 20, 0.0)
    labels = ["neutral" if i % 10 else label for i, label in enumerate(labels)]
    assert read_out(vectors, labels, texts).accuracy < 0.45, "saying neutral is right nine times in ten"


def test_rare_classes_are_left_out() -> None:
    vectors, labels, texts = clouds(200, 3, 10, 3.0)
    labels[0] = labels[1] = "rare"
    assert read_out(vectors, labels, texts).classes == 3


@pytest.mark.parametrize("labels", [["a"] * 40, [f"l{i}" for i in range(40)]])
def test_nothing_to_tell_apart(labels: list[str]) -> None:
    reading = read_out(np.zeros((40, 3)), labels, [f"t{i}" for i in range(40)])
    assert len(reading.right) == 0 and np.isnan(reading.accuracy)


def test_the_split_keeps_texts_together_and_repeats() -> None:
    texts = [f"t{i % 17}" for i in range(170)]
    held = split(texts, 0.3, 0)
    sides = [{text for text, there in zip(texts, held, strict=True) if there == side} for side in (True, False)]
    assert not sides[0] & sides[1]
    assert held.sum() == 50 and (split(texts, 0.3, 0) == held).all() and (split(texts, 0.3, 1) != held).any()
