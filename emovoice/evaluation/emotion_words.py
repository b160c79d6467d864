"""How well instructions and lines are understood, on held-out families, beside simple baselines.

Soft-label evaluation after Chou (all-inclusive rule, dissertation arXiv 2510.05934): with p the soft label of a text
and q the prediction over C = 8 emotions, y_c = 1[p_c > 1/C], yhat_c = 1[q_c > 1/C], all texts are kept, and

    macro-F1 = (1/C) sum_c 2 TP_c / (2 TP_c + FP_c + FN_c)

The baselines: the mean label of training ("majority"), the emotion words of the training material and all names
counted ("keyword list"), and the base encoder's cosine with a sentence about each emotion ("zero-shot similarity";
its temperature is the best one on the validation split).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from emovoice.emotion import cues, material
from emovoice.emotion.instructions import Understanding, understand
from emovoice.emotion.lines import understand_line
from emovoice.emotion.material import Example, Kind
from emovoice.emotion.names import EMOTIONS
from emovoice.errors import EmovoiceError

THRESHOLD = 1 / len(EMOTIONS)
BARS: dict[str, tuple[float, float]] = {
    "macro-F1, instructions": (0.60, 0.80),
    "macro-F1, lines": (0.45, 0.60),
    "hard cases": (0.95, 1.0),
    "ms per line": (5.0, 2.0),
    "the same answer every time": (1.0, 1.0),
}
"""Bar and aim of each figure; a time is to be at most its bar, the others at least."""

_TEMPERATURES = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2)
_SENTENCES = {"instruction": "The voice sounds {}.", "line": "The speaker feels {}."}
_TIMED_LINES = 200

Predictor = Callable[[str], np.ndarray]


@dataclass(frozen=True)
class Scores:
    """Figures of one predictor on one set: macro-F1, F1 of each emotion, Hamming accuracy, mean KL(p || q) in nats."""

    macro_f1: float
    f1: tuple[float, ...]
    hamming: float
    kl: float
    count: int


@dataclass(frozen=True)
class Case:
    """A named hard case, and what was wrong with the answer; nothing if it passed."""

    name: str
    text: str
    wrong: tuple[str, ...]


def soft_scores(p: np.ndarray, q: np.ndarray) -> Scores:
    """Scores of predictions q (N, 8) against soft labels p (N, 8); see the module's formula."""
    y, predicted = p > THRESHOLD, q > THRESHOLD
    hits = (y & predicted).sum(0)
    wrong = (y ^ predicted).sum(0)
    f1 = 2 * hits / np.maximum(2 * hits + wrong, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / np.maximum(q, 1e-6)), 0.0)
    agreement = float((y == predicted).mean())
    return Scores(float(f1.mean()), tuple(map(float, f1)), agreement, float(terms.sum(1).mean()), len(p))


def predict(predictor: Predictor, examples: Sequence[Example]) -> np.ndarray:
    """(N, 8) predictions."""
    return np.stack([predictor(example.text) for example in examples])


def labels(examples: Sequence[Example]) -> np.ndarray:
    """(N, 8) soft labels."""
    return np.array([example.shares for example in examples])


def ours(kind: Kind) -> Predictor:
    """What `understand` or `understand_line` say."""
    reader: Callable[[str], Understanding] = understand if kind == "instruction" else understand_line
    return lambda text: _ordered(reader(text).weights)


def majority(kind: Kind) -> Predictor:
    """The mean label of the training split, whatever the text."""
    mean = labels(material.load(kind, "train")).mean(0)
    return lambda text: mean


def keywords(kind: Kind) -> Predictor:
    """The shares of all emotion words in the text, longest first; the majority where there are none."""
    words, rest = cues.lexicon(), majority(kind)

    def predictor(text: str) -> np.ndarray:
        tokens = "".join(c if c.isalnum() or c in "'-" else " " for c in text.lower()).split()
        total, at = np.zeros(len(EMOTIONS)), 0
        while at < len(tokens):
            length = next((n for n in (3, 2, 1) if " ".join(tokens[at : at + n]) in words), 0)
            if length:
                total += _ordered(words[" ".join(tokens[at : at + length])])
            at += max(1, length)
        return total / total.sum() if total.any() else rest(text)

    return predictor


def zero_shot(kind: Kind) -> Predictor:
    """Softmax of the base encoder's cosines with a sentence about each emotion. Needs the extra `words`."""
    embed = _base_embedding()
    anchors = np.stack([embed(_SENTENCES[kind].format(name)) for name in EMOTIONS])
    held = material.load(kind, "validation")
    cosines = np.stack([anchors @ embed(example.text) for example in held])
    best = max(_TEMPERATURES, key=lambda t: soft_scores(labels(held), _softmax(cosines / t)).macro_f1)
    return lambda text: _softmax((anchors @ embed(text))[None] / best)[0]


