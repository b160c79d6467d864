"""Text for the published models: what is written -> segments of token numbers.

    script = read("他说：“Let's go!” [pause:0.5s] 我有3个苹果。", tokenizer)
    script.segments[0].ids, script.segments[0].pause_s, script.warnings

Glossary, pauses, pronunciations, pinyin and names are set aside; the rest is read by the normaliser of its language,
mapped to the few signs that the models know, and cut at sentence ends. English is read by `emovoice.text`, Chinese and
Japanese by WeTextProcessing (the extra `wetext`); without it figures in Chinese are read one by one.

Upstream decides on one language for a whole text, packs sentences together up to the limit and so cuts at commas;
`upstream=True` does that too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from emovoice.errors import InputError, ModelError
from emovoice.indextts.tokenizers import CJK, LANGUAGES, PHONES, PINYIN, PieceTokenizer, Tokenizer
from emovoice.text import markup
from emovoice.text.characters import WORD_MARK
from emovoice.text.normalise import normalise

MAX_TOKENS = 120
"""Tokens in a segment when nothing else is asked for."""
MOST_TOKENS = 600
"""Tokens that the table of text positions has room for."""

Glossary = Mapping[str, "str | Mapping[str, str]"]
"""Term -> how it is to be read, for all languages or by language: {"AI": {"zh": "人工智能", "en": "A I"}}."""

_PAUSE = re.compile(r"(\[pause:[^\[\]\n]*\])", re.IGNORECASE)
_ANNOTATED = re.compile(r"<([^\s<>|](?:[^<>|\n]*[^\s<>|])?)\|([^<>|\n]*[^\s<>|][^<>|\n]*)>")
_SPECIAL = re.compile(r"<\|[^<>|]*\|>")
_NAME = re.compile(r"[\u4e00-\u9fff]+(?:[·•・][\u4e00-\u9fff]+){1,2}")
_FINALS = (
    "iang iong uang ang eng ing ong ian iao uai uan van üan ai an ao ei en er ia ie in iu ou ua ue ui un uo ve üe vn "
    "ün a e i o u v ü"
).replace(" ", "|")
_PINYIN = re.compile(rf"(?<![A-Za-z0-9ü])(?:[zcs]h|[bpmfdtnlgkhjqxrzcsyw])?(?:{_FINALS})[1-5](?![A-Za-z0-9])", re.I)
_JOINT = re.compile(r"(?<=[A-Za-z])-(?=[A-Za-z0-9])")
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002ffff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_ARABIC = re.compile(r"[\u0600-\u06ff]")
_LATIN_WORD = re.compile(r"[A-Za-zÀ-ɏ]+(?:['’][A-Za-z]+)*")
_FOREIGN = re.compile(rf"{CJK.pattern}+(?:[，。！？；：、“”‘’（）《》]*{CJK.pattern}+)*")
_CLAIM = re.compile(r"[^.!?。！？…\n]*[.!?。！？…]*\s*")
_IS = re.compile(r"\b(what|where|who|which|how|there|here|it|he|she|that|this)['’]s\b", re.IGNORECASE)
_SIGNS = {
    **dict.fromkeys("：；;，、:", ","), "。": ".", "！": "!", "？": "?", "·": "-", "•": "-", "・": "-", "＄": ".",
    **dict.fromkeys("‘’“”\"'「」『』（）()《》【】[]{}〈〉«»", "'"), **dict.fromkeys("—–～~", "-"), "⋯": "…",
}  # fmt: skip
_ELLIPSIS = re.compile(r"\.{3,}|,{3,}|…{2,}")
_END = re.compile(rf"[.!?…]+'*(?=\s|$|{CJK.pattern})|(?<={CJK.pattern})[.!?…]+'*(?=\w)")
_CLAUSE = re.compile(r"[,\-]'?(?=\s|$|[^\w])|,")
_ITEM = 0xF0000  # private characters, one for each thing set aside; there is room for 65,534
_MOST_ITEMS = 0xFFFD
_DIGITS = str.maketrans("0123456789", "零一二三四五六七八九")
_UPPER, _AS_IS = frozenset({"es"}), frozenset({"ar"})


@dataclass(frozen=True)
class Segment:
    """What is spoken in one go."""

    text: str
    """As it is tokenised."""
    ids: tuple[int, ...]
    """Token numbers, without START and STOP; never empty."""
    language: str
    """One of `tokenizers.LANGUAGES`."""
    pause_s: float = 0.0
    """Silence that was asked for behind it, seconds."""
    ends_sentence: bool = True
    """False where a sentence that is too long was cut."""


@dataclass(frozen=True)
class Script:
    """A whole text."""

    segments: tuple[Segment, ...]
    lead_s: float = 0.0
    """Silence that was asked for before everything, seconds."""
    warnings: tuple[str, ...] = ()


def read(
    text: str,
    tokenizer: Tokenizer,
    *,
    language: str = "auto",
    glossary: Glossary | None = None,
    max_tokens: int = MAX_TOKENS,
    merge_sentences: bool = False,
    upstream: bool = False,
) -> Script:
    """Segments of token numbers for a text.

    Args:
        text: `[pause:0.4s]` is a silence, `<word|PRONUNCIATION>` a pronunciation (pinyin, CMU phones or kana,
            IndexTTS-2.5 only), `xun2` pinyin with a tone (IndexTTS-2 only).
        tokenizer: of the model; it decides how text is dressed.
        language: "auto", or one of the model's: it then holds for all of the text.
        glossary: see `load_glossary`.
        max_tokens: most tokens in a segment, 1..600, what the tokenizer puts before the text included.
        merge_sentences: pack neighbouring sentences together while they fit.
        upstream: one language for the whole text, and packed sentences.

    Raises:
        InputError: a wrong pause, an unknown language, a number out of range, or nothing to say.
    """
    if not 1 <= max_tokens <= MOST_TOKENS:
        raise InputError(f"a segment has 1 to {MOST_TOKENS} tokens", field="max_tokens", value=max_tokens,
                         remedy=f"The usual number is {MAX_TOKENS}")  # fmt: skip
    if language != "auto" and language not in LANGUAGES:
        raise InputError("no such language", field="language", value=language,
                         remedy=f"Use auto or one of {', '.join(LANGUAGES[:14])}, ...")  # fmt: skip
    reader = _Reader(tokenizer, language, glossary or {}, upstream)
    segments: list[Segment] = []
    lead_s = 0.0
    for index, piece in enumerate(_PAUSE.split(text)):
        if index % 2:
            pause_s = markup.parse(piece).pauses_s[0]
            if segments:
                segments[-1] = _with_pause(segments[-1], pause_s)
            else:
                lead_s += pause_s
            continue
        for paragraph in piece.splitlines():
            segments += reader.segments(paragraph, max_tokens, merge_sentences or upstream)
    if not segments:
        raise InputError("the text has nothing to speak", field="text", value=text[:40],
                         remedy="Give at least one word")  # fmt: skip
    return Script(tuple(segments), lead_s, tuple(reader.warnings))


def load_glossary(path: Path | str) -> Glossary:
    """The glossary of a YAML file: `term: reading`, or `term: {zh: reading, en: reading}`.

    Raises:
        ModelError: the file is missing or no YAML.
        InputError: it holds anything but terms and readings.
    """
    import yaml

    try:
        loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"the glossary cannot be read: {str(error).splitlines()[0]}", field="glossary",
                         value=str(path), remedy="Check the file") from error  # fmt: skip
    loaded = {} if loaded is None else loaded
    if not isinstance(loaded, dict) or not all(_is_entry(term, entry) for term, entry in loaded.items()):
        raise InputError("a glossary has lines 'term: reading' or 'term: {zh: reading, en: reading}'",
                         field="glossary", value=str(path), remedy="Put numbers and yes/no in quotes")  # fmt: skip
    return loaded


def segment(
    text: str, count: Callable[[str], int], max_tokens: int = MAX_TOKENS, merge_sentences: bool = False
) -> list[tuple[str, bool]]:
    """Cuts prepared text into (segment, whether a sentence ends with it). Pure.

    A segment never has parts of two sentences unless `merge_sentences`; a closing quotation mark stays with its
    sentence. A sentence of more than `max_tokens` is cut near its middle at a comma or dash, else at a space or between
    Chinese characters, again and again. A single word that is too long is cut anywhere.
    """
    sentences = _sentences(text)
    if merge_sentences:
        sentences = _packed(sentences, count, max_tokens)
    cut = []
    for sentence in sentences:
        parts = _fit(sentence, count, max_tokens)
        cut += [(part, part is parts[-1]) for part in parts]
    return cut


def to_signs(text: str) -> str:
    """The signs that both models know: . , ! ? … ' and -, in place of all others that stand for a pause or a quote."""
    text = "".join(_SIGNS.get(character, character) for character in text)
    text = _ELLIPSIS.sub("…", text)
    return " ".join(re.sub(r" +([.,!?…])", r"\1", text).split())


