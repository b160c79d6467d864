"""Reads dates, times of day, years and decades out as words. Pure functions on text."""

from __future__ import annotations

import re

from emovoice.text import numbers

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_SHORT = {month[:3]: month for month in MONTHS} | {"Sept": "September"} | {month: month for month in MONTHS}
_MONTH = "(" + "|".join(sorted(_SHORT, key=len, reverse=True)) + r")\b(?:(?<=\b[A-Z][a-z]{2})\.|(?<=Sept)\.)?"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(1\d{3}|20\d{2})"

_ISO = re.compile(r"(?<![\w-])(\d{4})-(\d{2})-(\d{2})(?![\w-])")
_SLASHED = re.compile(r"(?<![\w/])(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})(?![\w/])")
_DOTTED = re.compile(r"(?<![\w.])(\d{1,2})\.(\d{1,2})\.(\d{4})(?!\w|\.\d)")
_MONTH_DAY = re.compile(rf"\b{_MONTH} {_DAY}\b(?![:%\d]|\.\d)(?:(,?) {_YEAR}\b)?")
_DAY_MONTH = re.compile(rf"(?:\b([Tt]he) )?(?<![\w.,:])\b{_DAY}(?: of)? {_MONTH}(?:(,?) {_YEAR}\b)?")
_MONTH_YEAR = re.compile(rf"\b{_MONTH}(,?) {_YEAR}\b")
_TIME = re.compile(
    r"(?<![\w:.])(\d{1,2})[:.](\d{2})(?::(\d{2}))?(?: ?([AaPp])\.?[Mm]\b(\.?))?(?![\w:]|\.\d)"
)
_HOUR = re.compile(r"(?<![\w:.,])(\d{1,2}) ?([AaPp])(?:\.[Mm]\b(\.?)|[Mm]\b())")
_DECADE = re.compile(r"(?<![\w.])(1[1-9]\d0|20\d0|\d0)'?s\b")
_SHORT_DECADE = re.compile(r"(?<!\w)'([1-9]0)'?s\b")
_SHORT_YEAR = re.compile(r"(?<!\w)'(\d{2})(?!['\w])")
_YEAR_RANGE = re.compile(rf"(?<![\w.,-]){_YEAR} ?[-–—] ?(\d{{4}}|\d{{2}})(?![\w-]|[.,]\d)")
_BARE_YEAR = re.compile(r"(?<![\w.,:/$£€¥+])(?<![^a-z]-)(?<!^-)(1[1-9]\d{2}|20\d{2})(?![\w%°/]|[.,:]\d)")
_STARTS_SENTENCE = re.compile(r"""\s*\Z|\s*\n|["')\]]*\s+["'(]?[A-Z]""")


def read_dates(text: str, british: bool) -> str:
    """Dates in any of the usual spellings; 3/4/2021 is month first, for British readers day first."""

    def iso(found: re.Match[str]) -> str:
        return _date(int(found[3]), int(found[2]), int(found[1]), british) or found[0]

    def slashed(found: re.Match[str]) -> str:
        first, second, year = int(found[1]), int(found[2]), _whole_year(found[3])
        day, month = (first, second) if (british and second <= 12) or first > 12 else (second, first)
        return _date(day, month, year, british) or found[0]

    def dotted(found: re.Match[str]) -> str:
        return _date(int(found[1]), int(found[2]), int(found[3]), british) or found[0]

    def month_day(found: re.Match[str]) -> str:
        month, day, comma, year = found[1], int(found[2]), found[3], found[4]
        if not 1 <= day <= 31:
            return found[0]
        return f"{_SHORT[month]} {numbers.ordinal(day, british)}" + _year_after(comma, year, british)

    def day_month(found: re.Match[str]) -> str:
        the, day, month, comma, year = found[1] or "the", int(found[2]), found[3], found[4], found[5]
        if not 1 <= day <= 31:
            return found[0]
        stop = "." if found[0].endswith(".") and _STARTS_SENTENCE.match(_rest(found)) else ""
        return f"{the} {numbers.ordinal(day, british)} of {_SHORT[month]}" + _year_after(comma, year, british) + stop

    for pattern, reading in ((_ISO, iso), (_SLASHED, slashed), (_DOTTED, dotted),
                             (_DAY_MONTH, day_month), (_MONTH_DAY, month_day)):  # fmt: skip
        text = pattern.sub(reading, text)
    return _MONTH_YEAR.sub(lambda found: _SHORT[found[1]] + _year_after(found[2], found[3], british), text)


