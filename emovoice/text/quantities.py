"""Reads money, measures, fractions, ranges, telephone and plain numbers. Pure functions on text."""

from __future__ import annotations

import re

from emovoice.text import numbers
from emovoice.text.numbers import AFTER, BEFORE, NUMBER

_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"), "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"), "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"), "₩": ("won", "won", "jeon", "jeon"),
}  # fmt: skip
_CODES = {"USD": "$", "US$": "$", "GBP": "£", "EUR": "€", "JPY": "¥", "INR": "₹", "KRW": "₩"}
_SCALES = {
    "k": "thousand", "m": "million", "mn": "million", "mio": "million", "b": "billion", "bn": "billion",
    "tn": "trillion",
}  # fmt: skip
_SCALE = r"(?: ?(thousand|million|billion|trillion)\b|(k|K|mn|mio|bn|tn|m|M|b|B)\b)?"
_SIGN = r"(?:US\$|[$£€¥₹₩])"

_UNIT_NAMES = {
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "m": "meter", "µm": "micrometer",
    "nm": "nanometer", "kg": "kilogram", "g": "gram", "mg": "milligram", "µg": "microgram", "lb": "pound",
    "lbs": "pound", "oz": "ounce", "ft": "foot|feet", "yd": "yard", "yds": "yard", "mi": "mile",
    "mph": "mile per hour|miles per hour", "kph": "kilometer per hour|kilometers per hour",
    "km/h": "kilometer per hour|kilometers per hour", "km/s": "kilometer per second|kilometers per second",
    "m/s": "meter per second|meters per second", "Hz": "hertz|hertz", "kHz": "kilohertz|kilohertz",
    "MHz": "megahertz|megahertz", "GHz": "gigahertz|gigahertz", "kB": "kilobyte", "KB": "kilobyte",
    "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte", "Mbps": "megabit per second|megabits per second",
    "Gbps": "gigabit per second|gigabits per second", "ml": "milliliter", "mL": "milliliter",
    "cl": "centiliter", "l": "liter", "L": "liter", "gal": "gallon", "W": "watt", "kW": "kilowatt",
    "MW": "megawatt", "GW": "gigawatt", "kWh": "kilowatt hour", "V": "volt", "kV": "kilovolt",
    "mA": "milliamp", "dB": "decibel", "s": "second", "ms": "millisecond", "µs": "microsecond",
    "ns": "nanosecond", "sec": "second", "secs": "second", "min": "minute", "mins": "minute", "h": "hour",
    "hr": "hour", "hrs": "hour", "ha": "hectare", "m²": "square meter", "km²": "square kilometer",
    "cm²": "square centimeter", "m³": "cubic meter", "cm³": "cubic centimeter",
    "sq ft": "square foot|square feet", "px": "pixel", "Pa": "pascal", "hPa": "hectopascal",
    "kPa": "kilopascal", "kcal": "kilocalorie", "kJ": "kilojoule", "kΩ": "kilohm", "Ω": "ohm",
    "rpm": "revolution per minute|revolutions per minute", "fps": "frame per second|frames per second",
    "t": "ton", "tsp": "teaspoon", "tbsp": "tablespoon", "°C": "degree Celsius|degrees Celsius",
    "°F": "degree Fahrenheit|degrees Fahrenheit", "°": "degree", "%": "percent|percent",
    "‰": "per mille|per mille",
}  # fmt: skip
"""One and, behind the bar where it is not merely an s, many."""
UNITS = {
    unit: (one, many or one + "s")
    for unit, (one, _, many) in ((unit, names.partition("|")) for unit, names in _UNIT_NAMES.items())
}
"""Unit as written -> (singular, plural)."""
_UNIT = "(" + "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True)) + r")(?![\w²³])"
_DOTTED_UNIT = r"(?:\b(km|cm|mm|kg|lb|lbs|oz|ft|yd|mi|in|hr|hrs|min|mins|sec|secs|gal|tsp|tbsp)\.)"

