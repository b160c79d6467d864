"""The lists of published tensors: how many there are, and what comparing says."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emovoice.hub import registry, shapes

# Tensors and millions of numbers in them, as the published files were measured.
MEASURED = {
    "t2s-2": (665, 871.10), "t2s-2.5": (456, 814.85), "s2mel": (284, 103.69), "codec-2": (239, 44.29),
    "codec-2.5": (243, 50.58), "campplus": (937, 6.93), "bigvgan": (783, 112.23), "qwen3-0.6b": (310, 596.05),
}  # fmt: skip


@pytest.mark.parametrize(("name", "tensors", "millions"), [(name, *row) for name, row in MEASURED.items()])
def test_the_lists_are_as_long_as_the_published_files(name: str, tensors: int, millions: float) -> None:
    listed = shapes.expected(name)
    assert len(listed) == tensors
    assert round(sum(math.prod(shape) for shape in listed.values()) / 1e6, 2) == millions


def test_every_part_has_its_list_and_every_list_its_part() -> None:
    used = {files.shapes for model in registry.models().values() for files in model.parts.values()}
    assert used == set(shapes.names())


def test_w2v_bert_is_asked_for_17_layers_only() -> None:
    layers = {name.split(".")[2] for name in shapes.expected("w2v-bert") if name.startswith("encoder.layers.")}
    assert layers == {str(layer) for layer in range(17)}


def test_the_lists_agree_with_transformers() -> None:
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM, Wav2Vec2BertConfig, Wav2Vec2BertModel

    with torch.device("meta"):
        w2v = Wav2Vec2BertModel(Wav2Vec2BertConfig(num_hidden_layers=17, add_adapter=False)).state_dict()
        qwen = Qwen3ForCausalLM(
            Qwen3Config(vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28,
                        num_attention_heads=16, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True)
        ).state_dict()  # fmt: skip
    qwen.pop("lm_head.weight")  # the embedding, once more
    assert {name: tuple(tensor.shape) for name, tensor in w2v.items()} == shapes.expected("w2v-bert")
    assert {name: tuple(tensor.shape) for name, tensor in qwen.items()} == shapes.expected("qwen3-0.6b")


def test_expanding() -> None:
    assert shapes.expand("a.{0-2}.{x,y}") == ["a.0.x", "a.0.y", "a.1.x", "a.1.y", "a.2.x", "a.2.y"]
    assert shapes.expand("{9-11}") == ["9", "10", "11"]
    assert shapes.expand("plain") == ["plain"]


@given(st.data())
@settings(deadline=None)
def test_comparing_finds_exactly_what_was_changed(data: st.DataObject) -> None:
    wanted = shapes.expected("codec-2")
    names = sorted(wanted)
    gone = set(data.draw(st.lists(st.sampled_from(names), max_size=5)))
    bent = set(data.draw(st.lists(st.sampled_from(names), max_size=5))) - gone
    more = data.draw(st.integers(0, 3))
    found = {name: shape for name, shape in wanted.items() if name not in gone}
    found |= {name: (*wanted[name], 7) for name in bent}
    found |= {f"optimizer.{index}": (1,) for index in range(more)}
    report = shapes.compare(found, wanted, ignored=2)
    assert set(report.missing) == gone
    assert {row[0] for row in report.wrong} == bent
    assert report.extra == more + 2 and report.found == len(wanted) - len(gone)
    assert report.ok == (not gone and not bent)


def test_what_modules_compute_may_be_missing() -> None:
    wanted = shapes.expected("bigvgan")
    found = {name: shape for name, shape in wanted.items() if not name.endswith(".filter")}
    report = shapes.compare(found, wanted)
    assert report.ok and report.recomputed == len(wanted) - len(found) == 218
    assert shapes.can_be_recomputed("cfm.estimator.input_pos") and not shapes.can_be_recomputed("head.conv1.weight")


def test_shortening() -> None:
    assert shapes.shortened("abc", 2) == "a, b and 1 more"
    assert shapes.shortened("ab", 2) == "a, b"
