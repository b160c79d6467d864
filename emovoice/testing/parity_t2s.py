"""The text-to-codes part of a parity file: build the model that the file describes, fill it by rule, compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from emovoice.testing.weights import fill

if TYPE_CHECKING:
    import torch

    from ar_tts.unified import UnifiedVoice

_MERGED = "emovec_merged_alpha_"
_GREEDY = {"greedy_codes_trained_positions": "trained", "greedy_codes_upstream_positions": "upstream"}


def compare_t2s(arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> dict[str, float]:
    """Largest absolute difference of every array that the model computes; infinite where shapes differ.

    arrays: inputs `spk`, `emo` (B, T, 1024), `campplus` (B, 192), `text` (B, L), `codes_in` (B, K), and outputs by
        name; unknown names are left out. meta: `config`, `salt`, `seed`, `langs`.
    """
    import torch

    from ar_tts.unified import UnifiedConfig, unified_voice

    model = unified_voice(UnifiedConfig.from_published(meta["config"])).eval()
    fill(model, meta["salt"], int(meta["seed"]), float(meta.get("weight_g_gain", 1.0)))
    with torch.inference_mode():
        computed = _computed(model, {name: torch.from_numpy(array) for name, array in arrays.items()}, meta)
    return {name: _difference(array, computed[name]) for name, array in arrays.items() if name in computed}


def _computed(model: UnifiedVoice, given: dict[str, torch.Tensor], meta: dict[str, Any]) -> dict[str, np.ndarray]:
    import torch
    from torch.nn import functional as F

    config = model.config
    speaker = model.speaker(given["campplus" if model.languages else "spk"])
    emotion = model.emotion(given["emo"])
    framed = F.pad(F.pad(given["text"].long(), (1, 0), value=config.start_text_token), (0, 1),
                   value=config.stop_text_token)
    language = _languages(meta.get("langs"), len(framed)) if model.languages else None
    codes = given["codes_in"].long()
    taught = model(speaker, emotion, framed, codes, language)
    prefix = model.prefix(speaker, emotion)
    # the reference's pass for the latents knows no language
    silent = torch.cat([prefix, model.text_rows(framed)], 1)
    found = {"cond": speaker, "emo_raw": model.emotion_features(given["emo"]), "emovec": emotion, "prefix": prefix,
             "latent": model.latents(silent, codes), "text_logits": taught.text.mT, "code_logits": taught.codes.mT}
    for name in given:
        if name.startswith(_MERGED):
            found[name] = torch.lerp(model.emotion(given["spk"]), emotion, _alpha(name))
        if name in _GREEDY:
            prompts = torch.cat([prefix, model.text_rows(framed, language)], 1)
            found[name] = _greedy(model, prompts, given[name].shape, _GREEDY[name])
    return {name: tensor.numpy() for name, tensor in found.items()}


def _alpha(name: str) -> float:
    """emovec_merged_alpha_0_6 -> 0.6"""
    return float(name.removeprefix(_MERGED).replace("_", "."))


def _languages(langs: Any, count: int) -> torch.Tensor | None:
    import torch

    return None if langs is None else torch.as_tensor(langs).reshape(-1).expand(count)


def _greedy(model: UnifiedVoice, prompts: torch.Tensor, shape: torch.Size, positions: str) -> torch.Tensor:
    """The likeliest codes, as many as were written down; a stop code is one of them, and repeated after the end."""
    import torch
    from torch.nn import functional as F

    from ar_tts.generate import Request, write
    from ar_tts.sampling import CodeSampling

    steps = shape[-1]
    likeliest = CodeSampling(sample=False, beams=1, repetition_penalty=1.0, max_codes=steps, positions=positions,
                             allow_start=True)
    written = write(model, [Request(row[None]) for row in prompts], likeliest)
    rows = [F.pad(w.codes, (0, steps - len(w.codes)), value=model.config.stop_mel_token) for w in written]
    return torch.stack(rows).reshape(shape)


def _difference(expected: np.ndarray, found: np.ndarray) -> float:
    if expected.shape != found.shape:
        return float("inf")
    return float(np.abs(expected.astype(np.float64) - found).max(initial=0.0))
