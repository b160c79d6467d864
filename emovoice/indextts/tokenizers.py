"""The two text tokenizers of the published models: text as it is prepared by `text` -> numbers.

IndexTTS-2 has a SentencePiece model of 12,000 pieces (`bpe.model`), upper case, a piece for each Chinese character and
each pinyin syllable with tone, none for figures. IndexTTS-2.5 has 58,836 byte-level ranks in tiktoken's format and
1,673 special tokens behind them.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Any, Literal, Protocol

from emovoice.errors import InputError, ModelError

START, STOP = 0, 1
"""Token numbers that open and close every text. The model's prefix builder removes them inside a text."""

LANGUAGES = tuple(
    # The order of Whisper's vocabulary (MIT), then what was added. A language's place is its row in lang_embedding.
    """en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml
    cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am yi
    lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su
    yue minnan wuyu dialect zh/en en/zh common""".split()
)
"""The languages of IndexTTS-2.5. Only the first 99 have a token of their own."""

_LANGUAGE_TOKENS = 99
_SPECIAL = (
    "endoftext", "startoftranscript", *LANGUAGES[:_LANGUAGE_TOKENS],
    "ASR", "AED", "SER", "Speech", "/Speech", "BGM", "/BGM", "Laughter", "/Laughter", "Applause", "/Applause",
    "HAPPY", "SAD", "ANGRY", "NEUTRAL",
    "translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps",
    *(f"SPECIAL_TOKEN_{number}" for number in range(1, 31)),
    "TTS/B", "TTS/O", "TTS/Q", "TTS/A", "TTS/CO", "TTS/CL", "TTS/H",
    *(f"TTS/SP{number:02d}" for number in range(1, 14)),
    *(f"{step * 0.02:.2f}" for step in range(1501)),
)  # fmt: skip
SPECIAL_TOKENS = tuple(f"<|{name}|>" for name in _SPECIAL)
"""Special tokens of IndexTTS-2.5 in the order in which they follow the ranks."""

PHONES, PINYIN = "<|SPECIAL_TOKEN_1|>", "<|SPECIAL_TOKEN_2|>"
"""What stands around a pronunciation: of a word in CMU phones, of a Chinese word in pinyin."""

_PRE_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"  # GPT-2's
_CJK = "\u1100-\u11ff\u2e80-\ua4cf\ua840-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff65-\uffdc\U00020000-\U0002ffff"
CJK = re.compile(f"[{_CJK}]")
"""A Chinese, Japanese or Korean character, or a full-width sign."""
_CJK_RUN = re.compile(f"([{_CJK}])")
_WORD_START = "\u2581"  # what SentencePiece writes for the space before a word
_SIGNS = ".,!?…'-"

Marks = Literal["spaced", "raw", "upstream"]


class Tokenizer(Protocol):
    """Turns prepared text into token numbers."""

    size: int
    """How many different numbers there are."""

    def encode(self, text: str, language: str = "common") -> list[int]:
        """Token numbers of a text, without START and STOP around it."""

    def unknown(self, text: str) -> str:
        """Characters that the vocabulary does not have, each once."""


class PieceTokenizer:
    """The SentencePiece tokenizer of IndexTTS-2.

    Args:
        path: `bpe.model`.
        keep_unknown: give the number of the unknown piece for characters that the vocabulary lacks, as upstream
            does. The default leaves them out: what the model says for that piece is noise.

    Raises:
        ModelError: the file is missing, damaged, or its first two pieces are not `<s>` and `</s>`.
    """

    def __init__(self, path: Path | str, *, keep_unknown: bool = False) -> None:
        from sentencepiece import SentencePieceProcessor

        try:
            self._model: Any = SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise _unreadable(Path(path), error) from error
        first = [self._model.id_to_piece(number) for number in range(min(2, self._model.get_piece_size()))]
        if first != ["<s>", "</s>"]:
            raise ModelError(f"the first pieces are {first}, not <s> and </s>", field="file", value=str(path),
                             remedy="Use the published bpe.model")  # fmt: skip
        self.size: int = self._model.get_piece_size()
        self._unknown: int = self._model.unk_id()
        self._keep_unknown = keep_unknown
        self._close_up = "" if keep_unknown else "".join(filter(self._only_behind_letters, _SIGNS))

    def encode(self, text: str, language: str = "common") -> list[int]:
        """Token numbers of a text; the language plays no part."""
        numbers: list[int] = self._model.encode(piece_text(text, self._close_up), out_type=int)
        return [number for number in numbers if self._keep_unknown or number != self._unknown]

    def pieces(self, text: str) -> list[str]:
        """The pieces a text is made of."""
        return [str(piece) for piece in self._model.encode(piece_text(text, self._close_up), out_type=str)]

    def unknown(self, text: str) -> str:
        """Characters that the vocabulary does not have, each once."""
        numbers = self._model.encode(piece_text(text, self._close_up), out_type=int)
        lacking = (piece for number, piece in zip(numbers, self.pieces(text)) if number == self._unknown)
        return "".join(dict.fromkeys("".join(lacking).replace(_WORD_START, "")))

    def _only_behind_letters(self, sign: str) -> bool:
        """Whether a sign has a piece, but none with a space before. That of the published model is `!`."""
        alone, spaced = (self._model.piece_to_id(piece) for piece in (sign, _WORD_START + sign))
        return bool(alone != self._unknown and spaced == self._unknown)


