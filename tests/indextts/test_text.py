"""Text for the published models: what is read, how it is cut, what is warned of."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emovoice.errors import InputError, ModelError
from emovoice.indextts import text as module
from emovoice.indextts.text import load_glossary, pinyin_piece, read, segment, to_signs
from emovoice.indextts.tokenizers import PieceTokenizer, RankTokenizer, Tokenizer
from tests.indextts import vocabularies


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return PieceTokenizer(vocabularies.write_pieces(tmp_path_factory.mktemp("bpe") / "bpe.model"), keep_unknown=True)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return RankTokenizer(vocabularies.write_ranks(tmp_path_factory.mktemp("ranks") / "x.tiktoken"))


@pytest.fixture
def no_wetext(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_wetext", lambda _: None)


def texts(found: module.Script) -> list[str]:
    return [row.text for row in found.segments]


# ---- reading -------------------------------------------------------------------------------------


def test_english_is_read_by_our_own_normaliser(pieces: Tokenizer, ranks: Tokenizer) -> None:
    line = 'Dr. Smith paid $5.20 at 14:30. He said: "Go!" — and left; why?'
    assert texts(read(line, pieces)) == [
        "DOCTOR SMITH PAID FIVE DOLLARS AND TWENTY CENTS AT FOURTEEN THIRTY.",
        "HE SAID, 'GO!' - AND LEFT, WHY?",
    ]
    assert texts(read(line, ranks))[1] == "he said, 'go!' - and left, why?"
    assert [row.language for row in read(line, ranks).segments] == ["en", "en"]


@pytest.mark.usefixtures("no_wetext")
def test_chinese_without_its_reader(pieces: Tokenizer) -> None:
    found = read("你好，世界！他有3个：“对”……", pieces)
    assert texts(found) == ["你好,世界!", "他有三个,'对'…"]
    assert any("wetext" in warning for warning in found.warnings)
    assert not read("你好。", pieces).warnings[:1] or "wetext" not in read("你好。", pieces).warnings[0]


def test_chinese_numbers_by_wetext(pieces: Tokenizer) -> None:
    pytest.importorskip("wetext")
    assert texts(read("我有23个苹果，花了$5。GPT-4很好。", pieces)) == ["我有二十三个苹果,花了五美元.", "GPT-四很好."]


@pytest.mark.usefixtures("no_wetext")
def test_one_chinese_word_does_not_make_english_chinese(pieces: Tokenizer, ranks: Tokenizer) -> None:
    line = "He likes 你好 and 123 cats. 他说3."
    assert texts(read(line, pieces)) == ["HE LIKES 你好 AND ONE HUNDRED TWENTY-THREE CATS.", "他说三."]
    assert [row.language for row in read(line, ranks).segments] == ["en", "zh"]
    upstream = read(line, pieces, upstream=True)
    assert "ONE HUNDRED" not in upstream.segments[0].text and len(upstream.segments) == 1


@pytest.mark.usefixtures("no_wetext")
def test_a_text_of_figures_alone_is_not_chinese(pieces: Tokenizer) -> None:
    assert texts(read("12", pieces)) == ["TWELVE"]
    assert texts(read("12", pieces, upstream=True)) == ["一二"]
    assert texts(read("12", pieces, language="zh")) == ["一二"]


@pytest.mark.usefixtures("no_wetext")
@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("我们ju4子", "我们 JV4 子"), ("xun2 ju4", "XVN2 JV4"), ("好juan3好", "好 JVAN3 好"), ("绿lü4", "绿 LV4"),
        ("绿lv4", "绿 LV4"), ("略nve4", "略 NVE4"), ("好zhuang5", "好 ZHUANG5"),
        ("好wan22", "好WAN二二"), ("好人B2x1", "好人B二X一"),
        ("A4 paper", "A FOUR PAPER"), ("<行|xing2>人", "XING2 人"),
    ],
)  # fmt: skip
def test_pinyin(pieces: Tokenizer, written: str, spoken: str) -> None:
    assert texts(read(written, pieces)) == [spoken]


def test_spelling_of_pinyin() -> None:
    assert [pinyin_piece(syllable) for syllable in ("qu4", "xue2", "lu4", "nü3", "jian4")] == [
        "QV4", "XVE2", "LU4", "NV3", "JIAN4",
    ]  # fmt: skip


@pytest.mark.usefixtures("no_wetext")
def test_hundreds_of_syllables_do_not_run_out_of_names(pieces: Tokenizer) -> None:
    """Upstream counts placeholders by letters and reads the 27th as a sign."""
    (found,) = read("好" + "ju4好" * 150, pieces, max_tokens=600).segments
    assert found.text.count("JV4") == 150 and "×" not in found.text and len(found.text) == len("好" + " JV4 好" * 150)


def test_pronunciations(ranks: Tokenizer, pieces: Tokenizer) -> None:
    line = "他在银<行|xing2>里 <tomato|T AH0 . M EY1> <君|くん>."
    (found,) = read(line, ranks, language="zh").segments
    one, two = "<|SPECIAL_TOKEN_1|>", "<|SPECIAL_TOKEN_2|>"
    assert f"银{two}XING2{two}里" in found.text and f"{one}T AH0 . M EY1{one}" in found.text and "くん" in found.text
    assert any("tomato" in warning for warning in read("a <tomato|T AH0>", pieces).warnings)


@pytest.mark.parametrize("sneaky", ["<|endoftext|>", "<|SPECIAL_TOKEN_1|>", "<|SPECIAL_<|x|>TOKEN_1|>", "<|en|>"])
@pytest.mark.parametrize("language", ["auto", "es", "zh"])
def test_special_tokens_cannot_be_written_into_a_text(ranks: Tokenizer, sneaky: str, language: str) -> None:
    plain = ranks.size - 1673
    for row in read(f"hola {sneaky} {sneaky} mundo", ranks, language=language).segments:
        assert sum(number >= plain for number in row.ids) == 1  # the language


def test_names_keep_together(ranks: Tokenizer) -> None:
    assert texts(read("莱昂纳多·迪卡普里奥来了。", ranks)) == ["莱昂纳多-迪卡普里奥来了."]


def test_pauses(ranks: Tokenizer) -> None:
    found = read("[pause:1s] Hello. [pause:0.4s][pause:100ms] World. [pause:2s]", ranks)
    assert found.lead_s == 1.0 and [row.pause_s for row in found.segments] == [0.5, 2.0]
    with pytest.raises(InputError, match="pause"):
        read("Hello [pause:99s] world", ranks)


def test_other_languages(ranks: Tokenizer) -> None:
    assert texts(read("¿Qué tal? Bien: gracias", ranks, language="es")) == ["¿QUÉ TAL?", "BIEN, GRACIAS"]
    assert any("write them out" in warning for warning in read("Tengo 3", ranks, language="es").warnings)
    assert [row.language for row in read("مرحبا بالعالم", ranks).segments] == ["ar"]
    japanese = read("これはテストです。", ranks)
    assert [row.language for row in japanese.segments] == ["ja"]


@pytest.mark.usefixtures("no_wetext")
def test_nothing_is_left_out_silently(pieces: Tokenizer, tmp_path: Path) -> None:
    found = read("你好😀世界", pieces)
    assert texts(found) == ["你好 世界"] and "😀" in found.warnings[0]
    strict = PieceTokenizer(vocabularies.write_pieces(tmp_path / "bpe.model"))
    assert any("龘" in warning for warning in read("你好龘", strict).warnings)


@pytest.mark.parametrize("empty", ["", "  \n ", "...", "[pause:1s]", "!?", "😀"])
def test_nothing_to_say(ranks: Tokenizer, empty: str) -> None:
    with pytest.raises(InputError, match="nothing to speak"):
        read(empty, ranks)


def test_wrong_requests(ranks: Tokenizer) -> None:
    with pytest.raises(InputError, match="language"):
        read("Hello", ranks, language="tlh")
    for tokens in (0, 601):
        with pytest.raises(InputError, match="1 to 600"):
            read("Hello", ranks, max_tokens=tokens)


# ---- glossary ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_wetext")
def test_glossary(tmp_path: Path, pieces: Tokenizer) -> None:
    path = tmp_path / "glossary.yaml"
    path.write_text("AI: {zh: 人工, en: A I}\nOpenAI: open A I\nM.2: M two\n世界: 地球\n", encoding="utf-8")
    glossary = load_glossary(path)
    assert texts(read("openai makes AI for M.2, said ai.", pieces, glossary=glossary)) == [
        "OPEN A I MAKES A I FOR M TWO, SAID A I."
    ]
    assert texts(read("我们的AI世界", pieces, glossary=glossary)) == ["我们的人工地球"]
    assert "SAID" in texts(read("said paid", pieces, glossary=glossary))[0]


@pytest.mark.parametrize("content", ["- a\n- b\n", "yes: no\n", "a: 3\n", "a: {zh: [x]}\n", "plain"])
def test_no_glossary(tmp_path: Path, content: str) -> None:
    (tmp_path / "g.yaml").write_text(content)
    with pytest.raises(InputError, match="glossary"):
        load_glossary(tmp_path / "g.yaml")


def test_damaged_glossary(tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text("a: [")
    for path in (tmp_path / "g.yaml", tmp_path / "missing.yaml"):
        with pytest.raises(ModelError, match="cannot be read"):
            load_glossary(path)
    (tmp_path / "g.yaml").write_text("")
    assert load_glossary(tmp_path / "g.yaml") == {}
    (tmp_path / "g.yaml").write_text("!!python/object/apply:os.getcwd []")
    with pytest.raises(ModelError):
        load_glossary(tmp_path / "g.yaml")


# ---- signs and segments --------------------------------------------------------------------------


def test_signs() -> None:
    assert to_signs("你：好；（对）“是”……—～·、 。！？") == "你,好,'对''是'…---,.!?"
    assert to_signs("a... b,,, c ，，， d") == "a… b… c… d"


_WORDS = ["hello", "it's", "a", "好", "你好", "well,", "no -", "end.", "what?!", "'go!'", "so…"]
WORDS = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=40)


def letters(text: str) -> str:
    return "".join(text.split())


@given(WORDS, st.integers(2, 40), st.booleans())
@settings(max_examples=200, deadline=None)
def test_cutting_loses_nothing_and_keeps_to_the_limit(words: list[str], most: int, merge: bool) -> None:
    text = " ".join(words)
    parts = segment(text, len, most, merge)
    assert letters("".join(part for part, _ in parts)) == letters(text)
    assert all(len(part) <= most for part, _ in parts)
    assert parts[-1][1]


@given(WORDS, st.integers(2, 40))
@settings(max_examples=200, deadline=None)
def test_no_segment_holds_parts_of_two_sentences(words: list[str], most: int) -> None:
    for part, _ in segment(" ".join(words), len, most):
        ends = [end for end in module._END.finditer(part) if end.end() < len(part)]
        rest = [part[end.end() :].lstrip()[:1] for end in ends]
        assert all(after in "-," or ("'" in end[0] and after.islower()) for end, after in zip(ends, rest))


def test_an_apostrophe_stays_with_its_sentence_once() -> None:
    assert segment("He said 'go!' Then he left.", len, 600) == [("He said 'go!'", True), ("Then he left.", True)]
    assert segment("'go!' he said.", len, 600) == [("'go!' he said.", True)]


def test_cuts_lie_at_commas_and_not_at_the_edge() -> None:
    text = "one two three four, five six seven eight nine ten"
    assert segment(text, len, 30) == [("one two three four,", False), ("five six seven eight nine ten", True)]
    assert [part for part, _ in segment("好" * 10, len, 5)] == ["好" * 5, "好" * 5]
    assert [part for part, _ in segment("a" * 10, len, 5)] == ["a" * 5, "a" * 5]


def test_packing_is_for_those_who_ask() -> None:
    text = "One. Two. Three. Four."
    assert len(segment(text, len, 10)) == 4
    assert segment(text, len, 10, merge_sentences=True) == [("One. Two.", True), ("Three.", True), ("Four.", True)]


def test_upstream_packs_and_the_limit_counts_what_goes_before(ranks: Tokenizer) -> None:
    text = "Hello. Hello there. " * 20
    found = read(text, ranks, max_tokens=50)
    assert len(found.segments) == 40 and all(len(row.ids) <= 50 for row in found.segments)
    packed = read(text, ranks, max_tokens=50, upstream=True)
    assert len(packed.segments) < 40 and all(len(row.ids) <= 50 for row in packed.segments)


@pytest.mark.usefixtures("no_wetext")
@given(text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=80))
@settings(max_examples=150, suppress_health_check=[], deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    tokenizer = _ranks()
    try:
        found = read(text, tokenizer, max_tokens=60)
    except InputError:
        return
    assert all(row.ids and len(row.ids) <= 60 and max(row.ids) < tokenizer.size for row in found.segments)
    assert not any(number in (0, 1) for row in found.segments for number in row.ids)


_KEPT: dict[str, RankTokenizer] = {}


def _ranks() -> RankTokenizer:
    if not _KEPT:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            _KEPT["it"] = RankTokenizer(vocabularies.write_ranks(Path(folder) / "x.tiktoken"))
    return _KEPT["it"]
