"""Text to codes: a GPT-2 that reads phonemes and writes semantic codes (IndexTTS2, arXiv 2506.21619, section 3.1).

Sequence: [speaker + emotion] [slot A] [slot B] [text_start, text, text_stop] [code_start, codes ...]. Slot A holds the
number of codes to write, embedded by the table of code positions (the paper's W_num = W_sem), slot B a constant; the
"free" constant in slot A leaves the length to the model. Names and shapes follow the published state dict as far as
they have parts in common; `reader` (see reader.py) is our addition for small models. The published models themselves
are in unified.py.

Shapes: B batch, L text with start and stop, K codes, C width, E emotion size.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ar_tts.gpt import GPT, Memory
from ar_tts.reader import Reader, ReaderConfig

SLOTS = 2
FREE = 0  # row of speed_emb that stands for "any length"


@dataclass(frozen=True)
class TextToCodesConfig:
    """Sizes. `codes` and `text` count the symbols without start and stop."""

    dim: int = 192
    layers: int = 6
    heads: int = 4
    dropout: float = 0.2
    text: int = 76
    codes: int = 1000
    max_text: int = 400
    max_codes: int = 800
    timbre_dim: int = 192
    emotion_dim: int = 256
    reader: ReaderConfig | None = ReaderConfig()

    @property
    def start_code(self) -> int:
        """Code that opens the code sequence."""
        return self.codes

    @property
    def stop_code(self) -> int:
        """Code that ends it."""
        return self.codes + 1


class LearnedPositions(nn.Module):
    """Learned absolute positions; `emb` is the published name."""

    def __init__(self, limit: int, dim: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(limit, dim)
        nn.init.normal_(self.emb.weight, std=0.02)


@dataclass
class Prediction:
    """Logits per step: `codes` (B, K, codes + 2); with a reader also `advance`, `pitch`, `level` (B, K, classes)."""

    codes: Tensor
    advance: Tensor
    pitch: Tensor
    level: Tensor


class TextToCodes(nn.Module):
    """See the module's text."""

    def __init__(self, config: TextToCodesConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.text_embedding = nn.Embedding(config.text + 2, dim)
        self.mel_embedding = nn.Embedding(config.codes + 2, dim)
        self.text_pos_embedding = LearnedPositions(config.max_text + 2, dim)
        self.mel_pos_embedding = LearnedPositions(config.max_codes + 3, dim)
        self.speed_emb = nn.Embedding(2, dim)
        self.spk_emb_proj = nn.Linear(config.timbre_dim, dim)
        self.emovec_layer = nn.Linear(config.emotion_dim, dim)
        self.emo_layer = nn.Linear(dim, dim)
        self.gpt = GPT(dim, config.layers, config.heads, config.dropout)
        self.final_norm = nn.LayerNorm(dim)
        self.text_head = nn.Linear(dim, config.text + 2)
        self.mel_head = nn.Linear(dim, config.codes + 2)
        self.reader = Reader(config.reader, dim) if config.reader else None
        nn.init.normal_(self.text_embedding.weight, std=0.02)
        nn.init.normal_(self.mel_embedding.weight, std=0.02)
        nn.init.zeros_(self.speed_emb.weight)

    def who_and_how(self, timbre: Tensor, emotion: Tensor) -> Tensor:
        """(B, 192), (B, E) -> (B, 1, C), the row that opens the sequence."""
        return (self.spk_emb_proj(timbre) + self.emo_layer(self.emovec_layer(emotion)))[:, None]

    def prefix(self, row: Tensor, text: Tensor, lengths: Tensor) -> Tensor:
        """Opening row (B, 1, C), text (B, L) with start and stop, asked codes (B,) with 0 for free -> (B, 3 + L, C)."""
        free = self.speed_emb.weight[FREE].expand(len(text), -1)
        counted = self.mel_pos_embedding.emb(lengths.clamp(max=self.mel_pos_embedding.emb.num_embeddings - 1))
        slot_a = torch.where(lengths[:, None] > 0, counted, free)
        known = text.clamp(max=self.config.text + 1)  # padding, which training masks, lies beyond the table
        words = self.text_embedding(known) + self.text_pos_embedding.emb.weight[: text.shape[1]]
        return torch.cat([row, slot_a[:, None], free[:, None], words], 1)

    def code_rows(self, codes: Tensor, start: int = 0) -> Tensor:
        """Codes (B, K) at positions start.. -> (B, K, C)."""
        return self.mel_embedding(codes) + self.mel_pos_embedding.emb.weight[start : start + codes.shape[1]]

    def hidden(self, rows: Tensor, cache: Memory | None = None, keep: Tensor | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C) after both norms (the published stack has two in series)."""
        return self.final_norm(self.gpt(rows, cache, keep))

    def forward(self, timbre: Tensor, emotion: Tensor, text: Tensor, lengths: Tensor, codes: Tensor, pitch: Tensor,
                level: Tensor, pointer: Tensor) -> Prediction:
        """Teacher-forced logits, for the model with a reader.

        codes, pitch, level (B, K): what each step writes. pointer (B, K): text position that each step reads. Row k
        sees step k - 1 and predicts step k: first how far the pointer moves, then, given where it is, the rest.
        """
        assert self.reader is not None
        row = self.who_and_how(timbre, emotion)
        before = F.pad(codes[:, :-1], (1, 0), value=self.config.start_code)
        last_pointer = F.pad(pointer[:, :-1], (1, 0), value=0)
        written = self.reader.written(F.pad(pitch[:, :-1], (1, 0), value=0), F.pad(level[:, :-1], (1, 0), value=0))
        where = self.reader.where(text, last_pointer, lengths)
        rows = self.code_rows(before) + written + where + row
        prefix = self.prefix(row, text, lengths)
        keep = F.pad(text < self.config.text + 2, (1 + SLOTS, codes.shape[1]), value=True)
        hidden = self.hidden(torch.cat([prefix, rows], 1), keep=keep)[:, prefix.shape[1] :]
        advance = self.reader.advance(hidden)
        told = self.reader.told(hidden, text, pointer)
        return Prediction(self.mel_head(told), advance, self.reader.pitch(told), self.reader.level(told))