class _Reader:
    """Reads paragraph by paragraph and gathers what there is to warn of."""

    def __init__(self, tokenizer: Tokenizer, language: str, glossary: Glossary, upstream: bool) -> None:
        self._tokenizer = tokenizer
        self._by_pieces = isinstance(tokenizer, PieceTokenizer)
        self._language = language
        self._glossary = glossary
        self._upstream = upstream
        self.warnings: dict[str, None] = {}

    def segments(self, paragraph: str, max_tokens: int, merge: bool) -> list[Segment]:
        """The segments of a paragraph; none when there is nothing to say in it."""
        kept: list[str] = []
        prepared, language = self._prepare(paragraph, kept)

        def spoken(part: str) -> tuple[str, str]:
            own = self._language_of_part(part, language)
            return self._dress(part, own, kept), own

        found = []
        for part, ends in segment(prepared, lambda part: len(self._tokenizer.encode(*spoken(part))), max_tokens, merge):
            if not any(character.isalnum() or ord(character) >= _ITEM for character in part):
                continue
            said, own = spoken(part)
            if lacking := self._tokenizer.unknown(said):
                self._warn(f"characters that the model does not know were left out: {' '.join(lacking[:12])}")
            if ids := tuple(self._tokenizer.encode(said, own)):
                found.append(Segment(said, ids, own, ends_sentence=ends))
        return found

    def _language_of_part(self, part: str, language: str) -> str:
        """Chinese and English take turns within a paragraph; the other languages do not."""
        if self._upstream or self._language != "auto" or language not in ("zh", "en"):
            return language
        return _sentence_language(part) or language

    def _warn(self, message: str) -> None:
        self.warnings[message] = None

    def _prepare(self, text: str, kept: list[str]) -> tuple[str, str]:
        """The paragraph in words and signs, with private characters for what was set aside, and its language."""
        text = "".join(character for character in text if ord(character) < _ITEM and character != WORD_MARK)
        language = self._language if self._language != "auto" else _language_of(text, self._upstream)
        text = _glossed(text, self._glossary, "zh" if _HAN.search(text) else "en")
        text = self._set_aside(text, language, kept)
        if language in ("zh", "en"):
            read = "".join(self._read_run(run, run_language) for run, run_language in self._runs(text, language))
        else:
            read = self._read_other(text, language)
        return to_signs(self._without_pictures(read)), language

    def _set_aside(self, text: str, language: str, kept: list[str]) -> str:
        """Put one private character for each pronunciation, pinyin syllable and name with a dot."""

        def keep(spoken: str) -> str:
            if len(kept) >= _MOST_ITEMS:
                raise InputError("too many pronunciations in one paragraph", field="text", value=len(kept),
                                 remedy="Break it into paragraphs")  # fmt: skip
            kept.append(spoken)
            return chr(_ITEM + len(kept) - 1)

        text = _ANNOTATED.sub(lambda found: self._annotated(found[1], found[2], keep), text)
        text = _SPECIAL.sub(" ", text)
        if self._by_pieces and (CJK.search(text) or _is_pinyin_only(text)):
            text = _PINYIN.sub(lambda found: keep(pinyin_piece(found[0])), text)
        if language == "zh":
            text = _NAME.sub(lambda found: keep(to_signs(found[0])), text)
        return text

    def _annotated(self, word: str, pronunciation: str, keep: Callable[[str], str]) -> str:
        if self._by_pieces:
            if CJK.search(word) and _PINYIN.fullmatch(pronunciation.strip()):
                return keep(pinyin_piece(pronunciation.strip()))
            self._warn(f"IndexTTS-2 takes no pronunciations but pinyin: '{word}' is read as it is written")
            return word
        if _KANA.search(pronunciation):
            return keep(pronunciation.strip())
        around = PINYIN if _HAN.search(word) else PHONES
        return keep(f"{around}{pronunciation.strip().upper()}{around}")

    def _runs(self, text: str, language: str) -> list[tuple[str, str]]:
        """Neighbouring sentences of one language; each has that of most of its words."""
        if self._upstream or self._language != "auto":
            return [(text, language)]
        runs: list[tuple[str, str]] = []
        for claim in _CLAIM.findall(text):
            own = _sentence_language(claim) or (runs[-1][1] if runs else language)
            if runs and runs[-1][1] == own:
                runs[-1] = (runs[-1][0] + claim, own)
            elif claim:
                runs.append((claim, own))
        return runs

    def _read_run(self, run: str, language: str) -> str:
        if not any(character.isalnum() for character in run):
            return run
        if language == "zh":
            return self._read_chinese(_IS.sub(r"\1 is", run))
        return self._read_english(_IS.sub(r"\1 is", run))

    def _read_english(self, run: str) -> str:
        """English words by our own normaliser; Chinese words among them as such."""
        aside: list[str] = []

        def keep(found: re.Match[str]) -> str:
            aside.append(self._read_chinese(found[0]) if CJK.search(found[0]) else found[0])
            return f" {WORD_MARK} "

        masked = re.sub(rf"{_FOREIGN.pattern}|[{chr(_ITEM)}-{chr(_ITEM + _MOST_ITEMS)}]", keep, run)
        read = normalise(masked)
        for warning in read.warnings:
            self._warn(warning)
        if read.text.count(WORD_MARK) != len(aside):
            raise InputError("the text could not be put into words", field="text", value=run[:40],
                             remedy="Write it in simpler signs")  # fmt: skip
        back = iter(aside)
        spoken = re.sub(WORD_MARK, lambda _: next(back), read.text).replace("\n", " ").strip()
        if spoken.endswith(".") and not run.rstrip().endswith((".", "…")):
            spoken = spoken[:-1]  # the normaliser closes paragraphs, of which this may be a piece
        return _edges(run, spoken)

    def _read_chinese(self, run: str) -> str:
        run = unicodedata.normalize("NFC", run)
        if wetext := _wetext("zh"):
            # GPT-4 is not GPT minus four
            return _edges(run, wetext(_JOINT.sub(WORD_MARK, run)).replace(WORD_MARK, "-"))
        if re.search(r"\d", run):
            self._warn("figures in Chinese are read one by one; install emovoice[wetext] to have numbers read")
        return run.translate(_DIGITS)

    def _read_other(self, text: str, language: str) -> str:
        if language == "ja":
            return self._read_japanese(text)
        if re.search(r"\d", text):
            self._warn(f"figures in {language} text are not put into words; write them out")
        return text

    def _read_japanese(self, text: str) -> str:
        if wetext := _wetext("ja"):
            text = _edges(text, wetext(text))
        split = _japanese_words()
        if split is None:
            self._warn("Japanese is read best with its words apart; install fugashi and unidic-lite")
            return text
        return " ".join(split(text))

    def _without_pictures(self, text: str) -> str:
        """The text without emoji and control characters, with a warning."""
        strange = {
            character for character in text
            if ord(character) < _ITEM and unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Cn", "So", "Sk")
        }  # fmt: skip
        if shown := " ".join(sorted(character for character in strange if unicodedata.category(character) == "So")):
            self._warn(f"emoji or signs without a reading were left out: {shown}")
        return text.translate(dict.fromkeys(map(ord, strange), " ")) if strange else text

    def _dress(self, text: str, language: str, kept: list[str]) -> str:
        """The case that the model was trained on, and what was set aside back in its place."""
        if self._by_pieces or language in _UPPER:
            text = text.upper()
        elif language not in _AS_IS:
            text = text.lower()
        return " ".join("".join(_put_back(text, kept)).split())


