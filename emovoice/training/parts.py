"""`emovoice train PART`: which data, configuration and losses belong to which part, and how the parts become a bundle.

Order: tokenizer, reference, then `features` (what both see in the corpus) and `directions` (the emotion space), then
t2s, `spoken` (the codes it would write), prior, flow (around its guess) and vocoder (on the prior's mel as well); for
conversion content, prosody and score; then `export`, and `calibration` on what was exported.
"""
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ar_tts.model import TextToCodesConfig
from ar_tts.reader import ReaderConfig
from diffusion.emoreg import EmoRegConfig
from diffusion.flow import FlowConfig
from diffusion.prior import Prior, PriorConfig
from emovoice import bundle as bundles
from emovoice.emotion.directions import Directions
from emovoice.emotion.space import EmotionSpace
from emovoice.encoder.reference import ReferenceConfig, ReferenceEncoder
from emovoice.encoder.tokenizer import SemanticTokenizer, TokenizerConfig
from emovoice.errors import InputError
from emovoice.text.symbols import VOCAB_SIZE
from emovoice.training import conversion
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
SCORE = EmoRegConfig(phones=VOCAB_SIZE)
DECODING: dict[str, Any] = {"solver_steps": 4, "noise": 0.0}
"""How the exported bundle is decoded; chosen by the recogniser on held-out texts, see the card of `mini`."""
VOCODER = VocosConfig(hush=1.5)
"""As it is exported; `hush` was chosen by DNSMOS on 24 held-out texts that are not in the card's table."""


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


def space_of(items: list[Utterance], features: Features, runs: Path) -> EmotionSpace:
    """The directions where they were fitted; else a plain space of all items that have features."""
    if (runs / "directions.safetensors").exists():
        return conversion.load_space(runs / "directions.safetensors")
    known = [u for u in items if u.id in features.emotion]
    return EmotionSpace.fit(np.stack([u.weights for u in known]), np.stack([features.emotion[u.id] for u in known]))


def _prompted(studio: Studio) -> tuple[list[Utterance], list[Utterance], Features, Prompts]:
    features = Features.load(studio.runs / "features.safetensors")
    items = [u for u in load(studio.corpus) if u.id in features.codes]
    trained, held = split(items)
    return trained, held, features, Prompts(items, features, space_of(trained, features, studio.runs))


def train_t2s(studio: Studio) -> None:
    """Codes, pitch and level from text."""
    items, held, features, prompts = _prompted(studio)
    budget = Budget(studio.minutes, 2e-3, warmup_steps=150)
    training = TextToCodesTraining(studio.runs / "t2s", budget, studio.device, T2S, features, prompts)
    training.train(items, load_scores(studio.corpus), held)


def make_spoken(studio: Studio) -> None:
    """The codes that the transformer would write for every item, added to the features: the decoder learns from them
    too."""
    trained, held, features, prompts = _prompted(studio)
    training = TextToCodesTraining(studio.runs / "t2s", Budget(studio.minutes), studio.device, T2S, features, prompts)
    training.run.model.load_state_dict(ema_weights(studio.runs / "t2s"))
    features.spoken = training.spoken_codes(trained + held, np.random.default_rng(0))
    features.save(studio.runs / "features.safetensors")


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


