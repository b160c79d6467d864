"""The voices that come with a model: each the mean of the vectors of its unwarped corpus items."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from emovoice.corpus.plan import training_voices
from emovoice.training.data import Utterance
from emovoice.training.features import Features
from emovoice.voice import DEFAULT_VOICE, Voice

DEFAULT_SOURCE = "af_heart"


def shipped_voices(items: list[Utterance], features: Features) -> dict[str, Voice]:
    """Name -> voice; the teacher's af_heart becomes "heart", and is the default as well."""
    out = {}
    for teacher_name in training_voices():
        mine = [u.id for u in items if u.voice == teacher_name and u.warp == 1.0]
        if mine:
            accent, name = teacher_name[0], teacher_name.partition("_")[2]
            out[name] = _mean(name, "gb" if accent == "b" else "us", mine, features)
            if teacher_name == DEFAULT_SOURCE:
                out[DEFAULT_VOICE] = _mean(DEFAULT_VOICE, "us", mine, features)
    return out


def _mean(name: str, accent: str, ids: list[str], features: Features) -> Voice:
    timbre = np.mean([features.timbre[i] for i in ids], axis=0)
    timbre /= np.linalg.norm(timbre)  # as the encoder gives it
    emotion = np.mean([features.emotion[i] for i in ids], axis=0)
    source = f"synthetic: the mean of {len(ids)} corpus items of the teacher's voice"
    return Voice(name, timbre.astype(np.float32), emotion.astype(np.float32), accent=accent, source=source)  # type: ignore[arg-type]


def save_voices(voices: dict[str, Voice], folder: Path) -> None:
    """One file a voice; existing ones are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, voice in voices.items():
        voice.save(folder / f"{name}.safetensors", force=True)
