"""A monotonic pointer into the text, so that a small transformer reads without learning to align.

At every step (one code, 40 ms) the model first says how many symbols the pointer moves (0..3), then, knowing the symbol
it now stands on and its neighbours, which code, pitch and level are written there. Skipping or repeating words is
impossible by construction; the end of speech is the pointer's last position.

Shapes: B batch, K steps, L text with start and stop, C width.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOVES = 4  # the pointer moves 0, 1, 2 or 3 symbols a step
# How often it makes each move in English at 25 codes a second. The bias of the untrained layer starts here: training
# need not first find out that a symbol lasts two codes, and random weights read at the pace of speech, where equal
# odds would leave three symbols in four within a step.
_MOVE_PRIOR = (0.52, 0.40, 0.06, 0.02)


@dataclass(frozen=True)
class ReaderConfig:
    """`window` symbols are seen around the pointer; pitch bin 0 is unvoiced."""

    symbols: int = 78
    window: int = 7
    symbol_dim: int = 64
    pitch_bins: int = 128
    level_bins: int = 40
    dwell_limit: int = 32


class Reader(nn.Module):
    """Inputs and heads of the pointer, pitch and level."""

    def __init__(self, config: ReaderConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.symbol = nn.Embedding(config.symbols + 1, config.symbol_dim, padding_idx=config.symbols)
        self.window_in = nn.Linear(config.window * config.symbol_dim, dim)
        self.window_out = nn.Linear(config.window * config.symbol_dim, dim)
        self.dwell = nn.Embedding(config.dwell_limit, dim)
        self.pace = nn.Linear(4, dim)
        self.pitch_in = nn.Embedding(config.pitch_bins, dim)
        self.level_in = nn.Embedding(config.level_bins, dim)
        self.mix = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.advance = nn.Linear(dim, MOVES)
        self.pitch = nn.Linear(dim, config.pitch_bins)
        self.level = nn.Linear(dim, config.level_bins)
        for table in (self.dwell, self.pitch_in, self.level_in):
            nn.init.normal_(table.weight, std=0.02)
        with torch.no_grad():
            self.advance.bias.copy_(torch.tensor(_MOVE_PRIOR).log())

    def written(self, pitch: Tensor, level: Tensor) -> Tensor:
        """Pitch and level bins of the step before (B, K) -> (B, K, C)."""
        return self.pitch_in(pitch) + self.level_in(level)

    def where(self, text: Tensor, pointer: Tensor, lengths: Tensor, first_step: int = 0,
              dwell: Tensor | None = None) -> Tensor:
        """Where the pointer stood at the end of the step before, and how much is left -> (B, K, C)."""
        if dwell is None:
            dwell = dwell_of(pointer)
        steps = first_step + torch.arange(pointer.shape[1], device=text.device)
        pace = self._pace(text, pointer, lengths, steps)
        seen = self.window_in(self.window(text, pointer))
        return seen + self.dwell(dwell.clamp(max=self.config.dwell_limit - 1)) + self.pace(pace)

    def told(self, hidden: Tensor, text: Tensor, pointer: Tensor) -> Tensor:
        """Hidden states (B, K, C), told where the pointer now stands (B, K) -> (B, K, C)."""
        known = hidden + self.window_out(self.window(text, pointer))
        return known + self.mix(known)

    def window(self, text: Tensor, pointer: Tensor) -> Tensor:
        """The symbols around the pointer (B, K) -> (B, K, window * symbol size)."""
        half = self.config.window // 2
        padded = F.pad(text, (half, half), value=self.config.symbols)
        offsets = torch.arange(self.config.window, device=text.device)
        at = (pointer.clamp(max=text.shape[1] - 1)[..., None] + offsets).flatten(1)
        return self.symbol(padded.gather(1, at).unflatten(1, (-1, self.config.window))).flatten(2)

    def _pace(self, text: Tensor, pointer: Tensor, lengths: Tensor, steps: Tensor) -> Tensor:
        """(B, K, 4): symbols left, and where a length is asked: steps left, steps per symbol left, a flag."""
        symbols = (text != self.config.symbols).sum(1)
        left = torch.log1p((symbols[:, None] - pointer).clamp(min=0).float())
        asked = (lengths > 0)[:, None].expand_as(left).float()
        steps_left = torch.log1p((lengths[:, None] - steps[None]).clamp(min=0).float())
        return torch.stack([left, asked * steps_left, asked * (steps_left - left), asked], -1) * 0.5


def dwell_of(pointer: Tensor) -> Tensor:
    """(B, K) how many steps the pointer has stood where it stands."""
    steps = torch.arange(pointer.shape[1], device=pointer.device)
    moved = F.pad(pointer[:, 1:] != pointer[:, :-1], (1, 0), value=True)
    since = torch.where(moved, steps, 0).cummax(1).values
    return steps - since
