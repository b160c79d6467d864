"""What the decoding loops of the published models are asked for, and what they give.

Shapes: P prompt rows, K codes, C width.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ar_tts.sampling import CodeSampling, LengthTarget
from ar_tts.unified import UnifiedVoice


@dataclass(frozen=True)
class Request:
    """Rows before the codes (1, P, C) from `UnifiedVoice.prompt`, the seed of the draws, a length to keep to.

    opening: how many of the first rows other requests are likely to begin with as well, those of speaker and emotion:
        their keys and values are kept for the next request.
    """

    prompt: Tensor = field(repr=False)
    seed: int = 0
    length: LengthTarget | None = None
    opening: int = 0

    def last(self, sampling: CodeSampling) -> int:
        """The largest number of codes."""
        return self.length.last if self.length else sampling.max_codes


@dataclass
class Written:
    """codes (K,) without stop; latents (K, C), the hidden states that predicted them; whether the end was reached
    rather than the limit of codes; `flawed` where the model computed NaN, which ends a request and harms no other."""

    codes: Tensor
    latents: Tensor = field(repr=False)
    stopped: bool
    flawed: bool = False


def check(model: UnifiedVoice, requests: Sequence[Request], sampling: CodeSampling) -> None:
    """Raises ValueError where the table of code positions is shorter than what is asked for."""
    longest = max([sampling.max_codes, *(request.last(sampling) for request in requests)])
    if longest > model.config.max_mel_tokens:
        raise ValueError(f"{longest} codes are asked for; this model can write {model.config.max_mel_tokens}")
    if longest > sampling.max_codes:
        raise ValueError(f"a length of {longest} codes with max_codes={sampling.max_codes}: raise max_codes")


def latents_of(model: UnifiedVoice, request: Request, codes: Tensor, seen: Tensor, sampling: CodeSampling) -> Tensor:
    """The latents of codes (K,): `seen` (K, C), the hidden states that they were drawn from, spare the second pass of
    the published pipeline as long as code positions are those of training."""
    if sampling.positions == "trained" or not len(codes):
        return seen
    return model.latents(request.prompt, codes[None])[0]
