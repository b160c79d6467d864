"""The published text-to-codes models: IndexTTS-2 (arXiv 2506.21619, section 3.1) and IndexTTS-2.5.

    [speaker + emotion rows] [slot A] [slot B] [text_start, text, text_stop] [code_start, codes ...]

The two differ in how a speaker is told (32 latents of a perceiver, or one projected 192-d vector), in what the two
slots hold, and in a language embedding. State-dict names and shapes are those of the published weights. Only text and
codes carry positions, each from a learned table of its own.

Length control. The paper embeds the wanted number of codes by the table of code positions (W_num = W_sem). The
published inference never does; that the weights of IndexTTS-2 obey row T of that table in slot A is a finding of its
users, and they disagree about the order of the slots, hence `SLOT_ORDERS`. Nothing of it could be tried here without
the published weights. IndexTTS-2.5 was trained with zeros in both slots and has no such control.

Shapes: B batch, T prompt frames, F feature size, N speaker rows, P rows before the codes, L text with start and stop,
K codes, C width.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ar_tts.conformer import Conformer
from ar_tts.gpt import GPT, Memory
from ar_tts.model import SLOTS, LearnedPositions
from ar_tts.perceiver import Perceiver

FEATURES = 1024  # w2v-BERT
EMOTION_DIM = 1024  # of the emotion perceiver's one row
TIMBRE_DIM = 192  # CAMPPlus
LANGUAGES = 107
SLOT_ORDERS = ("A", "B")
"""Which slot takes the length: A, the first (most reports), or B, the second (one derived trainer)."""


@dataclass(frozen=True)
class ConditionerConfig:
    """Sizes of one conformer and its perceiver, by their published names."""

    output_size: int = 512
    linear_units: int = 2048
    attention_heads: int = 8
    num_blocks: int = 6
    input_layer: str = "conv2d2"
    perceiver_mult: float = 2


@dataclass(frozen=True)
class UnifiedConfig:
    """The `gpt` section of the published configuration; defaults are IndexTTS-2. `number_text_tokens` is without the
    stop token, `number_mel_codes` with start and stop. `features` is the width of a prompt's content features."""

    model_dim: int = 1280
    layers: int = 24
    heads: int = 20
    max_mel_tokens: int = 1815
    max_text_tokens: int = 600
    number_text_tokens: int = 12000
    number_mel_codes: int = 8194
    start_mel_token: int = 8192
    stop_mel_token: int = 8193
    start_text_token: int = 0
    stop_text_token: int = 1
    condition_type: str = "conformer_perceiver"
    condition_module: ConditionerConfig = ConditionerConfig()
    emo_condition_module: ConditionerConfig = ConditionerConfig(linear_units=1024, attention_heads=4, num_blocks=4)
    condition_num_latent: int = 32
    spk_cond_mode: str = "conformer"
    features: int = FEATURES

    @classmethod
    def from_published(cls, section: Mapping[str, Any]) -> UnifiedConfig:
        """From the `gpt` section of config.yaml; what only training reads is left out. Raises ValueError for a kind of
        conditioning that no published weights have."""
        known = {f.name: section[f.name] for f in fields(cls) if f.name in section}
        for name in ("condition_module", "emo_condition_module"):
            if name in known:
                sizes = {f.name for f in fields(ConditionerConfig)}
                known[name] = ConditionerConfig(**{k: v for k, v in known[name].items() if k in sizes})
        config = cls(**known)
        layers = {config.condition_module.input_layer, config.emo_condition_module.input_layer}
        if config.condition_type != "conformer_perceiver" or layers != {"conv2d2"}:
            raise ValueError(f"condition_type={config.condition_type!r} with input_layer={sorted(layers)} is not among "
                             "the published models: conformer_perceiver with conv2d2")
        return config


INDEXTTS_2 = UnifiedConfig()
INDEXTTS_2_5 = UnifiedConfig(number_text_tokens=60509, spk_cond_mode="campplus")


@dataclass(frozen=True)
class Asked:
    """A wanted number of codes, and the slot that says it."""

    codes: int
    slot_order: str = "A"

    def __post_init__(self) -> None:
        if self.codes < 1:
            raise ValueError(f"codes={self.codes}: ask for at least 1 code")
        if self.slot_order not in SLOT_ORDERS:
            raise ValueError(f"slot_order={self.slot_order!r}: give one of {', '.join(SLOT_ORDERS)}")


@dataclass
class Teacher:
    """What a whole pass gives: logits of text (B, L, text) and codes (B, 1 + K, codes), latents (B, K, C): row k is the
    hidden state that predicts code k."""

    text: Tensor
    codes: Tensor
    latents: Tensor = field(repr=False)