def pinyin_piece(syllable: str) -> str:
    """A pinyin syllable as IndexTTS-2 spells it: upper case, ü as V, also where it is written u (ju4 -> JV4)."""
    upper = syllable.upper().replace("Ü", "V")
    return f"{upper[0]}V{upper[2:]}" if upper[0] in "JQX" and upper[1] == "U" else upper


def _put_back(text: str, kept: list[str]) -> Iterator[str]:
    for character in text:
        index = ord(character) - _ITEM
        if not 0 <= index < len(kept):
            yield character
        elif _PINYIN.fullmatch(kept[index]):
            yield f" {kept[index]} "  # a piece of its own
        else:
            yield kept[index]


def _language_of(text: str, upstream: bool = False) -> str:
    """The language of a whole paragraph. Upstream takes what has no Latin letter for Chinese."""
    if _KANA.search(text):
        return "ja"
    if _ARABIC.search(text):
        return "ar"
    if _HAN.search(text) or (upstream and not _LATIN_WORD.search(text)):
        return "zh"
    return "en"


def _sentence_language(sentence: str) -> str | None:
    """Chinese if it has at least as many Chinese characters as Latin words; None if it has neither."""
    chinese, latin = len(_HAN.findall(sentence)), len(_LATIN_WORD.findall(sentence))
    if not chinese and not latin:
        return None
    return "zh" if chinese >= latin else "en"


