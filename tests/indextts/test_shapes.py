"""State dicts at the published sizes, against lists of the published names and shapes; nothing is allocated."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from diffusion.s2m import UNUSED, SemanticToMel, SemanticToMelConfig
from emovoice.encoder.campplus import CampPlus, CampPlusConfig
from emovoice.encoder.semantic_codec import SemanticCodec, SemanticCodecConfig
from emovoice.encoder.w2v_bert import LAYERS, SemanticFeatures
from emovoice.indextts.config import bigvgan_config, codec_config, s2m_config
from emovoice.testing.parity import read
from vocoders.bigvgan import BigVgan, BigVganConfig

FOLDER = Path(__file__).resolve().parent.parent / "parity"
Shapes = dict[str, Counter[tuple[int, ...]]]

PUBLISHED: dict[str, Callable[[], nn.Module]] = {
    "s2mel v2": lambda: SemanticToMel(SemanticToMelConfig()),
    "semantic codec RepCodec v2": lambda: SemanticCodec(SemanticCodecConfig()),
    "EnhancedCodec v2.5": lambda: SemanticCodec(SemanticCodecConfig(rate_divisor=2)),
    "CAMPPlus": lambda: CampPlus(CampPlusConfig()),
    "BigVGAN v2 22k": lambda: BigVgan(BigVganConfig()),
}


def listed(title: str) -> tuple[int, Shapes]:
    """Number of tensors, and pattern -> shapes, of one section of the list."""
    text = (FOLDER / "shapes.txt").read_text(encoding="utf-8")
    head, body = re.search(rf"^## {re.escape(title)}(.*)\n((?:(?!##).*\n?)*)", text, re.MULTILINE).groups()  # type: ignore[union-attr]
    found: Shapes = {}
    for line in body.splitlines():
        if line.count(" | ") != 2:
            continue
        pattern, times, shapes = line.split(" | ")
        groups = re.findall(r"\[([\d, ]*)\](?:x(\d+))?", shapes)
        found[pattern] = Counter(
            {tuple(map(int, filter(None, shape.split(", ")))): int(count or times[1:]) for shape, count in groups}
        )
    return int(re.search(r"(\d+) tensors", head)[1]), found  # type: ignore[index]


def ours(module: nn.Module) -> Shapes:
    """The same of a module: numbers between dots become #."""
    found: Shapes = {}
    for name, tensor in module.state_dict().items():
        pattern = ".".join("#" if part.isdigit() else part for part in name.split("."))
        pattern = re.sub(r"tdnnd\d+", "tdnnd#", pattern)
        found.setdefault(pattern, Counter())[tuple(tensor.shape)] += 1
    return found


@pytest.mark.parametrize("title", PUBLISHED)
def test_names_and_shapes_are_the_published_ones(title: str) -> None:
    with torch.device("meta"):
        module = PUBLISHED[title]()
    count, expected = listed(title)
    unused = {pattern: shapes for pattern, shapes in expected.items() if pattern.startswith(UNUSED)}
    assert ours(module) == {pattern: shapes for pattern, shapes in expected.items() if pattern not in unused}
    assert len(module.state_dict()) + sum(sum(shapes.values()) for shapes in unused.values()) == count


def test_what_is_called_unused_is_in_the_list() -> None:
    _, expected = listed("s2mel v2")
    assert [name for name in UNUSED if not any(pattern.startswith(name) for pattern in expected)] == []


def keys(name: str, prefix: str = "") -> dict[str, tuple[int, ...]]:
    rows = (FOLDER / f"{name}.keys.txt").read_text(encoding="utf-8").splitlines()
    parts = (re.fullmatch(r"(\S+) \[([\d, ]*)\]", row) for row in rows)
    return {prefix + p[1]: tuple(map(int, filter(None, p[2].split(", ")))) for p in parts if p}


def test_the_small_models_of_the_vectors_have_exactly_the_listed_keys() -> None:
    _, meta = read(FOLDER / "s2m.npz")
    parts = {f"s2m_{part}": f"{part}." for part in ("cfm", "length_regulator", "gpt_layer")}
    expected = {name: shape for file, prefix in parts.items() for name, shape in keys(file, prefix).items()}
    with torch.device("meta"):
        s2m, vocoder = SemanticToMel(s2m_config(meta["config"])), BigVgan(BigVganConfig(upsample_initial_channel=64))
    assert {name: tuple(tensor.shape) for name, tensor in s2m.state_dict().items()} == {
        name: shape for name, shape in expected.items() if not name.startswith(UNUSED)
    }
    assert {name: tuple(tensor.shape) for name, tensor in vocoder.state_dict().items()} == keys("bigvgan")


@pytest.mark.parametrize(("layers", "tensors", "millions"), [(24, 773, 580.5), (LAYERS, 549, 411.2)])
def test_w2v_bert_is_the_published_one_and_seven_layers_are_saved(layers: int, tensors: int, millions: float) -> None:
    with torch.device("meta"):
        model = SemanticFeatures({}, layers).model
    assert len(model.state_dict()) == tensors
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)
    assert model.state_dict()["encoder.layers.16.self_attn.distance_embedding.weight"].shape == (73, 64)


def test_published_configuration_files_give_the_published_sizes() -> None:
    dit = {"hidden_dim": 512, "num_heads": 8, "depth": 13, "in_channels": 80, "style_condition": True,
           "final_layer_type": "wavenet", "content_dim": 512, "is_causal": False, "long_skip_connection": True,
           "uvit_skip_connection": True, "f0_condition": False}  # fmt: skip
    regulator = {"channels": 512, "is_discrete": False, "in_channels": 1024, "sampling_ratios": [1, 1, 1, 1]}
    wavenet = {"hidden_dim": 512, "num_layers": 8, "kernel_size": 5, "dilation_rate": 1, "style_condition": True}
    section = {"DiT": dit, "length_regulator": regulator, "wavenet": wavenet, "style_encoder": {"dim": 192}}
    assert s2m_config(section) == SemanticToMelConfig()
    codec = {"codebook_size": 8192, "hidden_size": 1024, "codebook_dim": 8, "vocos_dim": 384,
             "vocos_intermediate_dim": 2048, "vocos_num_layers": 12}  # fmt: skip
    assert codec_config(codec) == SemanticCodecConfig()
    assert codec_config(codec, 2) == SemanticCodecConfig(rate_divisor=2)
    assert bigvgan_config({}) == BigVganConfig() and BigVganConfig().hop == 256
    lists = {"upsample_rates": [4, 4, 2, 2, 2, 2], "resblock_dilation_sizes": [[1, 3, 5]] * 3, "num_mels": 80}
    assert bigvgan_config(lists) == BigVganConfig()
