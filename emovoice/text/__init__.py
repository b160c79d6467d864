"""Text to sentences of phonemes: markup, normalising, sentence ends, pronunciation.

    reading = read("Dr. Smith paid $5. [pause:0.4s] <Nguyen|W IH1 N> didn't!")
    reading.sentences[0].phonemes, reading.warnings

Importing this package is cheap; dictionaries are loaded by the first `read`.
"""

from __future__ import annotations

from collections.abc import Iterator

from emovoice.errors import InputError
from emovoice.text.markup import Accent
from emovoice.text.sentence import Reading, Sentence

__all__ = ["Accent", "Reading", "Sentence", "read"]


def read(text: str, *, accent: Accent = "us") -> Reading:
    """What is said for a text, as sentences of phonemes with pauses, and what could not be read as written.

    `[pause:0.4s]` (or `ms`, 0 to 10 s) is a silence, `<word|PHONEMES>` a pronunciation (see `markup.phonemes`).
    Raises InputError for text without anything to say, a wrong accent, pause or pronunciation.
    """
    from emovoice.text import g2p, markup, normalise, segment

    if accent not in ("us", "gb"):
        raise InputError("no such accent", field="accent", value=accent, remedy="Use us or gb")
    if not isinstance(text, str):
        raise InputError("the text must be a string", field="text", value=type(text).__name__)
    if not text.strip():
        raise InputError("the text is empty", field="text", value=text[:40], remedy="Give at least one word")
    marked = markup.parse(text, accent)
    spoken = normalise.normalise(marked.text, british=accent == "gb")
    if not any(character.isalpha() for character in spoken.text) and not marked.words:
        raise InputError(
            "the text has no letters or figures to speak", field="text", value=text[:40],
            remedy="Give at least one word",
        )  # fmt: skip
    speller, words, pauses_s = g2p.speller(accent), iter(marked.words), iter(marked.pauses_s)

    def parts() -> Iterator[list[g2p.Token]]:
        for sentence in segment.split(spoken.text):
            yield from segment.fit(speller.tokens(sentence, words))

    sentences = tuple(segment.build(tokens, pauses_s) for tokens in segment.join_short(parts()))
    return Reading(sentences, spoken.warnings)