def fit_directions(studio: Studio) -> None:
    """The emotion space: local means, directions, learned PCA."""
    features = Features.load(studio.runs / "features.safetensors")
    items, _ = split(load(studio.corpus))
    try:
        space = conversion.fit_directions(items, features)
    except ValueError as error:
        raise InputError(f"no directions can be found in this corpus: {error}", field="corpus",
                         value=str(studio.corpus), remedy="Record the same texts neutral and with each emotion."
                         ) from error
    tensors = {name: tensor.numpy() for name, tensor in bundles.space_tensors(space).items()}
    conversion.write_tensors(studio.runs / "directions.safetensors", tensors)
    (studio.runs / "directions.json").write_text(json.dumps(space.about, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(space.about))


def fit_content(studio: Studio) -> None:
    """The mean mel of each phone."""
    tokenizer, _ = trained_encoders(studio.runs, studio.device)
    items, _ = split(load(studio.corpus))
    means = conversion.content_means(items, conversion.Listener(tokenizer, studio.device))
    conversion.write_tensors(studio.runs / "content.safetensors", {"means": means})


def fit_prosody(studio: Studio) -> None:
    """Moves of melody, level and tempo; prints how much of them it tells on pairs that were kept out."""
    features = Features.load(studio.runs / "features.safetensors")
    space = conversion.load_space(studio.runs / "directions.safetensors")
    items, held = split(load(studio.corpus), share=0.1)
    moves = conversion.fit_moves(items, features, space)
    print(json.dumps({"told_of_kept_out_pairs": conversion.moves_told(held, features, space, moves)}))
    moves = conversion.fit_moves([*items, *held], features, space)
    conversion.write_tensors(studio.runs / "prosody.safetensors", vars(moves))


def train_score(studio: Studio) -> None:
    """The score network of conversion."""
    items, held, features, prompts = _prompted(studio)
    tokenizer, _ = trained_encoders(studio.runs, studio.device)
    crops = conversion.Crops(conversion.Listener(tokenizer, studio.device), features, prompts)
    means = conversion.load_file(studio.runs / "content.safetensors")["means"]
    budget = Budget(studio.minutes, 1.5e-3, warmup_steps=200)
    conversion.ScoreTraining(studio.runs / "score", budget, studio.device, SCORE, means, crops).train(items, held)


def calibrate(studio: Studio, model: str, texts: int = 3) -> dict[str, Any]:
    """Fit the calibration of a bundle anew and write it into its folder: equal steps asked for become equal steps of
    the strength that the reference encoder hears in what is converted. Returns strengths before, by emotion."""
    from emovoice.emotion.directions import calibration_of
    from emovoice.emotion.names import EMOTIONS
    from emovoice.engine import Engine

    engine = Engine(model, studio.device)
    space = engine.pipeline.bundle.space
    if not isinstance(space, Directions):
        raise InputError("this model has no directions to calibrate", field="model", value=model,
                         remedy="Train them: `emovoice train directions`.")
    space.calibration[:] = np.linspace(0, 1, space.calibration.shape[1])
    _, held = split(load(studio.corpus), share=0.1)
    neutral = sorted((u for u in held if u.emotion == "neutral" and u.warp == 1.0), key=lambda u: (u.voice, u.id))
    chosen = [neutral[i] for i in np.linspace(0, len(neutral) - 1, min(texts, len(neutral))).round().astype(int)]
    inside = conversion.CALIBRATED_AT
    found = conversion.strengths(engine, chosen, inside)
    space.calibration[:] = calibration_of(np.array(inside), found)
    told = {name: [round(float(v), 3) for v in row] for name, row in zip(EMOTIONS, found, strict=True)}
    space.about = space.about | {"calibrated_on": len(chosen), "strength_before_calibration": told}
    bundles.save_space(space, bundles.find(model))
    return told


PARTS: dict[str, Callable[[Studio], None]] = {
    "tokenizer": train_tokenizer, "reference": train_reference, "features": make_features,
    "directions": fit_directions, "t2s": train_t2s, "spoken": make_spoken, "prior": train_prior, "flow": train_flow,
    "vocoder": train_vocoder, "content": fit_content, "prosody": fit_prosody, "score": train_score,
}


def export(corpus: Path, runs: Path, out: Path, name: str = "mini") -> None:
    """Assemble a bundle of the averaged weights in `out`, and the voices in `voices` beside it."""
    features = Features.load(runs / "features.safetensors")
    weights = {part: ema_weights(runs / part) for part in ("tokenizer", "reference", "t2s", "prior", "flow", "vocoder")}
    reference = ReferenceConfig(speakers=len(weights["reference"]["speaker_head.weight"]))
    converts = (runs / "score" / "state.pt").exists()
    convert = SCORE if converts else None
    config = bundles.BundleConfig(name, TOKENIZER, reference, T2S, FLOW, VOCODER, convert, **DECODING)
    bundle = bundles.Bundle(config)
    if converts:
        weights["convert"] = ema_weights(runs / "score")
        bundle.moves = conversion.load_moves(runs / "prosody.safetensors")
    for part, state in weights.items():
        module: nn.Module = getattr(bundle, part)
        module.load_state_dict({k: torch.as_tensor(v) for k, v in state.items()})
    items, _ = split(load(corpus))
    bundle.space = space_of(items, features, runs)
    if (runs / "directions.json").exists() and isinstance(bundle.space, Directions):
        bundle.space.about = json.loads((runs / "directions.json").read_text(encoding="utf-8"))
    bundles.save(bundle, out)
    save_voices(shipped_voices(items, features), out.parent / "voices")