_VULGAR = {
    "½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5",
    "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip

_MONEY = re.compile(
    rf"(?<![\w$£€])([-–]?)({_SIGN}) ?({NUMBER})(?:([-–])({_SIGN}?)({NUMBER}))?{_SCALE}(?![\w])"
)
_MONEY_BEHIND = re.compile(rf"(?<![\w.,])([-–]?)({NUMBER}){_SCALE} ?([€£₹¥]|(?:USD|GBP|EUR|JPY|INR|KRW)\b)")
_MONEY_CODE = re.compile(rf"\b(USD|GBP|EUR|JPY|INR|KRW) ?({NUMBER}){_SCALE}{AFTER}")
_CENTS = re.compile(rf"{BEFORE}({NUMBER}) ?¢")
_PENCE = re.compile(r"(?<![\w.,])(\d{1,2})p\b")
_HEIGHT = re.compile(r"""(?<![\w.])(\d{1,2}) ?(?:'|ft) ?(\d{1,2}) ?(?:"|''|in\b)""")
_UNIT_RANGE = re.compile(rf"{BEFORE}({NUMBER}) ?(?:%|°[CF]?)? ?(?:[-–—]|to) ?({NUMBER})[ -]?{_UNIT}")
_MEASURE = re.compile(rf"(?<![\w.,])([-–]?)({NUMBER})[ ]?(?:{_DOTTED_UNIT}|{_UNIT})")
_MEASURE_HYPHEN = re.compile(rf"(?<![\w.,])({NUMBER})-{_UNIT}")
_PER = re.compile(
    r"(?<=[a-z])/(day|week|month|year|hour|hr|h|min|minute|s|sec|second|kg|km|m|l|L|ml|person|night)\b"
)
_PER_NUMBER = re.compile(rf"(?<=[a-zA-Z])/(?={NUMBER} ?[a-zA-Z])")
_PER_NAMES = {
    "hr": "hour", "h": "hour", "min": "minute", "s": "second", "sec": "second", "kg": "kilogram",
    "km": "kilometer", "m": "meter", "l": "liter", "L": "liter", "ml": "milliliter",
}  # fmt: skip
_VULGAR_SIGN = re.compile("(?:(\\d) ?)?([" + "".join(_VULGAR) + "])")
_MIXED = re.compile(r"(?<![\w.,/])(\d{1,3}) (\d)/(\d{1,2})(?![\w/]|[.,]\d)")
_FRACTION = re.compile(r"(?<![\w.,/])(\d{1,3})/(\d{1,4})(?![\w/]|[.,]\d)")
_FIXED = {
    "24/7": "twenty-four seven",
    "9/11": "nine eleven",
    "50/50": "fifty fifty",
    "20/20": "twenty twenty",
}

_PHONE = re.compile(
    r"(?<![\w.,-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,5}\)[ .-]?)?\d{2,5}(?:[ .-]\d{2,5}){1,4}(?![\w-]|[.,]\d)"
)
_LONG_INTERNATIONAL = re.compile(r"(?<![\w.,-])\+\d{7,15}(?!\w)")
_DIALLED = re.compile(r"(?<=[Cc]all )[1-9]\d{2}\b(?! ?[\w%-])|(?<=[Dd]ial )\d{3,}\b")
_LIST = re.compile(r"(?<![\w.,-])\d+(?:-\d+){2,}(?![\w-])")
_VERSION = re.compile(r"(?<![\w.,])\d+(?:\.\d+){2,}(?![\w]|\.\d)")
_RANGE = re.compile(rf"{BEFORE}({NUMBER}) ?[-–—] ?({NUMBER})(?![\w-]|[.,:/]\d)")
_RATIO = re.compile(r"(?<![\w:.])(\d{1,3}):(\d{1,3})(?![\w:]|\.\d)")
_BY = re.compile(rf"(?<=\d) ?[x×] ?(?={NUMBER})")
_TIMES = re.compile(rf"{BEFORE}({NUMBER}) ?[x×](?!\w)")
_ORDINAL = re.compile(r"(?<![\w.])(\d{1,3}(?:,\d{3})+|\d+)(?:st|nd|rd|th)\b")
_COMPOUND = re.compile(rf"(?<![\w.,-])({NUMBER})-(?=[A-Za-z])")
_NEGATIVE = re.compile(r"(?<![\w)\]'\"])[-–] ?(?=\.?\d)")
_SPACED = re.compile(r"(?<![\w.,+-])(?<!\d )[1-9]\d{0,2}(?: \d{3})+(?! ?\d|\w|[.,-]\d)")
_EUROPEAN = re.compile(r"(?<![\w.,])(\d{1,3}(?:\.\d{3})+),(\d{1,2})(?![\w.,])")
_PLURAL = re.compile(r"(?<![\w.,])(\d+)'?s\b")
_MIXED_LETTERS = re.compile(r"(?<=[^\W\d_])-?(?=\d)|(?<=\d)(?=[^\W\d_])")
_GLUED_WORD = re.compile(r"(?<!\w)(?=\w*\d)(?=\w*[^\W\d_])\w+(?:-\d+)?(?!\w)")
_ANY = re.compile(rf"({NUMBER})")


def join_thousands(text: str) -> str:
    """'10 000' -> '10000', '1.234,50' -> '1234.50'."""
    text = _EUROPEAN.sub(lambda found: f"{found[1].replace('.', '')}.{found[2]}", text)
    return _SPACED.sub(lambda found: found[0].replace(" ", ""), text)


def read_money(text: str, british: bool) -> str:
    """'$5.50' -> 'five dollars and fifty cents', '£3.5bn' -> 'three point five billion pounds'."""

    def sign_first(found: re.Match[str]) -> str:
        minus, sign, number, dash, _, upto, scale, short = found.groups()
        sign = _CODES.get(sign, sign)
        if dash:
            return f"{numbers.spoken(number, british)} to {_money(sign, upto, scale or short, british)}"
        return ("minus " if minus else "") + _money(sign, number, scale or short, british)

    def sign_last(found: re.Match[str]) -> str:
        minus, number, scale, short, sign = found.groups()
        return ("minus " if minus else "") + _money(_CODES.get(sign, sign), number, scale or short, british)

    text = _MONEY.sub(sign_first, text)
    text = _MONEY_CODE.sub(
        lambda found: _money(_CODES[found[1]], found[2], found[3] or found[4], british), text
    )
    text = _MONEY_BEHIND.sub(sign_last, text)
    text = _CENTS.sub(lambda found: _count(found[1], "cent", "cents", british), text)
    return _PENCE.sub(lambda found: _count(found[1], "penny", "pence", british), text) if british else text


def read_measures(text: str, british: bool) -> str:
    """'5 km' -> 'five kilometers', '20°C', '5-10 kg', '5-km run', '6 ft 2 in', '30%', '$5/day'."""

    def measure(found: re.Match[str]) -> str:
        minus, number, dotted, unit = found.groups()
        one, many = ("inch", "inches") if dotted == "in" else UNITS[unit or dotted]
        stop = "." if dotted and re.match(r"\s*\Z|\s*\n|\s+[A-Z]", _rest(found)) else ""
        return ("minus " if minus else "") + _count(number, one, many, british) + stop

    def unit_range(found: re.Match[str]) -> str:
        return f"{numbers.spoken(found[1], british)} to {_count(found[2], *UNITS[found[3]], british)}"

    text = _VULGAR_SIGN.sub(lambda found: (found[1] + " " if found[1] else "") + _VULGAR[found[2]], text)
    text = _MIXED.sub(
        lambda found: (
            f"{numbers.cardinal(int(found[1]), british)} and "
            + _a_fraction(int(found[2]), int(found[3]), british)
        ),
        text,
    )
    text = _HEIGHT.sub(
        lambda found: (
            _count(found[1], "foot", "feet", british) + " " + _count(found[2], "inch", "inches", british)
        ),
        text,
    )
    text = _UNIT_RANGE.sub(unit_range, text)
    text = _PER_NUMBER.sub(" per ", text)
    text = _MEASURE_HYPHEN.sub(
        lambda found: f"{numbers.spoken(found[1], british)} {UNITS[found[2]][0]}", text
    )
    text = _MEASURE.sub(measure, text)
    return _PER.sub(lambda found: " per " + _PER_NAMES.get(found[1], found[1]), text)


def read_telephones(text: str) -> str:
    """'555-1234', '+44 20 7946 0958', '(555) 123-4567': digit by digit, a comma between the groups."""

    def groups(found: re.Match[str]) -> str:
        number = found[0]
        parts = re.findall(r"\d+", number)
        digit_count = sum(map(len, parts))
        sure = number[0] in "+(" or "(" in number or _looks_like_phone(number, parts)
        if not sure or not 7 <= digit_count <= 15:
            return number
        plus = "plus " if number[0] == "+" else ""
        return plus + ", ".join(numbers.digits(part) for part in parts)

    text = _DIALLED.sub(lambda found: numbers.digits(found[0]), text)
    text = _LONG_INTERNATIONAL.sub(lambda found: "plus " + numbers.digits(found[0]), text)
    return _PHONE.sub(groups, text)


def read_fractions(text: str, british: bool) -> str:
    """'3/4' -> 'three quarters', '24/7', '200/300' -> 'two hundred over three hundred'."""

    def reading(found: re.Match[str]) -> str:
        above, below = int(found[1]), int(found[2])
        if found[0] in _FIXED:
            return _FIXED[found[0]]
        if 0 < above < below <= 20 or below in (2, 3, 4) or (below in (100, 1000) and 0 < above < below):
            return numbers.fraction(above, below, british) if below > 1 else numbers.cardinal(above, british)
        return f"{numbers.cardinal(above, british)} over {numbers.cardinal(below, british)}"

    return _FRACTION.sub(reading, text)


def read_numbers(text: str, british: bool) -> str:
    """Ordinals, ranges, ratios, versions, products, negatives, compounds, 'MP3', and what is left."""

    def one_to_other(found: re.Match[str]) -> str:
        return f"{numbers.spoken(found[1], british)} to {numbers.spoken(found[2], british)}"

    text = _LIST.sub(lambda found: ", ".join(numbers.spoken(part) for part in found[0].split("-")), text)
    text = _VERSION.sub(
        lambda found: " point ".join(numbers.spoken(part) for part in found[0].split(".")), text
    )
    text = _TIMES.sub(lambda found: f"{numbers.spoken(found[1], british)} times", _BY.sub(" by ", text))
    text = _RANGE.sub(one_to_other, text)
    text = _RATIO.sub(one_to_other, text)
    text = _ORDINAL.sub(lambda found: numbers.ordinal(int(found[1].replace(",", "")), british), text)
    text = _COMPOUND.sub(lambda found: numbers.spoken(found[1], british) + "-", text)
    text = _PLURAL.sub(lambda found: _plural(numbers.spoken(found[1], british)), text)
    text = _GLUED_WORD.sub(_apart, text)
    text = _NEGATIVE.sub("minus ", text)
    return _ANY.sub(lambda found: _apart_from_letters(found, numbers.spoken(found[1], british)), text)


def _money(sign: str, number: str, scale: str | None, british: bool) -> str:
    one, many, cent, cents = _CURRENCIES[sign]
    if scale:
        name = _SCALES.get(scale.lower(), scale)
        return f"{numbers.spoken(number, british)} {name} {many}"
    whole, _, fraction = number.replace(",", "").partition(".")
    if len(fraction) not in (0, 2):
        return f"{numbers.spoken(number, british)} {many}"
    parts = []
    if int(whole or 0) or not int(fraction or 0):
        parts.append(_count(whole or "0", one, many, british))
    if int(fraction or 0):
        parts.append(_count(str(int(fraction)), cent, cents, british))
    return " and ".join(parts)


def _count(number: str, one: str, many: str, british: bool) -> str:
    return f"{numbers.spoken(number, british)} {one if numbers.is_one(number) else many}"


def _a_fraction(above: int, below: int, british: bool) -> str:
    if above == 1 and below == 2:
        return "a half"
    return numbers.fraction(above, below, british) if below > 1 else numbers.cardinal(above, british)


def _looks_like_phone(number: str, parts: list[str]) -> bool:
    """NNN-NNNN, NNN-NNN-NNNN (also with dots or spaces), or groups that begin with a 0."""
    lengths = [len(part) for part in parts]
    if lengths in ([3, 4], [3, 3, 4]):
        return " " not in number or lengths == [3, 3, 4]
    return parts[0][0] == "0" and len(parts) > 1


def _plural(words: str) -> str:
    return words[:-1] + "ies" if words.endswith("y") else words + ("es" if words.endswith("x") else "s")


def _apart(found: re.Match[str]) -> str:
    """'MP3' -> 'MP 3', 'H2O' -> 'H 2 O', 'i7' -> 'I 7', 'COVID-19' -> 'COVID 19'."""
    parts = _MIXED_LETTERS.sub(" ", found[0]).split(" ")
    return " ".join(part.upper() if part.isalpha() and len(part) <= 2 else part for part in parts)


def _apart_from_letters(found: re.Match[str], words: str) -> str:
    text, start, end = found.string, found.start(), found.end()
    before = " " if start > 0 and text[start - 1].isalnum() else ""
    after = " " if end < len(text) and text[end].isalnum() else ""
    return before + words + after


def _rest(found: re.Match[str]) -> str:
    """What follows a match, far enough to see whether a sentence begins."""
    return found.string[found.end() : found.end() + 40]
