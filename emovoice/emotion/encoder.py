"""The small model that reads instructions and lines: words -> evidence for each emotion. Numpy only.

The first layers of all-MiniLM-L6-v2 (Wang et al. 2020, arXiv 2002.10957; sentence-transformers), trained further on the
project's own examples, with a head whose output is a sum over words:

    h = encoder(words)                               (T, C)
    share_t = softmax_t(pool . h_t)                  (T,)
    logits = b_kind + sum_t share_t (W_kind h_t)     (9,)

so that what each word contributed is known exactly, without asking twice. The first eight logits are the emotions in
the order of `EMOTIONS`, the ninth is the intensity before its sigmoid. T tokens, C channels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emovoice.emotion.material import Kind
from emovoice.emotion.names import EMOTIONS
from emovoice.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LONGEST_TOKENS = 96
"""Words beyond these are not read; a sentence has about twenty."""

KINDS: tuple[Kind, ...] = ("instruction", "line")
_STEEPNESS = 0.7978845608028654  # sqrt(2 / pi), of the tanh form of GELU (Hendrycks and Gimpel 2016)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was found in one text.

    Attributes:
        shares: (8,) softmax over the emotions, adds up to 1.
        logits: (8,) before the softmax.
        intensity: 0..1.
        words: the words of the text as they were read, in order.
        parts: (len(words), 8) what each word added to the logits, without their mean over the emotions.
        unknown: words that fell apart into scraps and cannot have been understood.
    """

    shares: np.ndarray
    logits: np.ndarray
    intensity: float
    words: tuple[str, ...]
    parts: np.ndarray
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Shape:
    """Sizes of the encoder."""

    layers: int
    channels: int
    heads: int
    ffn: int