def _is_pinyin_only(text: str) -> bool:
    """Whether all words are pinyin with tones. In other Latin text A4 is a size of paper."""
    words = re.findall(r"[A-Za-zü]+\d*|\d+", text)
    return bool(words) and all(_PINYIN.fullmatch(word) for word in words) and len(words) > 1


def _glossed(text: str, glossary: Glossary, language: str) -> str:
    """Terms replaced by their readings, the longest first, in any case, whole words where they are Latin."""
    readings = {
        term.casefold(): entry if isinstance(entry, str) else entry.get(language, "")
        for term, entry in glossary.items()
    }
    terms = sorted((term for term, reading in readings.items() if term and reading), key=len, reverse=True)
    if not terms:
        return text
    pattern = "|".join(
        (r"(?<![A-Za-z0-9])" if term[0].isascii() and term[0].isalnum() else "")
        + re.escape(term)
        + (r"(?![A-Za-z0-9])" if term[-1].isascii() and term[-1].isalnum() else "")
        for term in terms
    )
    return re.sub(pattern, lambda found: readings.get(found[0].casefold(), found[0]), text, flags=re.IGNORECASE)


def _is_entry(term: Any, entry: Any) -> bool:
    if isinstance(entry, dict):
        return isinstance(term, str) and all(
            isinstance(language, str) and isinstance(reading, str) for language, reading in entry.items()
        )
    return isinstance(term, str) and isinstance(entry, str)


