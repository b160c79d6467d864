"""Small models of the published kind, filled by rule, and requests for them."""

from __future__ import annotations

import torch
from torch import Tensor

from ar_tts.unified import ConditionerConfig, UnifiedConfig, UnifiedVoice, unified_voice
from emovoice.testing.weights import fill

CONDITIONER = ConditionerConfig(output_size=16, linear_units=24, attention_heads=2, num_blocks=1)


def small_config(mode: str = "conformer") -> UnifiedConfig:
    """2 layers and 40 codes."""
    return UnifiedConfig(
        model_dim=64, layers=2, heads=2, max_mel_tokens=120, max_text_tokens=40, number_text_tokens=50,
        number_mel_codes=42, start_mel_token=40, stop_mel_token=41, condition_module=CONDITIONER,
        emo_condition_module=CONDITIONER, condition_num_latent=4, spk_cond_mode=mode,
    )  # fmt: skip


def small(mode: str = "conformer") -> UnifiedVoice:
    """A small model; the spread of its weights makes draws differ from step to step."""
    model = unified_voice(small_config(mode)).eval().requires_grad_(False)
    fill(model, "test:", 3)
    return model


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def prompt(model: UnifiedVoice, words: int, seed: int = 0, **options: object) -> Tensor:
    """Rows before the codes of a text of `words` tokens."""
    dim, rows = model.config.model_dim, 1 if model.languages else model.config.condition_num_latent
    tokens = torch.randint(2, 50, (words,), generator=torch.Generator().manual_seed(seed))
    language = 3 if model.languages else None
    return model.prompt(noise(1, rows, dim, seed=seed), noise(1, dim, seed=seed + 1), tokens, language, **options)  # type: ignore[arg-type]
