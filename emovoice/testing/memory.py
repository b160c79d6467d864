"""How much memory the published models take, by configuration: `python -m emovoice.testing.memory`.

Nothing is loaded and nothing is computed. Modules of the published sizes are built without weights, and one request
goes through them with tensors that have a shape and no content (torch's FakeTensorMode); the bytes of all tensors that
are alive at once are counted as they come and go. The sum of weights and of the worst stage is what has to fit. Left
out are what libraries keep for themselves (a few hundred MB on a GPU), and the fragments of their allocators.
"""

from __future__ import annotations

import argparse
import json
import weakref
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ar_tts.slots import Slots
from ar_tts.unified import INDEXTTS_2, INDEXTTS_2_5, UnifiedVoice, unified_voice
from diffusion.s2m import SemanticToMel, SemanticToMelConfig
from emovoice.encoder.campplus import CampPlus, CampPlusConfig
from emovoice.encoder.semantic_codec import SemanticCodec, SemanticCodecConfig
from emovoice.encoder.w2v_bert import SemanticFeatures
from emovoice.torchaudio_shim import install
from vocoders.bigvgan import BigVgan, BigVganConfig

PROMPT_S, SEGMENT_S, TEXT_TOKENS = 15.0, 10.0, 120
"""The request that is measured: the longest prompt, and a long segment."""

PARTS = ("t2s", "w2v_bert", "campplus", "codec", "s2mel", "vocoder")
_MEL_HZ = 22_050 / 256
_QWEN_NUMBERS = 596_049_920


