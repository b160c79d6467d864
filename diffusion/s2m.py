"""Semantic features to mel by continuing a prompt: the published S2M stage of IndexTTS-2 and IndexTTS-2.5.

Three parts with their published names: `gpt_layer` (hidden states of the text-to-codes model -> the width of semantic
features), `length_regulator` and `cfm`. Shapes: B batch, K codes, T frames, C content width, M mel bands.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from diffusion.dit import Estimator, EstimatorConfig
from diffusion.regulator import LengthRegulator, RegulatorConfig
from diffusion.solver import continued
from diffusion.weight_norm import fuse

PUBLISHED_ESTIMATOR = EstimatorConfig(mels=80, dim=512, content_dim=512, style_dim=192, depth=13, heads=8, ffn=1536,
                                      wavenet_layers=8, lone_middle=True)
PUBLISHED_REGULATOR = RegulatorConfig(codes=0, in_channels=1024, channels=512, melody=False, phones=0)

UNUSED = ("cfm.estimator.input_pos", "cfm.estimator.x_embedder.", "cfm.estimator.cond_embedder.",
          "cfm.estimator.content_mask_embedder.", "cfm.estimator.t_embedder.freqs", "cfm.estimator.t_embedder2.freqs",
          "length_regulator.embedding.", "length_regulator.mask_token")
"""Beginnings of names in published files that nothing computes with, or that are computed here."""


@dataclass(frozen=True)
class SemanticToMelConfig:
    """As published; `latent` are the widths of `gpt_layer`, from hidden states to semantic features."""

    estimator: EstimatorConfig = PUBLISHED_ESTIMATOR
    regulator: RegulatorConfig = PUBLISHED_REGULATOR
    latent: tuple[int, ...] = (1280, 256, 128, 1024)


class SemanticToMel(nn.Module):
    """Semantic features, style and a prompt -> log-mel."""

    def __init__(self, config: SemanticToMelConfig) -> None:
        super().__init__()
        self.config = config
        self.gpt_layer = nn.Sequential(*(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(config.latent)))
        self.length_regulator = LengthRegulator(config.regulator)
        self.cfm = nn.ModuleDict({"estimator": Estimator(config.estimator)})

    def fuse(self) -> None:
        """Fold weight normalisation away, for speed. The state dict is no longer the published one afterwards."""
        fuse(self)

    @torch.inference_mode()
    def conditions(self, features: Tensor, frames: int) -> Tensor:
        """Semantic features (B, K, C_in) -> (B, T, C) with T = frames, any number."""
        return self.length_regulator.stretch(features, frames)

    @torch.inference_mode()
    def mel(self, prompts: Sequence[Tensor], prompt_conditions: Sequence[Tensor], conditions: Sequence[Tensor],
            styles: Tensor, noises: Sequence[Tensor], steps: int | Sequence[float] = 25,
            guidance: float = 0.7) -> list[Tensor]:
        """Log-mels of B targets, each after its own prompt: (M, T_i).

        Prompts (M, P_i), prompt conditions (P_i, C), conditions (T_i, C), styles (B, S), noises (M, P_i + T_i). Rows
        of any lengths; each comes out as it would alone, up to rounding.
        """
        content = [torch.cat(both) for both in zip(prompt_conditions, conditions, strict=True)]
        ends = [prompt.shape[-1] for prompt in prompts]
        lengths = [len(row) for row in content]
        device = styles.device
        even = len(set(lengths)) == 1  # without a mask attention has faster kernels
        mel = continued(self.cfm["estimator"], _rows([noise.T for noise in noises]).mT,
                        _rows([prompt.T for prompt in prompts]).mT, _rows(content), styles, steps, guidance,
                        None if even else torch.tensor(lengths, device=device), torch.tensor(ends, device=device))
        return [row[:, start:end] for row, start, end in zip(mel, ends, lengths, strict=True)]


def _rows(parts: list[Tensor]) -> Tensor:
    """(T_i, C) -> (B, T, C), zeros behind."""
    return pad_sequence(parts, batch_first=True)
