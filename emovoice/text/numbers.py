"""Number words: cardinals, ordinals, decimals, years, digit strings, roman numerals.

The words come from hibari-tts' number module (Apache-2.0), which the G2P brings along anyway. `inflect` (MIT) was
tried and takes 1.8 s to import, num2words is LGPL.
"""

from __future__ import annotations

import re
from functools import lru_cache

from emovoice.text import _hibari

NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
"""Pattern of an unsigned number with optional thousands separators and decimals."""
BEFORE = r"(?<![\w.,])"
"""Pattern: no number or word goes on to the left."""
AFTER = r"(?![\w]|[.,:/]\d)"
"""Pattern: no number or word goes on to the right."""

MAX_CARDINAL_DIGITS = 15
"""Longer integers are read digit by digit."""

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_ROMAN = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})\Z")
_DENOMINATORS = {2: ("half", "halves"), 4: ("quarter", "quarters")}


def digits(text: str) -> str:
    """'4071' -> 'four zero seven one'; everything but ASCII digits is passed over."""
    return " ".join(_DIGITS[int(character)] for character in text if character in "0123456789")


@lru_cache(maxsize=4096)
def cardinal(number: int, british: bool = False) -> str:
    """Number words without commas: British with 'and' ('one hundred and one'), American without."""
    if abs(number) >= 10**MAX_CARDINAL_DIGITS:
        return ("minus " if number < 0 else "") + digits(str(abs(number)))
    return _words(str(_hibari.submodule("numbers").cardinal(number)), british)


@lru_cache(maxsize=4096)
def ordinal(number: int, british: bool = False) -> str:
    """'twenty-third'; numbers of 0 and above."""
    if number >= 10**MAX_CARDINAL_DIGITS:
        return digits(str(number)) + "th"
    return _words(str(_hibari.submodule("numbers").ordinal(number)), british)


@lru_cache(maxsize=4096)
def year(number: int, british: bool = False) -> str:
    """1984 -> 'nineteen eighty-four', 1905 -> 'nineteen oh five', 2005 -> 'two thousand five'."""
    return _words(str(_hibari.submodule("numbers").year(number)).replace("oh-", "oh "), british)


def decade(number: int, british: bool = False) -> str:
    """1990 -> 'nineteen nineties', 1900 -> 'nineteen hundreds', 80 -> 'eighties'."""
    words = cardinal(number, british) if number < 100 else year(number, british)
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def spoken(number: str, british: bool = False) -> str:
    """Words for a written number: '1,234' , '3.14', '.5', '007'. Leading zeros are read digit by digit."""
    whole, point, fraction = number.replace(",", "").partition(".")
    if len(whole) > MAX_CARDINAL_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        words = digits(whole)
    else:
        words = cardinal(int(whole), british) if whole else ""
    return f"{words} point {digits(fraction)}".strip() if point else words


def fraction(numerator: int, denominator: int, british: bool = False) -> str:
    """3, 4 -> 'three quarters'; 1, 2 -> 'one half'."""
    one, many = _DENOMINATORS.get(denominator, ("", ""))
    if not one:
        one = ordinal(denominator, british)
        many = one + "s"
    return f"{cardinal(numerator, british)} {one if numerator == 1 else many}"


def roman(numeral: str) -> int | None:
    """The value of a well-formed roman numeral in capitals, else None."""
    if not numeral or not _ROMAN.match(numeral):
        return None
    values = [_ROMAN_VALUES[letter] for letter in numeral]
    pairs = zip(values, values[1:] + [0], strict=True)
    return sum(-value if value < following else value for value, following in pairs)


def is_one(number: str) -> bool:
    """Whether a unit after the written number stands in the singular."""
    return number.replace(",", "").lstrip("-") == "1"


def _words(words: str, british: bool) -> str:
    words = words.replace(",", "")
    return words if british else words.replace(" and ", " ")