class UnifiedVoice(nn.Module, ABC):
    """What both published models share; `unified_voice` builds the one that a configuration describes."""

    languages = 0

    def __init__(self, config: UnifiedConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.model_dim
        self.emo_conditioning_encoder, self.emo_perceiver_encoder = _conditioner(
            config.emo_condition_module, config.features, EMOTION_DIM, latents=1)
        self.text_embedding = nn.Embedding(config.number_text_tokens + 1, dim)
        self.emo_layer = nn.Linear(dim, dim)
        self.emovec_layer = nn.Linear(EMOTION_DIM, dim)
        self.mel_embedding = nn.Embedding(config.number_mel_codes, dim)
        self.gpt = GPT(dim, config.layers, config.heads, dropout=0.1)
        self.mel_pos_embedding = LearnedPositions(config.max_mel_tokens + 3, dim)
        self.text_pos_embedding = LearnedPositions(config.max_text_tokens + 2, dim)
        self.final_norm = nn.LayerNorm(dim)
        self.text_head = nn.Linear(dim, config.number_text_tokens + 1)
        self.mel_head = nn.Linear(dim, config.number_mel_codes)

    # ---- who and how ----

    @abstractmethod
    def speaker(self, prompt: Tensor, keep: Tensor | None = None) -> Tensor:
        """What tells a speaker -> (B, N, C)."""

    def emotion_features(self, prompt: Tensor, keep: Tensor | None = None) -> Tensor:
        """Content features (B, T, F), and (B, T) False on padding -> (B, 1024)."""
        return self.emo_perceiver_encoder(*self.emo_conditioning_encoder(prompt, keep))[:, 0]

    def emotion(self, prompt: Tensor, keep: Tensor | None = None) -> Tensor:
        """Content features (B, T, F) -> emotion vector (B, C), which is added to every speaker row."""
        return self.emo_layer(self.emovec_layer(self.emotion_features(prompt, keep)))

    @staticmethod
    def blended(own: Tensor, other: Tensor, share: float) -> Tensor:
        """Emotion vectors of the speaker's prompt and of another prompt (B, C) -> (B, C); share 0 is the speaker's own,
        1 the other's."""
        return torch.lerp(own, other, share)

    # ---- rows ----

    def prefix(self, speaker: Tensor, emotion: Tensor, asked: Asked | None = None) -> Tensor:
        """Speaker rows (B, N, C), emotion vector (B, C), and a length to ask for -> (B, N + 2, C)."""
        slots = self.slots(asked).expand(len(speaker), -1, -1)
        return torch.cat([speaker + emotion[:, None], slots], 1)

    @abstractmethod
    def slots(self, asked: Asked | None) -> Tensor:
        """(2, C), the rows of the two duration slots; None leaves the length to the model."""

    def text_rows(self, text: Tensor, language: Tensor | None = None) -> Tensor:
        """Framed text (B, L), language (B,) where the model has them -> (B, L, C)."""
        return self.text_embedding(text) + self.text_pos_embedding.emb.weight[: text.shape[1]]

    def framed(self, tokens: Tensor) -> Tensor:
        """(L,) -> (L',) between start and stop. Tokens of these two ids are left out first, as published.

        Raises ValueError where the table of text positions ends before the text."""
        start, stop = self.config.start_text_token, self.config.stop_text_token
        inner = tokens[(tokens != start) & (tokens != stop)]
        if len(inner) > self.config.max_text_tokens:
            raise ValueError(f"a text of {len(inner)} tokens; at most {self.config.max_text_tokens} can be read at "
                             "once. Split it")
        return F.pad(F.pad(inner, (1, 0), value=start), (0, 1), value=stop)

    def prompt(self, speaker: Tensor, emotion: Tensor, tokens: Tensor, language: int | None = None,
               asked: Asked | None = None) -> Tensor:
        """All rows before the codes of one request: speaker (1, N, C), emotion (1, C), tokens (L,) -> (1, P, C).

        Raises ValueError where the model has no such language, or needs one and is given none."""
        if (language is not None) != bool(self.languages) or not 0 <= (language or 0) < max(self.languages, 1):
            raise ValueError(f"language={language}: "
                             + (f"give 0 to {self.languages - 1}" if self.languages else "this model has no languages"))
        known = None if language is None else torch.tensor([language], device=tokens.device)
        text = self.text_rows(self.framed(tokens)[None], known)
        return torch.cat([self.prefix(speaker, emotion, asked), text], 1)

    def code_rows(self, codes: Tensor, position: int = 0) -> Tensor:
        """Codes (B, K), the first of which stands at `position` -> (B, K, C)."""
        return self.mel_embedding(codes) + self.mel_pos_embedding.emb.weight[position : position + codes.shape[1]]

    def hidden(self, rows: Tensor, cache: Memory | None = None) -> Tensor:
        """(B, R, C) -> (B, R, C) after the two norms that stand in series."""
        return self.final_norm(self.gpt(rows, cache))

    # ---- whole passes ----

    def latents(self, prompt: Tensor, codes: Tensor) -> Tensor:
        """Rows before the codes (B, P, C), codes (B, K) -> (B, K, C): row k is the hidden state that predicts code k,
        which is what the codes-to-mel model of IndexTTS-2 is told besides the codes."""
        rows = self.code_rows(F.pad(codes[:, :-1], (1, 0), value=self.config.start_mel_token))
        return self.hidden(torch.cat([prompt, rows], 1))[:, prompt.shape[1] :]

    def forward(self, speaker: Tensor, emotion: Tensor, text: Tensor, codes: Tensor,
                language: Tensor | None = None, asked: Asked | None = None) -> Teacher:
        """Teacher-forced: speaker rows (B, N, C), emotion (B, C), framed text (B, L), codes (B, K) without start."""
        prefix, words = self.prefix(speaker, emotion, asked), self.text_rows(text, language)
        rows = self.code_rows(F.pad(codes, (1, 0), value=self.config.start_mel_token))
        hidden = self.hidden(torch.cat([prefix, words, rows], 1))[:, prefix.shape[1] :]
        of_text, of_codes = hidden.split([text.shape[1], rows.shape[1]], 1)
        return Teacher(self.text_head(of_text), self.mel_head(of_codes), of_codes[:, :-1])


class IndexTTS2(UnifiedVoice):
    """A speaker is 32 latents of w2v-BERT features; the slots hold learned constants, or a length."""

    def __init__(self, config: UnifiedConfig) -> None:
        super().__init__(config)
        self.conditioning_encoder, self.perceiver_encoder = _conditioner(
            config.condition_module, config.features, config.model_dim, config.condition_num_latent)
        self.speed_emb = nn.Embedding(SLOTS, config.model_dim)
        nn.init.zeros_(self.speed_emb.weight)

    def speaker(self, prompt: Tensor, keep: Tensor | None = None) -> Tensor:
        """Content features (B, T, F), and (B, T) False on padding -> (B, 32, C)."""
        return self.perceiver_encoder(*self.conditioning_encoder(prompt, keep))

    def slots(self, asked: Asked | None) -> Tensor:
        """Constants 1 and 0; for a length, constant 0 and the row of that code position."""
        free = self.speed_emb.weight
        if asked is None:
            return free.flip(0)
        table = self.mel_pos_embedding.emb.weight
        length = table[min(asked.codes, len(table) - 1)]
        rows = [length, free[0]]
        return torch.stack(rows if asked.slot_order == "A" else rows[::-1])


class IndexTTS25(UnifiedVoice):
    """A speaker is one row, projected from a CAMPPlus vector; text knows its language; the slots are zeros."""

    languages = LANGUAGES

    def __init__(self, config: UnifiedConfig) -> None:
        super().__init__(config)
        self.spk_emb_proj = nn.Linear(TIMBRE_DIM, config.model_dim)
        self.lang_embedding = nn.Embedding(LANGUAGES, config.model_dim)

    def speaker(self, prompt: Tensor, keep: Tensor | None = None) -> Tensor:
        """CAMPPlus vectors (B, 192) -> (B, 1, C)."""
        return self.spk_emb_proj(prompt)[:, None]

    def slots(self, asked: Asked | None) -> Tensor:
        """Zeros. Raises ValueError for a length, which these weights were never told."""
        if asked is not None:
            raise ValueError("IndexTTS-2.5 cannot be asked for a length; stretch its codes by the length regulator")
        return self.text_embedding.weight.new_zeros(SLOTS, self.config.model_dim)

    def text_rows(self, text: Tensor, language: Tensor | None = None) -> Tensor:
        """Framed text (B, L), language (B,) -> (B, L, C). None adds no language, as the published latents have it."""
        rows = super().text_rows(text)
        return rows if language is None else rows + self.lang_embedding(language)[:, None]


_MODES: dict[str, type[UnifiedVoice]] = {"conformer": IndexTTS2, "campplus": IndexTTS25}


def unified_voice(config: UnifiedConfig) -> UnifiedVoice:
    """The model that `config` describes, with random weights. Raises ValueError for an unknown `spk_cond_mode`."""
    if config.spk_cond_mode not in _MODES:
        raise ValueError(f"spk_cond_mode={config.spk_cond_mode!r}: known are {', '.join(_MODES)}")
    return _MODES[config.spk_cond_mode](config)


def _conditioner(config: ConditionerConfig, features: int, dim: int, latents: int) -> tuple[Conformer, Perceiver]:
    heads, width = config.attention_heads, config.output_size
    conformer = Conformer(features, width, config.linear_units, heads, config.num_blocks)
    return conformer, Perceiver(width, dim, latents, heads, config.perceiver_mult)
