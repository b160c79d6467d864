"""`emovoice train PART`: which data, configuration and losses belong to which part, and how the parts become a bundle.

Order: tokenizer, reference, then `features` (what both see in the corpus), then t2s, prior, flow (around its guess)
and vocoder (on the prior's mel as well), then `export`.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ar_tts.model import TextToCodesConfig
from ar_tts.reader import ReaderConfig
from diffusion.flow import FlowConfig
from diffusion.prior import Prior, PriorConfig
from emovoice import bundle as bundles
from emovoice.emotion.space import EmotionSpace
from emovoice.encoder.reference import ReferenceConfig, ReferenceEncoder
from emovoice.encoder.tokenizer import SemanticTokenizer, TokenizerConfig
from emovoice.text.symbols import VOCAB_SIZE
from emovoice.training.data import Utterance, load, load_scores, split
from emovoice.training.encoders import ReferenceTraining, TokenizerTraining, embed_all, encoder_front
from emovoice.training.features import Features, Prompts
from emovoice.training.flow import Crops, FlowTraining, PriorTraining
from emovoice.training.loop import Budget, ema_weights
from emovoice.training.t2s import TextToCodesTraining
from emovoice.training.vocoder import VocoderTraining
from emovoice.training.voices import save_voices, shipped_voices
from vocoders.vocos import VocosConfig

TOKENIZER = TokenizerConfig(phones=VOCAB_SIZE)
T2S = TextToCodesConfig(text=VOCAB_SIZE - 2, codes=TOKENIZER.codes, reader=ReaderConfig(symbols=VOCAB_SIZE))
PRIOR = PriorConfig(codes=TOKENIZER.codes, phones=VOCAB_SIZE)
FLOW = FlowConfig(prior=PRIOR)
DECODING: dict[str, Any] = {"solver_steps": 4, "noise": 0.0}
"""How the exported bundle is decoded; chosen by the recogniser on held-out texts, see the card of `mini`."""


@dataclass(frozen=True)
class Studio:
    """Corpus folder, folder of training runs, device, and the budget of the part in minutes."""

    corpus: Path
    runs: Path
    device: str = "cpu"
    minutes: float = 10.0


def speakers_of(items: list[Utterance]) -> list[str]:
    """Names of the speaker classes, in a fixed order."""
    return sorted({u.speaker for u in items})


def train_tokenizer(studio: Studio) -> None:
    """Phones and pitch from mel."""
    items, held = split(load(studio.corpus))
    budget = Budget(studio.minutes, 2e-3)
    TokenizerTraining(studio.runs / "tokenizer", budget, studio.device, TOKENIZER).train(items, held)


def train_reference(studio: Studio) -> None:
    """Timbre and emotion from mel."""
    every = load(studio.corpus)
    items, held = split(every)
    budget = Budget(studio.minutes, 1.5e-3)
    ReferenceTraining(studio.runs / "reference", budget, studio.device, speakers_of(every)).train(items, held)


def make_features(studio: Studio) -> None:
    """Codes and vectors of every item, kept in the runs folder."""
    items = load(studio.corpus)
    tokenizer, reference = trained_encoders(studio.runs, studio.device)
    front = encoder_front(TOKENIZER.n_mels).to(studio.device)
    features = Features()
    for u, codes, timbre, emotion in embed_all(front, reference, tokenizer, items, studio.device):
        features.codes[u.id], features.timbre[u.id], features.emotion[u.id] = codes, timbre, emotion
    features.save(studio.runs / "features.safetensors")


def trained_encoders(runs: Path, device: str = "cpu") -> tuple[SemanticTokenizer, ReferenceEncoder]:
    """The averaged weights of both encoders' runs."""
    tokenizer = SemanticTokenizer(TOKENIZER)
    tokenizer.load_state_dict(ema_weights(runs / "tokenizer"))
    weights = ema_weights(runs / "reference")
    reference = ReferenceEncoder(ReferenceConfig(speakers=len(weights["speaker_head.weight"])))
    reference.load_state_dict(weights)
    return tokenizer.to(device).eval(), reference.to(device).eval()


