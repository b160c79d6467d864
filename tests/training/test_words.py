"""Training of the model that reads words: numpy and torch agree, and a tiny one learns."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from emovoice.emotion import material
from emovoice.emotion.encoder import KINDS, TextEncoder
from emovoice.training import words

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[unused1]",
    "ж",
    "the",
    "a",
    "so",
    "sad",
    "angry",
    "happy",
    "##ly",
    "she",
    "is",
]
CHANNELS, FFN, LAYERS = 16, 32, 3


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the base encoder's, tiny and random."""
    folder = tmp_path_factory.mktemp("base")
    letters = [chr(c) for c in range(97, 123)]
    vocabulary = [*WORDS, *letters, *("##" + letter for letter in letters)]
    torch.manual_seed(0)
    sizes = {"embeddings.word_embeddings.weight": (len(vocabulary), CHANNELS),
             "embeddings.position_embeddings.weight": (128, CHANNELS),
             "embeddings.token_type_embeddings.weight": (2, CHANNELS)}  # fmt: skip
    dense = {"attention.self.query": (CHANNELS, CHANNELS), "attention.self.key": (CHANNELS, CHANNELS),
             "attention.self.value": (CHANNELS, CHANNELS), "attention.output.dense": (CHANNELS, CHANNELS),
             "intermediate.dense": (FFN, CHANNELS), "output.dense": (CHANNELS, FFN)}  # fmt: skip
    tensors = {name: torch.randn(size) for name, size in sizes.items()}
    for index in range(LAYERS):
        for name, size in dense.items():
            tensors[f"encoder.layer.{index}.{name}.weight"] = torch.randn(size) / 4
            tensors[f"encoder.layer.{index}.{name}.bias"] = torch.randn(size[0]) / 4
    norms = ["embeddings", *(f"encoder.layer.{i}.{n}output" for i in range(LAYERS) for n in ("attention.", ""))]
    for name in norms:
        tensors[f"{name}.LayerNorm.weight"] = torch.rand(CHANNELS) + 0.5
        tensors[f"{name}.LayerNorm.bias"] = torch.randn(CHANNELS) / 4
    save_file(tensors, folder / "model.safetensors")
    config = {"hidden_size": CHANNELS, "num_attention_heads": 4, "intermediate_size": FFN}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    return folder


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty-four examples instead of thousands."""
    share = tuple(float(index == 1) for index in range(8)), tuple(float(index == 2) for index in range(8))
    texts = [("so angry ", "so sad ")[i % 2] + "a" * (i % 7) for i in range(32)]
    examples = [material.Example(texts[i], share[i % 2], (0.9, 0.3)[i % 2], "f", "train")
                for i in range(32)]  # fmt: skip
    monkeypatch.setattr(material, "load", lambda kind, *splits: examples)


def random_head(model: words.WordsModel) -> None:
    with torch.no_grad():
        for parameter in (model.pool, model.head_weight, model.shared, model.head_bias):
            parameter.copy_(torch.randn_like(parameter))


def torch_logits(model: words.WordsModel, encoder: TextEncoder, text: str, kind: int) -> np.ndarray:
    ids = torch.tensor([encoder.tokenizer.encode(text).ids])
    with torch.inference_mode():
        return model(ids, torch.ones_like(ids, dtype=torch.bool), torch.tensor([kind]))[0].numpy()


@pytest.mark.parametrize("text", ["she is so sad", "angry, angry!", "sadly", "", "xyzzy the so"])
def test_numpy_and_torch_agree(base: Path, few: None, text: str) -> None:
    model, vocabulary = words.from_base(base, words.Options(layers=3, ffn=FFN))
    random_head(model)
    model.eval()
    encoder = TextEncoder(model.shape, model.arrays(), vocabulary)
    for index, kind in enumerate(KINDS):
        expected = torch_logits(model, encoder, text, index)
        found = encoder.read(text, kind)
        assert np.allclose(found.logits, expected[:8], atol=1e-4)
        assert found.intensity == pytest.approx(1 / (1 + np.exp(-expected[8])), abs=1e-4)
        assert found.parts.shape == (len(found.words), 8)


def test_the_vocabulary_is_ascii_and_the_slim_layers_are_slim(base: Path, few: None) -> None:
    model, vocabulary = words.from_base(base, words.Options(layers=2, ffn=12))
    assert "ж" not in vocabulary and "[unused1]" not in vocabulary and "sad" in vocabulary
    assert model.shape.ffn == 12 and all(layer.up.out_features == 12 for layer in model.layers)
    whole, _ = words.from_base(base, words.Options(layers=2, ffn=FFN))
    kept = {tuple(row.tolist()) for row in whole.layers[0].up.weight}
    assert all(tuple(row.tolist()) in kept for row in model.layers[0].up.weight)


def test_a_tiny_one_learns_is_saved_and_is_the_same_again(base: Path, few: None, tmp_path: Path) -> None:
    options = words.Options(layers=1, ffn=16, epochs=15, batch=16, rate=1e-3, head_rate=1e-2)
    losses: list[str] = []
    for name in ("one", "two"):
        model, vocabulary = words.from_base(base, options)
        words.train(model, vocabulary, ("train",), options, losses.append)
        words.save(model, vocabulary, tmp_path / name, options)
    first, last = (float(losses[i].rpartition(" ")[2]) for i in (0, 14))
    assert last < 0.85 * first
    assert (tmp_path / "one/model.safetensors").read_bytes() == (tmp_path / "two/model.safetensors").read_bytes()
    encoder = TextEncoder.load(tmp_path / "one")
    angry, sad = encoder.read("so angry", "line"), encoder.read("so sad", "line")
    assert angry.shares.argmax() == 1 and sad.shares.argmax() == 2 and angry.intensity > sad.intensity


def test_int8_is_near_enough(base: Path, few: None, tmp_path: Path) -> None:
    model, vocabulary = words.from_base(base, words.Options(layers=2, ffn=FFN))
    random_head(model)
    model.eval()
    words.save(model, vocabulary, tmp_path / "m", words.Options())
    exact = TextEncoder(model.shape, model.arrays(), vocabulary).read("she is so sad", "line").logits
    stored = TextEncoder.load(tmp_path / "m").read("she is so sad", "line").logits
    assert np.abs(exact - stored).max() < 0.15 * np.abs(exact).max()