class RankTokenizer:
    """The tiktoken tokenizer of IndexTTS-2.5.

    `!` and `"` have the numbers 0 and 1, which are also START and STOP, and the prefix builder removes those: upstream
    never says an exclamation mark. `marks` chooses what becomes of them:

    - `spaced` (default): the tokens of `!` and `"` with a space before, which have numbers of their own and which the
      model saw in texts that put a space there;
    - `raw`: 0 and 1, for a prefix builder that keeps them;
    - `upstream`: gone.

    Args:
        path: the `.tiktoken` file: a line for each rank, base64 and number.

    Raises:
        ModelError: the file is missing or damaged.
    """

    def __init__(self, path: Path | str, *, marks: Marks = "spaced") -> None:
        import tiktoken

        if marks not in ("spaced", "raw", "upstream"):
            raise InputError("no such treatment of marks", field="marks", value=marks,
                             remedy="Use spaced, raw or upstream")  # fmt: skip
        ranks = _ranks(Path(path))
        special = {token: len(ranks) + index for index, token in enumerate(SPECIAL_TOKENS)}
        self._encoding = tiktoken.Encoding(
            name=Path(path).stem, pat_str=_PRE_SPLIT, mergeable_ranks=ranks, special_tokens=special
        )
        self.size: int = len(ranks) + len(special)
        self._special = special
        self._marks: dict[int, int | None] = {}
        if marks != "raw":
            for number in (START, STOP):
                spaced = ranks.get(b" " + self._encoding.decode_single_token_bytes(number))
                self._marks[number] = spaced if marks == "spaced" else None

    def encode(self, text: str, language: str = "common") -> list[int]:
        """Token numbers of a text, with the token of its language before.

        Of special tokens in the text only those around pronunciations are read as such.
        """
        lead = f"<|{language}|>"
        body = f" {text}" if lead in self._special else f"{lead} {text}"
        numbers = self._encoding.encode(body, allowed_special={PHONES, PINYIN}, disallowed_special=())
        kept = (self._marks.get(number, number) for number in numbers)
        head = [self._special[lead]] if lead in self._special else []
        return head + [number for number in kept if number is not None]

    def decode(self, numbers: list[int]) -> str:
        """The text behind token numbers, special tokens as they are written."""
        return str(self._encoding.decode(numbers))

    def unknown(self, text: str) -> str:
        """Nothing: every byte has a token."""
        return ""


def language_number(language: str) -> int:
    """The row of a language in `lang_embedding`; that of `common` for one that is not known."""
    return LANGUAGES.index(language) if language in LANGUAGES else LANGUAGES.index("common")


def piece_text(text: str, close_up: str = "") -> str:
    """Text as the pieces of IndexTTS-2 were trained on it: upper case, spaces around each Chinese character.

    `close_up`: signs that lose the space before them. In Chinese text signs stand alone as characters do.
    """
    spaced = " ".join(_CJK_RUN.sub(r" \1 ", text).split())
    if close_up:
        spaced = re.sub(rf" (?=[{re.escape(close_up)}])", "", spaced)
    return spaced.upper()


def _ranks(path: Path) -> dict[bytes, int]:
    """Token bytes -> rank. tiktoken's own reader is not used: it looks for a cache and may reach for the network."""
    try:
        rows = [line.split() for line in path.read_bytes().splitlines() if line.strip()]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in rows}
    except (OSError, ValueError, binascii.Error) as error:
        raise _unreadable(path, error) from error
    if sorted(ranks.values()) != list(range(len(rows))) or len(rows) < 2:
        raise ModelError("the ranks do not count from 0 without a gap", field="file", value=str(path),
                         remedy="Download it again: emovoice models pull")  # fmt: skip
    return ranks


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(f"the vocabulary cannot be read: {str(error).splitlines()[0] if str(error) else error!r}",
                      field="file", value=str(path), remedy="Download it again: emovoice models pull")  # fmt: skip