class TextEncoder:
    """The encoder with its weights, ready to read. Equal texts give equal answers."""

    def __init__(self, shape: Shape, weights: dict[str, np.ndarray], vocabulary: list[str]) -> None:
        self.shape = shape
        self.weights = weights
        self.tokenizer = make_tokenizer(vocabulary)
        self.whole = frozenset(word for word in vocabulary if not word.startswith("##"))

    @classmethod
    def load(cls, folder: Path) -> TextEncoder:
        """Read a folder with config.json, vocabulary.txt and model.safetensors. Raises ModelError."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            shape = Shape(**json.loads((folder / "config.json").read_text("utf-8"))["shape"])
            vocabulary = (folder / "vocabulary.txt").read_text("utf-8").split("\n")[:-1]
            stored = load_file(folder / "model.safetensors")
        except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
            raise ModelError(
                f"the model that reads words is missing or damaged: {error}",
                field="folder",
                value=str(folder),
                remedy="Install emovoice again, or train it: emovoice words train",
            ) from error
        return cls(shape, _widened(stored), vocabulary)

    def read(self, text: str, kind: Kind) -> Evidence:
        """The evidence in one text; a text without a word gives equal shares."""
        encoding = self.tokenizer.encode(text)
        ids = encoding.ids[:LONGEST_TOKENS]
        hidden = self._hidden(np.array(ids))
        k = KINDS.index(kind)
        weights = self.weights
        relevance = hidden @ weights["pool"]
        share = np.exp(relevance - relevance.max())
        share /= share.sum()
        added = share[:, None] * (hidden @ weights["head.weight"][k].T)  # (T, 9)
        logits = weights["head.bias"][k] + added.sum(0)
        words, spans, unknown = self._words(text, encoding.offsets[: len(ids)], ids)
        parts = np.zeros((len(words), len(EMOTIONS)), np.float32)
        for token, word in enumerate(spans):
            if word is not None:
                parts[word] += added[token, : len(EMOTIONS)]
        parts -= parts.mean(1, keepdims=True)
        emotion = logits[: len(EMOTIONS)]
        return Evidence(_softmax(emotion), emotion, float(_sigmoid(logits[len(EMOTIONS)])), words, parts, unknown)

    def embedding(self, text: str) -> np.ndarray:
        """(C,) mean of the hidden states, for comparing texts by their cosine."""
        mean: np.ndarray = self._hidden(np.array(self.tokenizer.encode(text).ids[:LONGEST_TOKENS])).mean(0)
        return mean

    def _words(
        self, text: str, offsets: list[tuple[int, int]], ids: list[int]
    ) -> tuple[tuple[str, ...], list[int | None], tuple[str, ...]]:
        """Words, the word of each token (None for the frame's), and words in too many scraps."""
        words: list[str] = []
        pieces: list[int] = []
        spans: list[int | None] = []
        end = -1
        for (start, stop), _ in zip(offsets, ids, strict=True):
            if stop == start:
                spans.append(None)
                continue
            if start == end and text[start - 1 : start + 1].isalnum():
                words[-1] += text[start:stop]
                pieces[-1] += 1
            else:
                words.append(text[start:stop])
                pieces.append(1)
            spans.append(len(words) - 1)
            end = stop
        scraps = [word for word, count in zip(words, pieces, strict=True) if self._is_strange(word, count)]
        return tuple(words), spans, tuple(dict.fromkeys(scraps))

    def _is_strange(self, word: str, pieces: int) -> bool:
        """Whether a word is put together of scraps: more than one piece per three letters, no known stem."""
        lowered = word.lower()
        if not word.isalpha() or pieces < 3:
            return False
        stem = next((lowered[:n] for n in range(len(lowered), 3, -1) if lowered[:n] in self.whole), "")
        return len(stem) < max(4, len(lowered) // 2)

    def _hidden(self, ids: np.ndarray) -> np.ndarray:
        """(T,) token ids -> (T, C) hidden states of the last layer."""
        weights = self.weights
        x = weights["words"][ids] + weights["positions"][: len(ids)]
        x = _normalised(x, weights["norm.weight"], weights["norm.bias"])
        for index in range(self.shape.layers):
            x = self._layer(x, f"layers.{index}.")
        return x

    def _layer(self, x: np.ndarray, name: str) -> np.ndarray:
        """One post-norm transformer layer (Vaswani et al. 2017), (T, C) -> (T, C)."""
        weights, heads = self.weights, self.shape.heads
        length, channels = x.shape
        qkv = x @ weights[name + "qkv.weight"] + weights[name + "qkv.bias"]
        q, k, v = qkv.reshape(length, 3, heads, channels // heads).transpose(1, 2, 0, 3)  # each (H, T, C / H)
        attention = _softmax(q @ k.transpose(0, 2, 1) / np.float32(np.sqrt(channels // heads)))
        mixed = (attention @ v).transpose(1, 0, 2).reshape(length, channels)
        x = x + mixed @ weights[name + "out.weight"] + weights[name + "out.bias"]
        x = _normalised(x, weights[name + "norm1.weight"], weights[name + "norm1.bias"])
        inner = _gelu(x @ weights[name + "up.weight"] + weights[name + "up.bias"])
        x = x + inner @ weights[name + "down.weight"] + weights[name + "down.bias"]
        return _normalised(x, weights[name + "norm2.weight"], weights[name + "norm2.bias"])


@lru_cache(maxsize=1)
def shared_encoder() -> TextEncoder:
    """The encoder that comes with emovoice, loaded on first use."""
    with as_file(files("checkpoints") / "words") as folder:
        return TextEncoder.load(folder)


def make_tokenizer(vocabulary: list[str]) -> Tokenizer:
    """BERT's lower-casing WordPiece over a vocabulary, line number = id."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    ids = {word: index for index, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=40))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    return tokenizer


def narrowed(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights as they are stored: matrices as int8 with one scale for each output, the rest as float32."""
    stored: dict[str, np.ndarray] = {}
    for name, value in weights.items():
        if value.ndim == 2 and name != "positions":
            scale = np.maximum(np.abs(value).max(1 if name == "words" else 0, keepdims=True), 1e-8) / 127
            stored[name] = np.round(value / scale).astype(np.int8)
            stored[name + ".scale"] = scale.astype(np.float32)
        else:
            stored[name] = value.astype(np.float32)
    # safetensors writes the memory of an array as it lies, whatever its strides.
    return {name: np.ascontiguousarray(value) for name, value in stored.items()}


def _widened(stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name: np.ascontiguousarray(value.astype(np.float32) * stored.get(name + ".scale", np.float32(1)))
        for name, value in stored.items()
        if not name.endswith(".scale")
    }


def _normalised(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    x = x - x.mean(-1, keepdims=True)
    variance = np.einsum("tc,tc->t", x, x)[:, None] / x.shape[-1]
    scaled: np.ndarray = x / np.sqrt(variance + 1e-12) * weight + bias
    return scaled


def _gelu(x: np.ndarray) -> np.ndarray:
    out: np.ndarray = (
        np.float32(0.5) * x * (1 + np.tanh(np.float32(_STEEPNESS) * x * (1 + np.float32(0.044715) * x * x)))
    )
    return out


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    shares: np.ndarray = e / e.sum(-1, keepdims=True)
    return shares


def _sigmoid(x: np.ndarray) -> np.ndarray:
    out: np.ndarray = 1 / (1 + np.exp(-x))
    return out
