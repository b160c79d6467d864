"""Turns written English into words and plain punctuation, ready for the G2P. Pure functions.

Out come letters (with accents), apostrophes and hyphens inside words, spaces, `. , ! ? ; : — … " ( )`, and a newline
between paragraphs. Normalising twice changes nothing more.

Libraries: number words come from hibari-tts (Apache-2.0; see `numbers`), transliteration from anyascii (ISC). A whole
normaliser was not found that fits: NeMo's wants pynini and compiled grammars, hibari's own has no telephone numbers,
web addresses, warnings or sentence ends, and num2words is LGPL.
"""

from __future__ import annotations

from typing import NamedTuple

from emovoice.text import abbreviations, characters, dates, quantities, signs, web


class Normalised(NamedTuple):
    """Text as it is spoken, and what could not be read as it was written."""

    text: str
    warnings: tuple[str, ...]


def normalise(text: str, *, british: bool = False) -> Normalised:
    """The text in words. British readers get 'and' in numbers and the day first in 3/4/2021."""
    text, strange = characters.fold(text)
    text = signs.read_lines(text)
    text = web.read_addresses(text)
    text = signs.lower_shouting(text)
    text = _read_figures(text, british)
    text = signs.read_signs(text)
    text, left_out = signs.drop_rest(text)
    text, broken = characters.break_long_words(signs.tidy(text))
    return Normalised(signs.close_paragraphs(text), (*strange, *left_out, *broken))


def _read_figures(text: str, british: bool) -> str:
    """Everything with digits, and abbreviations, whose dots the steps before still have to see."""
    text = quantities.join_thousands(text)
    text = dates.read_decades(dates.read_dates(text, british), british)
    text = dates.read_times(text, british)
    text = quantities.read_money(text, british)
    text = quantities.read_telephones(text)
    text = quantities.read_measures(text, british)
    text = abbreviations.read_romans(abbreviations.read_abbreviations(text))
    text = quantities.read_fractions(text, british)
    text = dates.read_years(text, british)
    return quantities.read_numbers(text, british)