def space_of(items: list[Utterance], features: Features) -> EmotionSpace:
    """Fit on all items that have features."""
    known = [u for u in items if u.id in features.emotion]
    return EmotionSpace.fit(np.stack([u.weights for u in known]), np.stack([features.emotion[u.id] for u in known]))


def _prompted(studio: Studio) -> tuple[list[Utterance], list[Utterance], Features, Prompts]:
    features = Features.load(studio.runs / "features.safetensors")
    items = [u for u in load(studio.corpus) if u.id in features.codes]
    trained, held = split(items)
    return trained, held, features, Prompts(items, features, space_of(trained, features))


def train_t2s(studio: Studio) -> None:
    """Codes, pitch and level from text."""
    items, held, features, prompts = _prompted(studio)
    budget = Budget(studio.minutes, 2e-3, warmup_steps=150)
    training = TextToCodesTraining(studio.runs / "t2s", budget, studio.device, T2S, features, prompts)
    training.train(items, load_scores(studio.corpus), held)


def train_flow(studio: Studio) -> None:
    """Mel from codes, pitch, level and both vectors."""
    items, held, features, prompts = _prompted(studio)
    budget = Budget(studio.minutes, 1.5e-3, warmup_steps=200)
    prior = trained_prior(studio)
    FlowTraining(studio.runs / "flow", budget, studio.device, FLOW, Crops(features, prompts), prior).train(items, held)


def trained_prior(studio: Studio) -> Prior:
    """The averaged weights of the prior's run."""
    prior = Prior(PRIOR)
    prior.load_state_dict(ema_weights(studio.runs / "prior"))
    return prior.to(studio.device).eval()


def train_prior(studio: Studio) -> None:
    """A first guess of the mel, by regression."""
    items, held, features, prompts = _prompted(studio)
    budget = Budget(studio.minutes, 2e-3, warmup_steps=100)
    PriorTraining(studio.runs / "prior", budget, studio.device, FLOW, Crops(features, prompts)).train(items, held)


def train_vocoder(studio: Studio) -> None:
    """Wave from mel; where there is a prior already, from its mel as well."""
    budget = Budget(studio.minutes, 8e-4, betas=(0.8, 0.95), clip=10.0)
    training = VocoderTraining(studio.runs / "vocoder", budget, studio.device)
    if not (studio.runs / "prior" / "state.pt").exists():
        training.train(split(load(studio.corpus))[0])
        return
    items, _, features, prompts = _prompted(studio)
    training.train(items, Crops(features, prompts), trained_prior(studio))


PARTS: dict[str, Callable[[Studio], None]] = {
    "tokenizer": train_tokenizer, "reference": train_reference, "features": make_features,
    "t2s": train_t2s, "prior": train_prior, "flow": train_flow, "vocoder": train_vocoder,
}


def export(corpus: Path, runs: Path, out: Path, name: str = "mini") -> None:
    """Assemble a bundle of the averaged weights in `out`, and the voices in `voices` beside it."""
    features = Features.load(runs / "features.safetensors")
    weights = {part: ema_weights(runs / part) for part in ("tokenizer", "reference", "t2s", "prior", "flow", "vocoder")}
    reference = ReferenceConfig(speakers=len(weights["reference"]["speaker_head.weight"]))
    bundle = bundles.Bundle(bundles.BundleConfig(name, TOKENIZER, reference, T2S, FLOW, VocosConfig(), **DECODING))
    for part, state in weights.items():
        module: nn.Module = getattr(bundle, part)
        module.load_state_dict({k: torch.as_tensor(v) for k, v in state.items()})
    items, _ = split(load(corpus))
    bundle.space = space_of(items, features)
    bundles.save(bundle, out)
    save_voices(shipped_voices(items, features), out.parent / "voices")
