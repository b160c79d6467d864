"""Cutting a long recording where it is quiet, and joining what became of its pieces. Pure: numpy, no files.

A piece is heard with 80 ms of what comes before and after it; in the output, pieces are faded into each other over
20 ms in the middle of the cut. Everything is mono at 24 kHz; cuts lie on the grid of codes (960 samples).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from emovoice.encoder.melody import CODE_SAMPLES, RATE_HZ, level_of

SHORTEST_S, LONGEST_S = 3.0, 8.0
"""A cut is made at the quietest place between them."""

OVERLAP = 2 * CODE_SAMPLES
FADE = 480
_QUIET_DB = 40.0  # below the loudest of the piece: a pause, at which a phrase ends


@dataclass(frozen=True)
class Piece:
    """Samples (lead + core + tail,), the sizes of the three, where the core starts, and whether a phrase ends there."""

    samples: np.ndarray
    lead: int
    core: int
    tail: int
    start: int
    ends: bool


def pieces(blocks: Iterable[np.ndarray]) -> Iterator[Piece]:
    """Pieces of a stream of mono blocks of any size; never more than about 8 s are held."""
    longest, shortest = (round(s * RATE_HZ) // CODE_SAMPLES * CODE_SAMPLES for s in (LONGEST_S, SHORTEST_S))
    held, lead, start = np.zeros(0, np.float32), 0, 0
    for block in blocks:
        held = np.concatenate([held, np.asarray(block, np.float32)])
        while len(held) >= lead + longest + OVERLAP:
            core, ends = _cut(held[lead : lead + longest], shortest)
            yield Piece(held[: lead + core + OVERLAP], lead, core, OVERLAP, start, ends)
            start += core
            held, lead = held[lead + core - OVERLAP :], OVERLAP
    if len(held) > lead:
        yield Piece(held, lead, len(held) - lead, 0, start, True)


def _cut(samples: np.ndarray, shortest: int) -> tuple[int, bool]:
    """Where to cut, in samples, and whether there is a pause: between the two quietest codes."""
    level = level_of(samples)
    first = shortest // CODE_SAMPLES
    after = level[first:]
    # the quietest pair of codes; of equals the last, since long pieces are better understood
    pairs = np.maximum(after[:-1], after[1:])
    best = len(pairs) - 1 - int(np.argmin(pairs[::-1]))
    return (first + best + 1) * CODE_SAMPLES, bool(pairs[best] < level.max() - _QUIET_DB)


def warp(piece: Piece, factors: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Knots of the way from output to source time, in samples of the piece.

    Args:
        factors: (K,) how much longer each code of 960 samples becomes; only their proportions count.
        length: samples that the core shall take; lead and tail keep theirs.

    Returns:
        Output knots and source knots, (N,) each, rising, from 0 to the ends of both.
    """
    edges = np.append(np.arange(0, len(piece.samples), CODE_SAMPLES), len(piece.samples)).astype(float)
    sizes = np.diff(edges)
    middles = (edges[:-1] + edges[1:]) / 2
    inside = (middles >= piece.lead) & (middles < piece.lead + piece.core)
    wanted = np.where(inside, sizes * np.resize(factors, len(sizes)), sizes)
    wanted[inside] *= length / wanted[inside].sum()
    return np.concatenate([[0.0], np.cumsum(wanted)]), edges


def free_length(piece: Piece, factors: np.ndarray) -> int:
    """Samples that the core takes when each code is stretched by its factor."""
    first = piece.lead // CODE_SAMPLES
    sizes = np.full(-(-piece.core // CODE_SAMPLES), CODE_SAMPLES, float)
    sizes[-1] = piece.core - CODE_SAMPLES * (len(sizes) - 1)
    return max(1, round(float((sizes * factors[first : first + len(sizes)]).sum())))


class Joiner:
    """Puts converted pieces, each with its lead and tail, into one stream."""

    def __init__(self) -> None:
        self._held: np.ndarray | None = None  # the end of the piece before, to be faded out

    def add(self, samples: np.ndarray, lead: int, core: int, tail: int) -> np.ndarray:
        """A converted piece (lead + core + tail,) -> samples that are final; `lead` and `tail` at least half a fade.

        All that is given out adds up to the cores.
        """
        half = FADE // 2
        begin = lead - half if self._held is not None else lead
        end = lead + core - (half if tail else 0)
        out = samples[begin:end].astype(np.float32)
        if self._held is not None:
            count = min(FADE, len(out))
            rise = ((np.arange(count) + 0.5) / FADE).astype(np.float32)
            out[:count] = rise * out[:count] + (1 - rise) * self._held[:count]
        self._held = samples[end : end + FADE].astype(np.float32) if tail else None
        return out


def shared_length(start: int, core: int, source: int, asked: int) -> int:
    """Samples of the output for the core of a piece, of a source of `source` samples that shall take `asked`.

    Added up over all pieces it is exactly `asked`.
    """
    return asked * (start + core) // source - asked * start // source

