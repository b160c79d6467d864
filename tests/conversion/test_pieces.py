"""Cutting and joining: nothing lost, cut where it is quiet, lengths exact."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emovoice.conversion.pieces import (
    FADE,
    LONGEST_S,
    OVERLAP,
    SHORTEST_S,
    Joiner,
    Piece,
    free_length,
    pieces,
    shared_length,
    warp,
)

RATE = 24_000


def speech(seconds: float, pauses_s: tuple[float, ...] = (), seed: int = 0) -> np.ndarray:
    """Noise that is quiet for 200 ms at each of the given times."""
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * RATE)).astype(np.float32)
    for start in pauses_s:
        samples[round(start * RATE) : round((start + 0.2) * RATE)] *= 1e-4
    return samples


def blocks(samples: np.ndarray, size: int = 5000) -> Iterator[np.ndarray]:
    return (samples[i : i + size] for i in range(0, len(samples), size))


def rejoined(cut: list[Piece]) -> np.ndarray:
    joiner = Joiner()
    return np.concatenate([joiner.add(p.samples, p.lead, p.core, p.tail) for p in cut])


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 40), st.integers(1, 100_000))
def test_what_is_cut_and_joined_is_what_it_was(seconds: float, size: int) -> None:
    samples = speech(seconds)
    cut = list(pieces(blocks(samples, size)))
    assert np.allclose(rejoined(cut), samples, atol=1e-6)
    assert [p.start for p in cut] == [0, *np.cumsum([p.core for p in cut])[:-1].tolist()]
    assert all(p.core <= LONGEST_S * RATE + OVERLAP for p in cut)
    assert all(p.core >= SHORTEST_S * RATE for p in cut[:-1])
    assert all(p.lead % 960 == 0 and p.start % 960 == 0 for p in cut)


def test_the_size_of_blocks_does_not_matter() -> None:
    samples = speech(30, (5.0, 11.0, 17.0))
    one, other = (list(pieces(blocks(samples, size))) for size in (777, 90_000))
    assert [(p.start, p.core) for p in one] == [(p.start, p.core) for p in other]


def test_cuts_lie_in_pauses_and_only_there_a_phrase_ends() -> None:
    cut = list(pieces(blocks(speech(30, (5.0, 11.0)))))
    first, second, third = (p.start / RATE for p in cut[1:4])
    assert 5.0 < first < 5.2 and 11.0 < second < 11.2
    assert [p.ends for p in cut[:3]] == [True, True, False] and cut[-1].ends
    assert second + SHORTEST_S <= third <= second + LONGEST_S


def test_little_is_held() -> None:
    taken = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal taken
        for block in blocks(speech(60)):
            taken += len(block)
            yield block

    for piece in pieces(counted()):
        assert taken <= piece.start + piece.core + (LONGEST_S - SHORTEST_S) * RATE + OVERLAP + 5000
        assert len(piece.samples) <= (LONGEST_S + 1) * RATE


def test_nothing_gives_nothing() -> None:
    assert list(pieces(iter([]))) == [] == list(pieces(iter([np.zeros(0)])))


# ---- stretching -------------------------------------------------------------------------------------------


def piece(core: int = 48_000, lead: int = OVERLAP, tail: int = OVERLAP) -> Piece:
    return Piece(speech((lead + core + tail) / RATE), lead, core, tail, 0, True)


@given(st.integers(20_000, 120_000), st.integers(30_000, 60_000))
def test_the_core_takes_what_it_is_given_and_the_edges_theirs(length: int, core: int) -> None:
    one = piece(core, tail=0)
    factors = np.random.default_rng(0).uniform(0.5, 2, -(-len(one.samples) // 960))
    out, source = warp(one, factors, length)
    assert out[0] == source[0] == 0 and out[-1] == pytest.approx(OVERLAP + length) and source[-1] == len(one.samples)
    assert np.all(np.diff(out) > 0) and np.all(np.diff(source) > 0)
    assert np.interp(OVERLAP, source, out) == pytest.approx(OVERLAP)


def test_slow_sounds_take_more_of_the_time() -> None:
    one = piece(9600)
    factors = np.ones(14)
    factors[4] = 2.0
    out, _ = warp(one, factors, free_length(one, factors))
    assert free_length(one, factors) == 9600 + 960
    assert np.diff(out)[4] == pytest.approx(1920) and np.diff(out)[5] == pytest.approx(960)


def test_a_last_code_that_is_not_whole_counts_by_its_length() -> None:
    one = piece(9600 + 100, tail=0)
    assert free_length(one, np.full(20, 2.0)) == 2 * 9700


@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=30), st.integers(1, 5_000_000))
def test_shares_add_up(cores: list[int], asked: int) -> None:
    starts = np.cumsum([0, *cores])
    shares = [shared_length(int(s), c, int(starts[-1]), asked) for s, c in zip(starts, cores)]
    assert sum(shares) == asked


def test_pieces_of_other_lengths_are_faded_over() -> None:
    ones, twos = np.ones(OVERLAP + 5000 + OVERLAP), np.full(OVERLAP + 3000, 2.0)
    joiner = Joiner()
    joined = np.concatenate([joiner.add(ones[OVERLAP:], 0, 5000, OVERLAP), joiner.add(twos, OVERLAP, 3000, 0)])
    assert len(joined) == 8000
    assert np.all(joined[: 5000 - FADE // 2] == 1) and np.all(joined[5000 + FADE // 2 :] == 2)
    assert np.all(np.diff(joined) >= 0) and np.diff(joined).max() < 0.01
