"""Scores of soft labels, the baselines, and the tables."""

import numpy as np
import pytest

from emovoice.emotion.material import load
from emovoice.emotion.names import EMOTIONS
from emovoice.evaluation import emotion_words as ew


def row(**shares: float) -> list[float]:
    return [shares.get(name, 0.0) for name in EMOTIONS]


def test_a_perfect_and_an_empty_prediction() -> None:
    p = np.eye(8)
    assert ew.soft_scores(p, p).macro_f1 == 1 and ew.soft_scores(p, p).kl == 0
    assert ew.soft_scores(p, np.full((8, 8), 1 / 8)).macro_f1 == 0  # 1/8 is not above 1/8


def test_the_all_inclusive_rule_by_hand() -> None:
    p = np.array([row(angry=0.5, sad=0.5), row(angry=0.9, calm=0.1), row(happy=1.0)])
    q = np.array([row(angry=0.9, sad=0.1), row(angry=0.5, calm=0.5), row(happy=0.6, surprised=0.4)])
    scores = ew.soft_scores(p, q)
    f1 = dict(zip(EMOTIONS, scores.f1, strict=True))
    assert (f1["angry"], f1["sad"], f1["calm"], f1["happy"]) == (1, 0, 0, 1)
    assert scores.macro_f1 == pytest.approx(2 / 8) and scores.hamming == pytest.approx(21 / 24)


def test_baselines_are_shares() -> None:
    for predictor in (ew.majority("line"), ew.keywords("line"), ew.keywords("instruction")):
        for text in ("I am so angry and sad.", "Nothing here.", ""):
            assert predictor(text).sum() == pytest.approx(1) and predictor(text).min() >= 0
    assert ew.keywords("instruction")("so angry")[EMOTIONS.index("angry")] == 1


def test_we_are_better_than_the_baselines_on_some_of_the_test() -> None:
    for kind in ("instruction", "line"):
        held = load(kind, "test")[::6]
        scores = [
            ew.soft_scores(ew.labels(held), ew.predict(make(kind), held)).macro_f1
            for make in (ew.ours, ew.keywords, ew.majority)
        ]
        assert scores[0] == max(scores) and scores[0] > {"instruction": 0.55, "line": 0.45}[kind], scores


def test_a_case_says_what_is_wrong() -> None:
    case = {"name": "x", "kind": "instruction", "text": "furious", "expect": {"top": ["calm"], "has": ["angry"]}}
    assert ew.judged(case).wrong == ("top",)


def test_answers_repeat() -> None:
    assert ew.repeats(20) == 1.0


def test_tables() -> None:
    scores = ew.soft_scores(np.eye(8), np.eye(8))
    rows = {name: {"instruction": scores, "line": scores} for name in ("majority", "emovoice")}
    figures = {"macro-F1, instructions": 0.5, "ms per line": 3.0}
    result = {"table": rows, "figures": figures, "cases": [ew.Case("c", "t", ("top",))], "load": 1.0,
              "context": {"alone": 0.2, "with the lines before": 0.8, "exchanges": 25}}  # fmt: skip
    text = ew.markdown(result)
    assert "| emovoice | 1.000 | 1.000 |" in text and "**no**" in text and "c (top)" in text
    assert ew.as_json(result)["figures"]["ms per line"]["met"] is True