def read_times(text: str, british: bool) -> str:
    """'3:30 p.m.' -> 'three thirty P.M', '15:05' -> 'fifteen oh five', '12:00' -> 'twelve o'clock'."""

    def time(found: re.Match[str]) -> str:
        hour, minute, second, half = int(found[1]), int(found[2]), found[3], found[4]
        dotted = found[0][len(found[1])] == "."
        if hour > 24 or minute > 59 or int(second or 0) > 59 or (dotted and not half):
            return found[0]
        words = numbers.cardinal(hour) + _minutes(minute, plain=bool(half or second))
        if second:
            unit = "second" if int(second) == 1 else "seconds"
            words += f" and {numbers.cardinal(int(second))} {unit}"
        return words + _half_day(half, found[5], _rest(found))

    def hour(found: re.Match[str]) -> str:
        if int(found[1]) > 24:
            return found[0]
        return numbers.cardinal(int(found[1])) + _half_day(found[2], found[3], _rest(found))

    text = _TIME.sub(time, text)
    return _HOUR.sub(hour, text)


def read_decades(text: str, british: bool) -> str:
    """'the 1990s' -> 'the nineteen nineties', 'the '80s', 'in her 30s'."""
    text = _SHORT_DECADE.sub(lambda found: numbers.decade(int(found[1])), text)
    return _DECADE.sub(lambda found: numbers.decade(int(found[1]), british), text)


def read_years(text: str, british: bool) -> str:
    """Ranges of years, and bare numbers of four digits from 1100 to 2099."""

    def year_range(found: re.Match[str]) -> str:
        first, second = found[1], found[2]
        last = int(second) if len(second) == 4 else int(first[:2] + second)
        if last <= int(first) or last > 2100:
            return found[0]
        return f"{numbers.year(int(first), british)} to {numbers.year(last, british)}"

    text = _YEAR_RANGE.sub(year_range, text)
    text = _SHORT_YEAR.sub(lambda found: _two_digits(int(found[1])), text)
    return _BARE_YEAR.sub(lambda found: numbers.year(int(found[1]), british), text)


def _date(day: int, month: int, year: int, british: bool) -> str | None:
    if not (1 <= day <= 31 and 1 <= month <= 12):
        return None
    name, ordinal, words = MONTHS[month - 1], numbers.ordinal(day, british), numbers.year(year, british)
    return f"the {ordinal} of {name}, {words}" if british else f"{name} {ordinal}, {words}"


def _whole_year(year: str) -> int:
    """'99' -> 1999, '21' -> 2021: two digits mean 1950 to 2049."""
    if len(year) == 4:
        return int(year)
    return int(year) + (1900 if int(year) >= 50 else 2000)


def _year_after(comma: str | None, year: str | None, british: bool) -> str:
    return f"{comma or ''} {numbers.year(int(year), british)}" if year else ""


def _minutes(minute: int, plain: bool) -> str:
    if minute == 0:
        return "" if plain else " o'clock"
    return (" oh " if minute < 10 else " ") + numbers.cardinal(minute)


def _two_digits(number: int) -> str:
    return ("oh " if number < 10 else "") + numbers.cardinal(number)


def _half_day(half: str | None, dot: str | None, rest: str) -> str:
    """' P.M', with a full stop where its own last dot also ends the sentence."""
    if not half:
        return ""
    ends = bool(dot) and _STARTS_SENTENCE.match(rest) is not None
    return f" {half.upper()}.M" + ("." if ends else "")


def _rest(found: re.Match[str]) -> str:
    """What follows a match, far enough to see whether a sentence begins."""
    return found.string[found.end() : found.end() + 40]