class Alive(TorchDispatchMode):
    """Counts the bytes of tensors that are made under it, as long as they live; views of `weights` are none."""

    def __init__(self, weights: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in weights}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and look at what came out."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._take(leaf.untyped_storage())
        return result

    def _take(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self._known.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def modules(release: str, device: str = "meta", only: str = "") -> dict[str, nn.Module]:
    """All parts of a release at published size, or one of them. On the meta device they take no memory."""
    install()
    two = release == "indextts-2"
    builders: dict[str, Callable[[], nn.Module]] = {
        "t2s": lambda: unified_voice(INDEXTTS_2 if two else INDEXTTS_2_5),
        "w2v_bert": lambda: SemanticFeatures({}), "campplus": lambda: CampPlus(CampPlusConfig()),
        "codec": lambda: SemanticCodec(SemanticCodecConfig(rate_divisor=1 if two else 2)),
        "s2mel": lambda: SemanticToMel(SemanticToMelConfig()), "vocoder": lambda: BigVgan(BigVganConfig()),
    }  # fmt: skip
    with torch.device(device):
        return {name: build().eval().requires_grad_(False) for name, build in builders.items() if only in ("", name)}


def weight_bytes(parts: dict[str, nn.Module], types: dict[str, torch.dtype]) -> int:
    """Bytes of all parts, each in its own precision; whole numbers keep theirs."""
    return sum(
        tensor.numel() * (types[name].itemsize if tensor.is_floating_point() else tensor.itemsize)
        for name, part in parts.items()
        for tensor in part.state_dict().values()
    )


def stages(release: str, beams: int, codes: int = 1500) -> dict[str, tuple[str, Callable[[Any], object]]]:
    """Stage -> the part that it uses, and what it does with it, on the longest prompt and a long segment."""
    two = release == "indextts-2"
    features, prompt_frames = round(PROMPT_S * 50) - 1, round(PROMPT_S * _MEL_HZ)
    frames = round(SEGMENT_S * _MEL_HZ)

    def like(module: nn.Module, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=next(module.parameters()).dtype)

    def hear(model: SemanticFeatures) -> object:
        return model.model(like(model, 1, features, 160), attention_mask=torch.ones(1, features, dtype=torch.int32))

    def condition(model: UnifiedVoice) -> object:
        speaker = model.speaker(like(model, 1, features, 1024) if two else like(model, 1, 192))
        return speaker, model.emotion(like(model, 1, features, 1024))

    def write(model: UnifiedVoice) -> object:
        rows = like(model, 1, (32 if two else 1) + 2 + TEXT_TOKENS + 2, model.config.model_dim)
        slots = Slots(model.gpt, beams, rows.shape[1] + codes)
        slots.read(model, 0, rows)
        last = rows[:, -1:].expand(beams, -1, -1)
        return model.hidden(last, slots.step(beams, slots.positions, torch.zeros(beams, dtype=torch.int64)))

    def flow(model: SemanticToMel) -> object:
        """One evaluation; guidance makes two rows of each."""
        count = prompt_frames + frames
        mel = like(model, 2, 80, count)
        return model.cfm["estimator"](mel, mel.clone(), torch.zeros(2), like(model, 2, 192), like(model, 2, count, 512))

    def sound(model: BigVgan) -> object:
        return model(like(model, 1, 80, frames))

    return {"w2v-BERT": ("w2v_bert", hear), "conditioners": ("t2s", condition), "codes": ("t2s", write),
            "flow": ("s2mel", flow), "vocoder": ("vocoder", sound)}  # fmt: skip


def activations(release: str, stage: str, dtype: torch.dtype, beams: int) -> int:
    """Bytes of tensors that are alive at once in one stage, its weights not counted."""
    part, run = stages(release, beams)[stage]
    with FakeTensorMode(), torch.no_grad():
        module = _of_type(dtype, lambda: modules(release, device="cpu", only=part)[part])
        with Alive([*module.parameters(), *module.buffers()]) as alive:
            run(module)
    return alive.most


def _of_type(dtype: torch.dtype, build: Callable[[], nn.Module]) -> nn.Module:
    """A module that is born in that precision: `.to` does not work on fake weights. Buffers may have their own."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        module = build()
    finally:
        torch.set_default_dtype(before)
    for child in module.modules():
        child._buffers = {name: buffer.to(dtype) if buffer is not None and buffer.is_floating_point() else buffer
                          for name, buffer in child._buffers.items()}  # fmt: skip
    return module


CONFIGURATIONS = {
    "fp32": dict.fromkeys(PARTS, torch.float32),
    "t2s fp16, as upstream": {**dict.fromkeys(PARTS, torch.float32), "t2s": torch.float16},
    "fp16": dict.fromkeys(PARTS, torch.float16),
}
"""Precisions by part."""


def table(beams: tuple[int, ...] = (1, 3)) -> list[dict[str, Any]]:
    """A row for each release, configuration and number of beams; sizes in GB (1e9 bytes)."""
    rows = []
    for release in ("indextts-2", "indextts-2.5"):
        parts = modules(release)
        for name, types in CONFIGURATIONS.items():
            weights = weight_bytes(parts, types)
            for count in beams:
                found = {stage: _measured(release, stage, part, types[part], count)
                         for stage, (part, _) in stages(release, count).items()}  # fmt: skip
                worst = max(found, key=lambda stage: found[stage])
                rows.append({
                    "release": release, "precision": name, "beams": count, "weights_gb": weights / 1e9,
                    "activations_gb": {stage: size / 1e9 for stage, size in found.items()}, "worst": worst,
                    "peak_gb": (weights + found[worst]) / 1e9,
                    "with_qwen_gb": (weights + found[worst] + 2 * _QWEN_NUMBERS) / 1e9,
                })  # fmt: skip
    return rows


def _measured(release: str, stage: str, part: str, dtype: torch.dtype, beams: int) -> int:
    """`activations`, but once where releases or beams make no difference."""
    return _activations("indextts-2" if part != "t2s" else release, stage, dtype, beams if stage == "codes" else 1)


_activations = cache(activations)


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table."""
    head = ("model", "precision", "beams", "weights", "most activations", "peak", "with the emotion model")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        worst = row["worst"]
        cells = (row["release"], row["precision"], row["beams"], f"{row['weights_gb']:.2f} GB",
                 f"{row['activations_gb'][worst]:.2f} GB ({worst})", f"{row['peak_gb']:.2f} GB",
                 f"{row['with_qwen_gb']:.2f} GB")  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    about = (__doc__ or "").split(":")[0]
    parser = argparse.ArgumentParser(prog="python -m emovoice.testing.memory", description=about)
    parser.add_argument("--json", action="store_true", help="all numbers instead of a table")
    args = parser.parse_args(argv)
    rows = table()
    print(json.dumps(rows) if args.json else markdown(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
