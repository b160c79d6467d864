"""Eight emotion scores for a text, by the small language model that comes with IndexTTS-2 (a Qwen3-0.6B, fine-tuned).

    reader = EmotionReader.load(folder / "qwen0.6bemo4-merge")
    reader.read("你吓死我了！你是鬼吗？").weights()      # in the order of emovoice.emotion.names.EMOTIONS

The model answers with a JSON object of Chinese names and scores. Whatever it answers, only eight numbers come out: a
text that talks the model into saying something else yields an emotion, or calm and a warning.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emovoice.emotion.names import ALIASES, EMOTIONS
from emovoice.errors import InputError, ModelError

SYSTEM_PROMPT = "文本情感分类"
"""What the model was trained to be told: "text emotion classification"."""

MAX_NEW_TOKENS = 200
"""Most tokens of an answer; eight names and scores take about 90."""
MAX_CHARS = 1000
"""Longer texts are cut; a mood is told by less."""
HIGHEST = 1.2
"""The range of a score is 0 to this."""
MOST_TOGETHER = 0.8
"""What the scores may add up to as weights: as the published interface limits vectors set by hand."""

_CHINESE = dict(zip(("高兴", "愤怒", "悲伤", "恐惧", "反感", "低落", "惊讶", "自然"), EMOTIONS, strict=True))
_ALSO = dict(zip(("喜", "怒", "哀", "惧", "厌恶", "惊喜", "平静"), EMOTIONS[:5] + EMOTIONS[6:], strict=True))
_NAMES = {
    **_CHINESE, **_ALSO, **{name: name for name in EMOTIONS},
    **{alias: "calm" if name == "neutral" else name for alias, name in ALIASES.items()},
}  # fmt: skip
_LABEL_KEYS = frozenset({"emotion", "emotion_label", "label", "情感", "情绪"})
_PAIR = re.compile(
    r"[\"'“]?(" + "|".join(sorted(map(re.escape, _NAMES), key=len, reverse=True)) + r")[\"'”]?\s*[:：=]\s*"
    r"(\d+(?:\.\d+)?)(?!\w|\.\d)",
    re.IGNORECASE,
)
_MELANCHOLIC = re.compile(r"低落|\b(?:melanchol(?:y|ic)|depress(?:ion|ed)|gloomy)\b", re.IGNORECASE)
_THOUGHT_ENDS = "</think>"
_CONTROL = re.compile(r"<\|[^<>]*\|>|</?think>|</?tool_(?:call|response)>", re.IGNORECASE)
_REMEMBERED = 256


@dataclass(frozen=True)
class TextEmotion:
    """What a text sounds like."""

    scores: tuple[float, ...]
    """Eight scores in the order of `EMOTIONS`, each 0 to 1.2. At least one is above 0."""
    warnings: tuple[str, ...] = ()

    def weights(self, most: float = MOST_TOGETHER) -> tuple[float, ...]:
        """The scores as weights: made smaller together, where needed, until each is at most 1 and their sum at most
        `most` (0 to 1). Upstream takes the scores as they are, which may add up to 9.6."""
        if not 0 < most <= 1:
            raise InputError("the sum must lie in 0..1", field="most", value=most, remedy="Give a number such as 0.8")
        factor = min(1.0, most / math.fsum(self.scores))
        return tuple(score * factor for score in self.scores)


class EmotionReader:
    """Reads the emotion of texts. Equal texts give equal scores.

    Args:
        answer: what the model says to a text; see `load`.
    """

    def __init__(self, answer: Callable[[str], str]) -> None:
        self._answer = answer
        self._known: dict[str, TextEmotion] = {}

    @classmethod
    def load(
        cls, folder: Path | str, *, device: str = "cpu", dtype: Any = None, max_new_tokens: int = MAX_NEW_TOKENS
    ) -> EmotionReader:
        """The reader of a folder with a Qwen3 model and its tokenizer.

        Args:
            folder: `qwen0.6bemo4-merge` of the published model.
            device: where it computes.
            dtype: torch type of its weights; None for bfloat16 on a GPU and float32 elsewhere.
            max_new_tokens: most tokens of an answer.

        Raises:
            ModelError: files are missing, damaged, or of another kind of model.
        """
        return cls(_Chat(Path(folder), device, dtype, max_new_tokens))

    def read(self, text: str) -> TextEmotion:
        """The emotion of a text. Raises InputError for an empty one."""
        if not text.strip():
            raise InputError("the text is empty", field="text", value=text[:40], remedy="Give at least one word")
        if text not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[text] = self._read(text)
        return self._known[text]

    def _read(self, text: str) -> TextEmotion:
        warnings = []
        clean = without_control(text)
        if len(clean) > MAX_CHARS:
            clean = clean[:MAX_CHARS]
            warnings.append(f"the emotion was told by the first {MAX_CHARS} characters")
        scores = parse(self._answer(clean)) if clean.strip() else None
        if scores is None:
            warnings.append("the emotion model gave no answer that can be used; calm was taken")
            scores = {"calm": 1.0}
        if _MELANCHOLIC.search(text):
            # The model never says melancholic: it knows the mood as sad.
            sad, melancholic = scores.get("sad", 0.0), scores.get("melancholic", 0.0)
            scores = scores | {"sad": melancholic, "melancholic": sad}
        clamped = tuple(min(max(scores.get(name, 0.0), 0.0), HIGHEST) for name in EMOTIONS)
        if not any(clamped):
            clamped = tuple(1.0 if name == "calm" else 0.0 for name in EMOTIONS)
        return TextEmotion(clamped, tuple(warnings))


def parse(answer: str) -> dict[str, float] | None:
    """The scores in an answer by the names of `EMOTIONS`; None if there is none.

    Accepted are, in this order: a JSON object of known names and finite numbers; one that names an emotion
    ({"emotion": "高兴"}), or the bare name, for a score of 1; pairs such as 高兴: 0.8 anywhere. Of an object with
    anything else in it only such pairs are read.
    """
    answer = answer.rsplit(_THOUGHT_ENDS, 1)[-1].strip()
    answer = re.sub(r"\A```(?:json)?|```\Z", "", answer).strip()
    loaded = _json(answer)
    if isinstance(loaded, dict):
        scores = _scores(loaded)
        if scores is None and (label := _label(loaded)) is not None:
            return {label: 1.0}
        if scores is not None:
            return scores
    bare = loaded if isinstance(loaded, str) else answer
    if (name := _name(bare.strip(" .。!！\"'“”"))) is not None:
        return {name: 1.0}
    pairs = {_NAMES[name.casefold()]: float(score) for name, score in _PAIR.findall(answer)}
    return pairs or None


def without_control(text: str) -> str:
    """The text without anything that a chat template could take for its own marks."""
    while (clean := _CONTROL.sub(" ", text)) != text:
        text = clean
    return text


def _json(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no score")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None


def _scores(loaded: dict[str, Any]) -> dict[str, float] | None:
    """The scores of an object that holds known names and finite numbers and nothing else."""
    found: dict[str, float] = {}
    for key, value in loaded.items():
        name = _name(key)
        if name is None or isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        if abs(value) > 1e6 or not math.isfinite(value):
            return None
        found[name] = max(found.get(name, 0.0), float(value))
    return found or None


def _label(loaded: dict[str, Any]) -> str | None:
    labels = [value for key, value in loaded.items() if key.casefold() in _LABEL_KEYS and isinstance(value, str)]
    return _name(labels[0]) if len(labels) == len(loaded) == 1 else None


def _name(written: str) -> str | None:
    return _NAMES.get(written.strip().casefold())


class _Chat:
    """Asks a Qwen3 model, greedily, for a bounded number of tokens."""

    def __init__(self, folder: Path, device: str, dtype: Any, max_new_tokens: int) -> None:
        import torch
        from transformers import AutoConfig, AutoTokenizer, GenerationConfig, Qwen3ForCausalLM

        if not (folder / "config.json").is_file():
            raise ModelError("the emotion model is missing", field="folder", value=str(folder),
                             remedy="Run 'emovoice models pull', or give the emotion in numbers")  # fmt: skip
        dtype = dtype or (torch.float32 if device == "cpu" else torch.bfloat16)
        try:
            kind = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
            if kind != "qwen3":
                raise ModelError(f"this is a {kind} model, not a qwen3", field="folder", value=str(folder),
                                 remedy="Give the folder qwen0.6bemo4-merge")  # fmt: skip
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = Qwen3ForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=dtype)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(f"the emotion model cannot be read: {str(error).splitlines()[0][:160]}", field="folder",
                             value=str(folder), remedy="Run 'emovoice models pull' again") from error  # fmt: skip
        self._model: Any = model.to(device).eval().requires_grad_(False)
        ends = self._model.generation_config.eos_token_id or self._tokenizer.eos_token_id
        pad = self._tokenizer.pad_token_id
        # Not the checkpoint's own: that samples, and goes on for 32,768 tokens.
        self._generation = GenerationConfig(
            do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=ends,
            pad_token_id=pad if pad is not None else ends[0] if isinstance(ends, list) else ends,
        )  # fmt: skip

    def __call__(self, text: str) -> str:
        """The model's answer to a text."""
        import torch

        for mark in self._own_marks():
            text = text.replace(mark, " ")
        messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": text}]
        prompt = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        inputs = self._tokenizer([prompt], return_tensors="pt", add_special_tokens=False).to(self._model.device)
        with torch.inference_mode():
            numbers = self._model.generate(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"],
                generation_config=self._generation,
            )  # fmt: skip
        return str(self._tokenizer.decode(numbers[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))

    def _own_marks(self) -> Iterator[str]:
        """Strings that this tokenizer takes for single tokens of its own."""
        return (str(mark) for mark in self._tokenizer.get_added_vocab() if len(str(mark)) > 1)