def hard_cases() -> list[Case]:
    """The named hard cases of data/hard_cases.json, judged."""
    text = (files("emovoice.emotion") / "data" / "hard_cases.json").read_text("utf-8")
    return [judged(row) for row in json.loads(text)]


def judged(row: Mapping[str, Any]) -> Case:
    """One hard case: what its expectations find wrong with the answer."""
    text, expect = row["text"], row["expect"]
    if row["kind"] == "instruction":
        found = understand(text)
    else:
        found = understand_line(text, row.get("before", ()), row.get("after", ()))
    checks = {name: _CHECKS[name](found, value) for name, value in expect.items()}
    return Case(row["name"], text, tuple(name for name, fine in checks.items() if not fine))


def line_ms() -> float:
    """Mean milliseconds of processor time to read one held-out line, model loaded: what one core takes by itself."""
    from emovoice.emotion.encoder import shared_encoder

    encoder = shared_encoder()
    texts = [example.text for example in material.load("line", "test")][:_TIMED_LINES]
    for text in texts[:5]:
        encoder.read(text, "line")
    start = time.process_time()
    for text in texts:
        encoder.read(text, "line")
    return 1000 * (time.process_time() - start) / len(texts)


def repeats(count: int = 100) -> float:
    """Share of texts with equal answers from two encoders loaded one after the other, texts in another order."""
    from emovoice.emotion import encoder

    def answers(reverse: bool) -> dict[str, bytes]:
        encoder.shared_encoder.cache_clear()
        fresh = encoder.shared_encoder()
        texts = [example.text for example in material.load("line", "test")][:count]
        return {text: fresh.read(text, "line").logits.tobytes() for text in (reversed(texts) if reverse else texts)}

    first, second = answers(False), answers(True)
    return float(np.mean([first[text] == second[text] for text in first]))


def evaluate(with_base: bool = True, tell: Callable[[str], None] = lambda message: None) -> dict[str, Any]:
    """All figures: of the model and the baselines on both test splits, hard cases, context, speed, repeatability."""
    kinds: tuple[Kind, ...] = ("instruction", "line")
    predictors: dict[str, Callable[[Kind], Predictor]] = {
        "majority": majority,
        "keyword list": keywords,
        **({"zero-shot similarity of the base encoder": zero_shot} if with_base else {}),
        "emovoice": ours,
    }
    table: dict[str, dict[str, Scores]] = {}
    for name, make in predictors.items():
        table[name] = {}
        for kind in kinds:
            held = material.load(kind, "test")
            table[name][kind] = soft_scores(labels(held), predict(make(kind), held))
            tell(f"{name}, {kind}s: {table[name][kind].macro_f1:.3f}")
    cases = hard_cases()
    figures = {
        "macro-F1, instructions": table["emovoice"]["instruction"].macro_f1,
        "macro-F1, lines": table["emovoice"]["line"].macro_f1,
        "hard cases": sum(not case.wrong for case in cases) / len(cases),
        "ms per line": line_ms(),
        "the same answer every time": repeats(),
    }
    return {"table": table, "figures": figures, "cases": cases, "context": context_scores(), "load": os.getloadavg()[0]}


def context_scores() -> dict[str, float]:
    """Share of held-out exchanges whose strongest emotion is right, without and with the lines before."""
    held = material.exchanges("test")
    alone = [_top(understand_line(each.text)) == _top_label(each.shares) for each in held]
    told = [_top(understand_line(each.text, each.before)) == _top_label(each.shares) for each in held]
    return {"alone": float(np.mean(alone)), "with the lines before": float(np.mean(told)), "exchanges": len(held)}


def met(name: str, value: float) -> bool:
    """Whether a figure meets its bar."""
    bar, _ = BARS[name]
    return value <= bar if name.startswith("ms") else value >= bar


