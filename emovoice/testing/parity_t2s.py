"""Parity of the text-to-codes model: build what a file describes, fill it by rule, compute, compare."""
from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ar_tts.generate import Request, write
from ar_tts.sampling import CodeSampling
from ar_tts.unified import UnifiedConfig, UnifiedVoice, unified_voice
from emovoice.errors import InputError, ModelError
from emovoice.testing.weights import fill

_MERGED = re.compile(r"emovec_merged_alpha_([0-9_]+)")
_GREEDY = re.compile(r"greedy_codes_(trained|upstream)_positions")


def compare_t2s(arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> dict[str, float]:
    """Largest absolute difference of every output in the file; for codes, how many differ; infinite for other shapes.

    arrays: inputs `spk`, `emo` (B, T, 1024), `campplus` (B, 192), `text` (B, L) without start and stop, `codes_in`
        (B, K), and any of the outputs. meta: `config` (the `gpt` section), `salt`, `seed`, `langs` where the model has
        languages.

    Raises:
        InputError: an input that an output needs is missing, or there is no output.
        ModelError: a configuration that no published model has.
    """
    model = _model(meta)
    outputs = _Outputs(model, arrays, meta)
    with torch.inference_mode():
        found = {name: _difference(compute().numpy(), arrays[name])
                 for name in arrays if (compute := outputs.named(name)) is not None}
    if not found:
        raise InputError("no output of the text-to-codes model is in the file", field="arrays", value=sorted(arrays))
    return found


def _model(meta: dict[str, Any]) -> UnifiedVoice:
    try:
        model = unified_voice(UnifiedConfig.from_published(meta["config"])).eval()
    except (ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:
        raise ModelError(f"the configuration describes no published model: {error}", field="meta.config",
                         value=meta["config"]) from error
    fill(model, meta["salt"], int(meta["seed"]), float(meta.get("weight_g_gain", 1.0)))
    return model


class _Outputs:
    """What a file can hold, computed when asked for."""

    def __init__(self, model: UnifiedVoice, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        self.model, self.arrays, self.meta = model, arrays, meta
        self.plain: dict[str, Callable[[], Tensor]] = {
            "cond": self._speaker,
            "emo_raw": lambda: model.emotion_features(self._input("emo")),
            "emovec": self._emotion,
            "prefix": self._prefix,
            "latent": self._latents,
            "text_logits": lambda: self._taught().text.mT,
            "code_logits": lambda: self._taught().codes.mT,
        }
        self._taught = cache(lambda: model(self._speaker(), self._emotion(), self._text(), self._codes(),
                                           self._language()))

    def named(self, name: str) -> Callable[[], Tensor] | None:
        """How to compute the array `name`, None where it is no output."""
        if found := _MERGED.fullmatch(name):
            alpha = float(found[1].replace("_", "."))
            return lambda: self.model.blended(self.model.emotion(self._input("spk")), self._emotion(), alpha)
        if found := _GREEDY.fullmatch(name):
            positions = found[1]
            return lambda: self._greedy(torch.Size(self.arrays[name].shape), positions)
        return self.plain.get(name)

    def _input(self, name: str) -> Tensor:
        if name not in self.arrays:
            raise InputError(f"the file lacks the array `{name}`", field="arrays", value=sorted(self.arrays))
        return torch.from_numpy(self.arrays[name])

    def _speaker(self) -> Tensor:
        return self.model.speaker(self._input("campplus" if self.model.languages else "spk"))

    def _emotion(self) -> Tensor:
        return self.model.emotion(self._input("emo"))

    def _prefix(self) -> Tensor:
        return self.model.prefix(self._speaker(), self._emotion())

    def _text(self) -> Tensor:
        config = self.model.config
        started = F.pad(self._input("text").long(), (1, 0), value=config.start_text_token)
        return F.pad(started, (0, 1), value=config.stop_text_token)

    def _codes(self) -> Tensor:
        return self._input("codes_in").long()

    def _language(self) -> Tensor | None:
        langs = self.meta.get("langs")
        if langs is None or not self.model.languages:
            return None
        return torch.as_tensor(langs).reshape(-1).expand(len(self._text()))

    def _latents(self) -> Tensor:
        """The reference's pass for the latents knows no language."""
        return self.model.latents(torch.cat([self._prefix(), self.model.text_rows(self._text())], 1), self._codes())

    def _greedy(self, shape: torch.Size, positions: str) -> Tensor:
        """The likeliest codes, as many as were written down; the stop code is one, and fills what follows it."""
        steps = shape[-1]
        likeliest = CodeSampling(sample=False, beams=1, repetition_penalty=1.0, max_codes=steps, positions=positions,
                                 allow_start=True)
        prompts = torch.cat([self._prefix(), self.model.text_rows(self._text(), self._language())], 1)
        written = write(self.model, [Request(row[None]) for row in prompts], likeliest)
        stop = self.model.config.stop_mel_token
        return torch.stack([F.pad(w.codes, (0, steps - len(w.codes)), value=stop) for w in written]).reshape(shape)


def _difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    if ours.shape != theirs.shape:
        return float("inf")
    if np.issubdtype(theirs.dtype, np.integer):
        return float(np.count_nonzero(ours != theirs))
    largest = float(np.abs(ours.astype(np.float64) - theirs).max(initial=0.0))
    return largest if np.isfinite(largest) else float("inf")
