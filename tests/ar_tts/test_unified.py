"""The published text-to-codes models: names and shapes, conditioning, slots, text, whole passes."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ar_tts.unified import (
    INDEXTTS_2,
    INDEXTTS_2_5,
    Asked,
    IndexTTS2,
    UnifiedConfig,
    UnifiedVoice,
    unified_voice,
)
from tests.ar_tts.published import noise, small

VECTORS = Path(__file__).resolve().parent.parent / "parity"
Shapes = dict[str, Counter[tuple[int, ...]]]


@pytest.fixture(scope="module")
def v2() -> UnifiedVoice:
    return small()


@pytest.fixture(scope="module")
def v25() -> UnifiedVoice:
    return small("campplus")


# ---- names and shapes ----


def listed(title: str) -> tuple[int, Shapes]:
    """Number of tensors, and pattern -> shapes, of one section of the list of published shapes."""
    text = (VECTORS / "t2s_shapes.txt").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(title)}: (\d+) tensors.*\n((?:.+ \| .+\n)*)", text, re.MULTILINE)
    assert section is not None
    found: Shapes = {}
    for line in section[2].splitlines():
        pattern, times, shapes = line.split(" | ")
        groups = re.findall(r"\[([\d, ]*)\](?: float32)?(?:x(\d+))?", shapes)
        found[pattern] = Counter({tuple(map(int, s.split(", "))): int(n or times[1:]) for s, n in groups})
    return int(section[1]), found


@pytest.mark.parametrize(
    ("title", "config"), [("gpt.pth v2 UnifiedVoice", INDEXTTS_2), ("gpt.pth v2.5 UnifiedVoice campplus", INDEXTTS_2_5)]
)
def test_the_full_model_has_the_published_names_and_shapes(title: str, config: UnifiedConfig) -> None:
    with torch.device("meta"):
        state = unified_voice(config).state_dict()
    ours: Shapes = {}
    for name, tensor in state.items():
        pattern = ".".join("#" if part.isdigit() else part for part in name.split("."))
        ours.setdefault(pattern, Counter())[tuple(tensor.shape)] += 1
    count, published = listed(title)
    assert ours == published
    assert len(state) == count


@pytest.mark.parametrize("name", ["t2s_v2", "t2s_v2_5"])
def test_the_small_models_of_the_vectors_have_the_listed_keys(name: str) -> None:
    with np.load(VECTORS / f"{name}.npz") as stored:
        meta = json.loads(stored["meta"].tobytes())
    rows = (VECTORS / f"{name}.keys.txt").read_text(encoding="utf-8").splitlines()
    expected = {row.split(" ", 1)[0]: row.split(" ", 1)[1] for row in rows}
    state = unified_voice(UnifiedConfig.from_published(meta["config"])).state_dict()
    ours = {key: str(list(tensor.shape)) for key, tensor in state.items()}
    aliases = {key for key in expected if key.startswith(("inference_model.", "gpt.wte."))}  # further names of ours
    assert ours == {key: shape for key, shape in expected.items() if key not in aliases}


def test_the_published_file_gives_the_published_sizes() -> None:
    module = {"output_size": 512, "input_layer": "conv2d2", "perceiver_mult": 2}
    section: dict[str, Any] = {
        "model_dim": 1280, "layers": 24, "heads": 20, "max_mel_tokens": 1815, "max_text_tokens": 600,
        "number_text_tokens": 12000, "number_mel_codes": 8194, "start_mel_token": 8192, "stop_mel_token": 8193,
        "start_text_token": 0, "stop_text_token": 1, "use_mel_codes_as_input": True, "mel_length_compression": 1024,
        "train_solo_embeddings": False, "condition_type": "conformer_perceiver",
        "condition_module": module | {"linear_units": 2048, "attention_heads": 8, "num_blocks": 6},
        "emo_condition_module": module | {"linear_units": 1024, "attention_heads": 4, "num_blocks": 4},
    }  # fmt: skip
    assert UnifiedConfig.from_published(section) == INDEXTTS_2
    for change in ({"condition_type": "gst"}, {"condition_module": module | {"input_layer": "linear"}}):
        with pytest.raises(ValueError, match="not among the published"):
            UnifiedConfig.from_published(section | change)
    with pytest.raises(ValueError, match="campplus"):
        unified_voice(UnifiedConfig(spk_cond_mode="xvector"))


# ---- who and how ----


@pytest.mark.parametrize("frames", [3, 4, 41, 131])
def test_a_prompt_is_heard_the_same_alone_and_in_a_batch(v2: UnifiedVoice, frames: int) -> None:
    """131 frames are projected in two pieces."""
    one, other = noise(1, frames, 1024, seed=1), noise(1, 150, 1024, seed=2)
    padded = torch.cat([torch.nn.functional.pad(one, (0, 0, 0, 150 - frames), value=9.0), other])
    keep = torch.arange(150) < torch.tensor([[frames], [150]])
    for heard in (v2.speaker, v2.emotion):
        assert torch.allclose(heard(padded, keep), torch.cat([heard(one), heard(other)]), atol=1e-5)


def test_prompts_of_no_length_are_refused(v2: UnifiedVoice) -> None:
    with pytest.raises(ValueError, match="prompt of 2 frames"):
        v2.speaker(noise(1, 2, 1024))


# ---- rows ----


def test_slots_hold_constants_or_a_length(v2: UnifiedVoice) -> None:
    assert isinstance(v2, IndexTTS2)
    constants, table = v2.speed_emb.weight, v2.mel_pos_embedding.emb.weight
    speaker, emotion = noise(1, 4, 64), noise(1, 64, seed=1)
    free = v2.prefix(speaker, emotion)
    assert torch.equal(free[0, :4], speaker[0] + emotion) and torch.equal(free[0, 4:], constants[[1, 0]])
    assert torch.equal(v2.prefix(speaker, emotion, Asked(50))[0, 4:], torch.stack([table[50], constants[0]]))
    assert torch.equal(v2.prefix(speaker, emotion, Asked(50, "B"))[0, 4:], torch.stack([constants[0], table[50]]))
    assert torch.equal(v2.slots(Asked(10_000))[0], table[-1])


def test_slots_of_the_second_model_are_dead(v25: UnifiedVoice) -> None:
    assert not v25.prefix(noise(1, 1, 64), noise(1, 64))[0, 1:].any()
    with pytest.raises(ValueError, match="length regulator"):
        v25.slots(Asked(50))


@pytest.mark.parametrize(("codes", "order"), [(0, "A"), (-3, "A"), (5, "C")])
def test_lengths_that_cannot_be_asked_for(codes: int, order: str) -> None:
    with pytest.raises(ValueError, match=r"codes=|slot_order="):
        Asked(codes, order)


def test_text_is_framed_and_cleared_of_its_own_signs(v2: UnifiedVoice) -> None:
    assert v2.framed(torch.tensor([5, 0, 7, 1, 1, 9])).tolist() == [0, 5, 7, 9, 1]
    assert v2.framed(torch.tensor([0])).tolist() == [0, 1]
    with pytest.raises(ValueError, match="41 tokens; at most 40"):
        v2.framed(torch.full((41,), 7))


def test_languages_are_needed_where_there_are_some(v2: UnifiedVoice, v25: UnifiedVoice) -> None:
    rows = noise(1, 1, 64), noise(1, 64), torch.tensor([5, 6])
    assert not torch.equal(v25.prompt(*rows, language=0), v25.prompt(*rows, language=106))
    for model, language in ((v2, 0), (v25, None), (v25, 107), (v25, -1)):
        with pytest.raises(ValueError, match="language="):
            model.prompt(*rows, language=language)


# ---- whole passes ----


@pytest.mark.parametrize("mode", ["conformer", "campplus"])
def test_latents_are_those_of_the_teacher_forced_pass(mode: str) -> None:
    model = small(mode)
    speaker, emotion = noise(2, 3, 64), noise(2, 64, seed=1)
    text, codes = torch.tensor([[0, 7, 8, 1], [0, 9, 4, 1]]), torch.tensor([[3, 4, 5], [6, 7, 8]])
    language = torch.tensor([2, 5]) if model.languages else None
    whole = model(speaker, emotion, text, codes, language)
    assert whole.text.shape == (2, 4, 51) and whole.codes.shape == (2, 4, 42)
    before = torch.cat([model.prefix(speaker, emotion), model.text_rows(text, language)], 1)
    assert torch.allclose(model.latents(before, codes), whole.latents, atol=1e-5)
    assert torch.allclose(model.mel_head(whole.latents), whole.codes[:, :-1], atol=1e-5)
