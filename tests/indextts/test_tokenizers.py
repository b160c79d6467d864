"""Both tokenizers, on tiny vocabularies of the published formats."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emovoice.errors import InputError, ModelError
from emovoice.indextts import tokenizers
from emovoice.indextts.tokenizers import PieceTokenizer, RankTokenizer
from tests.indextts import vocabularies


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vocabularies.write_pieces(tmp_path_factory.mktemp("bpe") / "bpe.model")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vocabularies.write_ranks(tmp_path_factory.mktemp("ranks") / "multilingual.tiktoken")


# ---- pieces --------------------------------------------------------------------------------------


def test_chinese_characters_stand_alone_and_letters_are_capitals(bpe: Path) -> None:
    tokenizer = PieceTokenizer(bpe)
    assert tokenizer.encode("hello 你好") == tokenizer.encode("HELLO 你 好")
    assert {"▁你", "▁好"} <= set(tokenizer.pieces("你好"))
    assert "JV4" in tokenizer.pieces("JV4 好")
    assert tokenizers.piece_text("a你b") == "A 你 B"


def test_an_exclamation_mark_survives_a_space_before_it(bpe: Path) -> None:
    tokenizer, upstream = PieceTokenizer(bpe), PieceTokenizer(bpe, keep_unknown=True)
    mark = tokenizer.encode("NO!")[-1]
    assert tokenizer.encode("NO !")[-1] == mark == tokenizer.encode("你好!")[-1]
    assert "!" in tokenizer.pieces("你好!")
    assert tokenizer.pieces("世界.")[-1] == "▁."  # a sign that has a piece of its own keeps its place
    assert upstream.pieces("你好 !")[-2:] == ["▁", "!"]


def test_what_the_vocabulary_lacks_is_named_and_left_out(bpe: Path) -> None:
    tokenizer, upstream = PieceTokenizer(bpe), PieceTokenizer(bpe, keep_unknown=True)
    assert set(tokenizer.unknown("HELLO 7 龘 HELLO 7")) == {"7", "龘"}
    assert tokenizer.unknown("HELLO") == ""
    assert 2 not in tokenizer.encode("HELLO 7 龘") and 2 in upstream.encode("HELLO 7 龘")
    assert tokenizer.size == max(140, tokenizer.size)


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_pieces_never_hold_start_or_stop(text: str) -> None:
    tokenizer = _pieces()
    assert not {tokenizers.START, tokenizers.STOP, 2} & set(tokenizer.encode(text))
    assert all(0 <= number < tokenizer.size for number in tokenizer.encode(text))


_KEPT: dict[str, PieceTokenizer] = {}


def _pieces() -> PieceTokenizer:
    if not _KEPT:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            _KEPT["it"] = PieceTokenizer(vocabularies.write_pieces(Path(folder) / "bpe.model"))
    return _KEPT["it"]


def test_no_vocabulary_of_pieces(tmp_path: Path) -> None:
    (tmp_path / "bpe.model").write_bytes(b"not a model")
    for path in (tmp_path / "bpe.model", tmp_path / "missing.model"):
        with pytest.raises(ModelError, match="vocabulary cannot be read"):
            PieceTokenizer(path)


# ---- ranks ---------------------------------------------------------------------------------------


def test_special_tokens_fill_the_published_size() -> None:
    assert 58_836 + len(tokenizers.SPECIAL_TOKENS) == 60_509
    assert len(set(tokenizers.SPECIAL_TOKENS)) == len(tokenizers.SPECIAL_TOKENS)
    places = {token: place for place, token in enumerate(tokenizers.SPECIAL_TOKENS)}
    assert places["<|en|>"] == 2 and places["<|su|>"] == 100 and places["<|ASR|>"] == 101
    assert places["<|SPECIAL_TOKEN_1|>"] == 2 + 99 + 11 + 4 + 6 and places["<|30.00|>"] == 1672
    assert "<|yue|>" not in places


def test_languages_are_whispers_and_seven_more() -> None:
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    assert tokenizers.LANGUAGES[:99] == tuple(LANGUAGES)[:99]
    rows = {"en": 0, "zh": 1, "de": 2, "es": 3, "ja": 7, "ar": 13, "yue": 99, "common": 105, "klingon": 105}
    assert {language: tokenizers.language_number(language) for language in rows} == rows


def test_a_language_goes_before_the_text(ranks: Path) -> None:
    tokenizer = RankTokenizer(ranks)
    count = tokenizer.size - len(tokenizers.SPECIAL_TOKENS)
    assert tokenizer.encode("hello", "en")[0] == count + 2
    assert tokenizer.decode(tokenizer.encode("hello", "zh")) == "<|zh|> hello"
    literal = tokenizer.encode("hello", "yue")  # no token of its own
    assert max(literal) < count and tokenizer.decode(literal) == "<|yue|> hello"


def test_exclamation_and_quotation_marks_are_said(ranks: Path) -> None:
    text = 'hello! "hello" !'
    said, raw, upstream = (RankTokenizer(ranks, marks=marks) for marks in ("spaced", "raw", "upstream"))  # type: ignore[arg-type]
    assert not {0, 1} & set(said.encode(text))
    assert said.decode(said.encode("hello!")) == "<|common|> hello !"
    assert {0, 1} & set(raw.encode(text)) == {0, 1} and raw.decode(raw.encode(text)).endswith(text)
    assert upstream.decode(upstream.encode("hello!")) == "<|common|> hello"
    assert len(said.encode(text)) == len(raw.encode(text)) > len(upstream.encode(text))


def test_only_pronunciations_may_hold_special_tokens(ranks: Path) -> None:
    tokenizer = RankTokenizer(ranks)
    count = tokenizer.size - len(tokenizers.SPECIAL_TOKENS)
    around = f"{tokenizers.PINYIN}XING2{tokenizers.PINYIN}"
    assert sum(number >= count for number in tokenizer.encode(around, "zh")) == 3
    sneaky = tokenizer.encode("<|endoftext|> <|HAPPY|> <|ja|> <|TTS/B|> <|0.00|>", "en")
    assert sum(number >= count for number in sneaky) == 1


@given(st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_every_text_comes_back(text: str) -> None:
    import tempfile

    if "ranks" not in _RANKS:
        with tempfile.TemporaryDirectory() as folder:
            _RANKS["ranks"] = RankTokenizer(vocabularies.write_ranks(Path(folder) / "x.tiktoken"), marks="raw")
    tokenizer = _RANKS["ranks"]
    numbers = tokenizer.encode(text, "en")
    assert tokenizer.decode(numbers) == f"<|en|> {text}"
    assert all(0 <= number < tokenizer.size for number in numbers)


_RANKS: dict[str, RankTokenizer] = {}


@pytest.mark.parametrize("content", ["", "IQ== 0\nIg== 2\n", "no base64! 0\nIg== 1\n", "IQ== x\n", "IQ==\n"])
def test_no_vocabulary_of_ranks(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.tiktoken").write_text(content)
    with pytest.raises(ModelError):
        RankTokenizer(tmp_path / "x.tiktoken")


def test_wrong_marks(ranks: Path) -> None:
    with pytest.raises(InputError, match="marks"):
        RankTokenizer(ranks, marks="dropped")  # type: ignore[arg-type]