def markdown(result: Mapping[str, Any]) -> str:
    """The tables of docs/emotion-in-words.md."""
    lines = [
        "# Emotion in words, measured",
        "",
        "| predictor | instructions, macro-F1 | lines, macro-F1 |",
        "|---|---|---|",
    ]
    for name, row in result["table"].items():
        lines.append(f"| {name} | {row['instruction'].macro_f1:.3f} | {row['line'].macro_f1:.3f} |")
    counts = [result["table"]["emovoice"][kind].count for kind in ("instruction", "line")]
    lines += ["", f"{counts[0]} instructions and {counts[1]} lines of held-out families.", ""]
    lines += ["| emotion | instructions, F1 | lines, F1 |", "|---|---|---|"]
    both = [result["table"]["emovoice"][kind].f1 for kind in ("instruction", "line")]
    lines += [f"| {name} | {a:.2f} | {b:.2f} |" for name, a, b in zip(EMOTIONS, *both, strict=True)]
    lines += ["", "| what | figure | bar | aim | met |", "|---|---|---|---|---|"]
    for name, value in result["figures"].items():
        bar, aim = BARS[name]
        lines.append(f"| {name} | {value:.3f} | {bar:g} | {aim:g} | {'yes' if met(name, value) else '**no**'} |")
    context = result["context"]
    share, told = context["alone"], context["with the lines before"]
    told_of = f"{share:.0%} get the right strongest emotion alone, {told:.0%} with the lines before them"
    lines += ["", f"Of {context['exchanges']} short replies, {told_of}."]
    missed = [f"{case.name} ({', '.join(case.wrong)})" for case in result["cases"] if case.wrong]
    lines += ["", f"Hard cases missed: {'; '.join(missed) or 'none'}.", f"Load average {result['load']:.1f}."]
    return "\n".join(lines) + "\n"


def as_json(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result in basic types."""
    table = {
        name: {kind: {"macro_f1": s.macro_f1, "f1": dict(zip(EMOTIONS, s.f1)), "hamming": s.hamming, "kl": s.kl,
                      "count": s.count} for kind, s in row.items()}
        for name, row in result["table"].items()
    }  # fmt: skip
    missed = [{"name": case.name, "text": case.text, "wrong": case.wrong} for case in result["cases"] if case.wrong]
    figures = {
        name: {"value": value, "bar": BARS[name][0], "aim": BARS[name][1], "met": met(name, value)}
        for name, value in result["figures"].items()
    }
    return {"table": table, "figures": figures, "missed_cases": missed, "context": result["context"],
            "load": result["load"]}  # fmt: skip


def _within(found: Understanding, limits: Sequence[float]) -> bool:
    return limits[0] <= found.intensity <= limits[1]


def _loudness(found: Understanding, asked: str) -> bool:
    return {"quiet": found.loudness_db < 0, "loud": found.loudness_db > 0, "not loud": found.loudness_db <= 0}[asked]


def _curve(found: Understanding, asked: Sequence[Sequence[str]]) -> bool:
    tops = [max(moment.weights, key=lambda name: moment.weights[name]) for moment in found.moments]
    return len(tops) == len(asked) and all(top in names for top, names in zip(tops, asked, strict=True))


_CHECKS: dict[str, Callable[[Understanding, Any], bool]] = {
    "top": lambda found, names: _top(found) in names,
    "has": lambda found, names: all(found.weights[name] > THRESHOLD for name in names),
    "not": lambda found, names: all(found.weights[name] <= THRESHOLD for name in names),
    "intensity": _within,
    "weaker_than": lambda found, other: found.intensity < understand(other).intensity,
    "stronger_than": lambda found, other: found.intensity > understand(other).intensity,
    "loudness": _loudness,
    "rate": lambda found, asked: found.rate > 1 if asked == "fast" else found.rate < 1,
    "whisper": lambda found, asked: found.whisper is asked,
    "curve": _curve,
    "ends": lambda found, asked: asked == "loud" and found.moments[-1].loudness_db > 0,
    "rising": lambda found, asked: found.moments[0].intensity < found.moments[-1].intensity,
    "unknown": lambda found, words: set(words) <= set(found.not_understood),
}


def _top(found: Understanding) -> str:
    return max(found.weights, key=lambda name: found.weights[name])


def _top_label(shares: Sequence[float]) -> str:
    return EMOTIONS[int(np.argmax(shares))]


def _ordered(weights: Mapping[str, float]) -> np.ndarray:
    return np.array([weights.get(name, 0.0) for name in EMOTIONS])


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    shares: np.ndarray = e / e.sum(-1, keepdims=True)
    return shares


def _base_embedding() -> Callable[[str], np.ndarray]:
    """Sentence embeddings of the whole base encoder, unit length (its mean pooling)."""
    import torch

    from emovoice.training.words import base_folder

    try:
        from transformers import AutoModel, AutoTokenizer

        folder = str(base_folder())
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    except OSError as error:
        raise EmovoiceError(f"the base encoder cannot be loaded: {error}", remedy="Use --without-base.") from error

    @torch.inference_mode()
    def embed(text: str) -> np.ndarray:
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=128)
        mean = model(**inputs).last_hidden_state[0].mean(0).numpy()
        unit: np.ndarray = mean / np.linalg.norm(mean)
        return unit

    return embed
