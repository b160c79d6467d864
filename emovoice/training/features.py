"""What the trained parts make of a corpus: codes, timbre and emotion of every item; which of them to train with."""
from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from emovoice.corpus.plan import EMOTIONS
from emovoice.emotion.space import EmotionSpace
from emovoice.training.data import Utterance

SPOKEN_SHARE = 0.5  # of crops whose codes are the transformer's, which the decoder is given in use
_NEAR = 0.12  # two items of one emotion count as equally intense within this


@dataclass
class Features:
    """Per item id: codes (K,), timbre (192,), emotion (256,); once there is a transformer also the codes that it would
    write instead, `spoken` (K,)."""

    codes: dict[str, np.ndarray] = field(default_factory=dict)
    timbre: dict[str, np.ndarray] = field(default_factory=dict)
    emotion: dict[str, np.ndarray] = field(default_factory=dict)
    spoken: dict[str, np.ndarray] = field(default_factory=dict)

    def codes_of(self, name: str, rng: np.random.Generator) -> np.ndarray:
        """(K,) codes to make a mel from: the tokenizer's, or as often those that the transformer would write."""
        spoken = self.spoken.get(name)
        return self.codes[name] if spoken is None or rng.random() >= SPOKEN_SHARE else spoken

    def save(self, path: Path) -> None:
        """As safetensors, beside and then renamed."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        flat = {f"{name}/{key}": np.ascontiguousarray(a) for name, part in parts.items() for key, a in part.items()}
        save_file(flat, path.with_suffix(".partial"))
        path.with_suffix(".partial").rename(path)

    @classmethod
    def load(cls, path: Path) -> Features:
        """Read what `save` wrote."""
        out = cls()
        for name, array in load_file(path).items():
            part, _, key = name.partition("/")
            getattr(out, part)[key] = array
        return out


class Prompts:
    """Which timbre and emotion vectors an item is spoken with in training: as often as possible another recording's.

    Timbre: another item of the same voice, whatever its emotion. Emotion: the named point of the space, or another
    item of the same emotion and about the same intensity, whoever speaks. So neither vector can carry what is the
    other's, nor the words.
    """

    def __init__(self, items: list[Utterance], features: Features, space: EmotionSpace) -> None:
        self.features, self.space = features, space
        self.by_voice: dict[tuple[str, float], list[str]] = {}
        self.by_emotion: dict[str, list[tuple[float, str]]] = {e: [] for e in (*EMOTIONS, "neutral")}
        for u in items:
            self.by_voice.setdefault((u.voice, u.warp), []).append(u.id)
            self.by_emotion[u.emotion].append((u.intensity, u.id))

    def timbre(self, u: Utterance, rng: np.random.Generator) -> np.ndarray:
        """(192,) of an item in the same voice; a score without sound has one only if its voice was recorded."""
        return self.features.timbre[str(rng.choice(self.by_voice[u.voice, u.warp]))]

    def can_speak(self, u: Utterance) -> bool:
        """Whether any recording has this item's voice."""
        return (u.voice, u.warp) in self.by_voice

    def emotion(self, u: Utterance, rng: np.random.Generator) -> np.ndarray:
        """(256,)."""
        if rng.random() < 0.6:
            return self.space.at(u.weights)
        near = [name for intensity, name in self.by_emotion[u.emotion] if abs(intensity - u.intensity) < _NEAR]
        return self.features.emotion[str(rng.choice(near))] if near else self.space.at(u.weights)