def _edges(before: str, after: str) -> str:
    """`after` with the spaces that `before` begins and ends with, so that runs do not grow together."""
    return (" " if before[:1].isspace() else "") + after.strip() + (" " if before[-1:].isspace() else "")


def _with_pause(found: Segment, pause_s: float) -> Segment:
    return Segment(found.text, found.ids, found.language, found.pause_s + pause_s, found.ends_sentence)


@cache
def _wetext(language: str) -> Callable[[str], str] | None:
    """WeTextProcessing's reader for zh or ja; None where it is not installed."""
    try:
        from wetext import Normalizer
    except ImportError:
        return None
    normaliser = Normalizer(lang=language, operator="tn", remove_erhua=False)
    return lambda text: str(normaliser.normalize(text))


@cache
def _japanese_words() -> Callable[[str], Iterable[str]] | None:
    """Splits Japanese into words; None where fugashi is not installed."""
    try:
        import fugashi

        tagger = fugashi.Tagger()
    except (ImportError, RuntimeError):
        return None
    return lambda text: [word.surface for word in tagger(text)]


# ---- segments ------------------------------------------------------------------------------------


def _sentences(text: str) -> list[str]:
    found, start = [], 0
    for end in _END.finditer(text):
        after = text[end.end() :].lstrip()
        if after[:1] in ("-", ",") or ("'" in end[0] and after[:1].islower()):
            continue  # 'Stop!' he said. 'Stop!' - and he left
        found.append(text[start : end.end()].strip())
        start = end.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def _packed(sentences: list[str], count: Callable[[str], int], max_tokens: int) -> list[str]:
    packed: list[str] = []
    for sentence in sentences:
        if packed and count(together := f"{packed[-1]} {sentence}") <= max_tokens:
            packed[-1] = together
        else:
            packed.append(sentence)
    return packed


def _fit(text: str, count: Callable[[str], int], max_tokens: int) -> list[str]:
    """The text in parts of at most `max_tokens`; single characters stay whole."""
    if len(text) < 2 or count(text) <= max_tokens:
        return [text]
    cut = _best_cut(text)
    halves = (text[:cut].strip(), text[cut:].strip())
    return [part for half in halves if half for part in _fit(half, count, max_tokens)]


def _best_cut(text: str) -> int:
    """Where to cut in two: at the clause end nearest to the middle, if it is not too far off; else at a space or
    between Chinese characters; else in the middle."""
    middle, low, high = len(text) / 2, len(text) * 0.2, len(text) * 0.8
    clauses = [found.end() for found in _CLAUSE.finditer(text) if low <= found.end() <= high]
    if clauses:
        return min(clauses, key=lambda cut: abs(cut - middle))
    gaps = [
        at for at in range(1, len(text))
        if text[at].isspace() or (CJK.match(text[at]) and not text[at - 1].isascii())
    ]  # fmt: skip
    return min(gaps, key=lambda cut: abs(cut - middle)) if gaps else len(text) // 2
