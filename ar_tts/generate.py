"""How the published models write codes: prompts in, codes and their latents out, in batches and with beams.

The hidden states that the codes are drawn from are the latents that the published pipeline fetches by a second pass,
as long as code positions are those of training; they are kept, and the second pass is left out.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch

from ar_tts.beams import Search
from ar_tts.request import Request, Written, check
from ar_tts.sampling import PUBLISHED, CodeSampling
from ar_tts.together import MOST_ROWS, Decoder
from ar_tts.unified import UnifiedVoice

__all__ = ["MOST_ROWS", "Decoder", "Request", "Written", "write"]


@torch.inference_mode()
def write(model: UnifiedVoice | Decoder, requests: Sequence[Request], sampling: CodeSampling = PUBLISHED,
          ) -> list[Written]:
    """Write the codes of all requests together; with a decoder, together with those of other threads as well.

    Raises ValueError where the table of code positions is shorter than what is asked for.
    """
    if not requests:
        return []
    decoder = model if isinstance(model, Decoder) else Decoder(model, len(requests))
    if sampling.beams == 1:
        return decoder.write(requests, sampling)
    check(decoder.model, requests, sampling)
    return Search(decoder.model, requests, sampling, decoder.openings).run()
