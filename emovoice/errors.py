"""Errors a user can act on.

One root class; every error says what was wrong, with which value, and what to do about it. Nothing here
inherits from `ValueError` and the like, so `except EmovoiceError` catches exactly what emovoice means to
report, and a programming mistake is never taken for one.
"""

from __future__ import annotations

_LONGEST_VALUE = 80


class EmovoiceError(Exception):
    """Root of all errors that emovoice raises on purpose.

    Args:
        what: what was wrong, one clause without a final full stop: "intensity must lie in 0..1".
        field: the argument or file that was wrong: "intensity". None when no single one was.
        value: its value as it was given; kept as it is in `.value`, shortened in the message.
        remedy: what to do about it: "Give a number such as 0.7".

    `str()` reads "what (field=value). remedy". Instances survive pickling (process pools, queues);
    a value that is not built of basic types arrives as its shortened `repr`.
    """

    def __init__(self, what: str, *, field: str | None = None, value: object = None, remedy: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.field = field
        self.value = value
        self.remedy = remedy

    def __str__(self) -> str:
        head = self.what.rstrip(".")
        if self.field is not None:
            head += f" ({self.field}={_shown(self.value)})"
        return f"{head}. {self.remedy}" if self.remedy else head

    def __reduce__(self) -> tuple[object, ...]:
        value = self.value if _is_plain(self.value) else _shown(self.value)
        return _rebuilt, (type(self), self.what, self.field, value, self.remedy)


class InputError(EmovoiceError):
    """The text, emotion, intensity, seed or another argument is not usable as given."""


class AudioError(EmovoiceError):
    """A recording cannot be read, or holds nothing that can be used."""


class ModelError(EmovoiceError):
    """A model or a saved voice is missing, damaged or does not fit."""


class OutputError(EmovoiceError):
    """A result cannot be written where it was asked for."""


class LengthError(EmovoiceError):
    """The length asked for cannot be spoken."""


def _rebuilt(
    kind: type[EmovoiceError], what: str, field: str | None, value: object, remedy: str | None
) -> EmovoiceError:
    return kind(what, field=field, value=value, remedy=remedy)


def _is_plain(value: object) -> bool:
    """Whether `value` is built of basic types only and so surely survives pickling."""
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or type(value) in (str, bytes, int, float, bool)


def _shown(value: object) -> str:
    """`repr` on one line, short enough to read; the middle of a long value is left out."""
    text = repr(value).replace("\n", " ")
    if len(text) <= _LONGEST_VALUE:
        return text
    half = (_LONGEST_VALUE - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"
