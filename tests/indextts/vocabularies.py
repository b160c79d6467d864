"""Tiny vocabularies in the two published formats, made on the spot: for tests."""

from __future__ import annotations

import base64
import io
from pathlib import Path

_LINES = [
    "HELLO WORLD, HOW ARE YOU?",
    "IT'S A TEST - OF COURSE! NO!",
    "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG",
    "ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE TEN",
    "你 好 世 界 .",
    "JV4 XVN2 好 , 不 是",
    "他 说 的 话 ? ' 对 '",
    "一 二 三 四 五 六 七 八 九 十 零",
]


def write_pieces(path: Path) -> Path:
    """A SentencePiece BPE model whose first pieces are <s> and </s>, with `!` only behind letters."""
    from sentencepiece import SentencePieceTrainer

    out = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(_LINES * 20), model_writer=out, vocab_size=140, model_type="bpe", bos_id=0, eos_id=1,
        unk_id=2, hard_vocab_limit=False, normalization_rule_name="identity", minloglevel=2,
        user_defined_symbols=["JV4", "XVN2", "XING2"],
    )  # fmt: skip
    path.write_bytes(out.getvalue())
    return path


def write_ranks(path: Path) -> Path:
    """Ranks as published: `!` is 0, `\"` is 1, all bytes are there, and a few pairs behind them."""
    first = [*range(ord("!"), 127), *range(161, 173), *range(174, 256)]
    single = [bytes([number]) for number in [*first, *(number for number in range(256) if number not in first)]]
    pairs = [b" !", b'he', b"ll", b"hell", b"hello", b" he", b"!!", b' "']
    rows = [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate([*single, *pairs])]
    path.write_text("\n".join(rows) + "\n")
    return path
