"""Parts of emovoice that an installation may lack, called through one place that says so clearly."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from emovoice.errors import InputError
from emovoice.serve.failures import not_built


def with_options(call: Callable[..., Any], what: str, options: dict[str, Any]) -> dict[str, Any]:
    """Those of `options` that are not None. Raises ApiError (501) for one that `call` does not take."""
    given = {name: value for name, value in options.items() if value is not None}
    known = inspect.signature(call).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values()):
        return given
    for name in given:
        if name not in known:
            raise not_built(f"{what} with `{name}`")
    return given


def converter(engine: Any) -> Callable[..., Any]:
    """What re-speaks a recording: `Engine.convert`, or `emovoice.convert`. Raises ApiError (501) without it."""
    own = getattr(engine, "convert", None)
    return own if callable(own) else _public("convert", "convert recordings")


def dubber() -> Callable[..., Any]:
    """What dubs a timeline: `emovoice.dub`. Raises ApiError (501) without it."""
    return _public("dub", "dub timelines")


def understander() -> Callable[[str], Any]:
    """What reads an emotion from words: `emovoice.emotion.understand`. Raises ApiError (501) without it."""
    from emovoice import emotion

    found = getattr(emotion, "understand", None)
    if not callable(found):
        raise not_built("read an emotion from instructions")
    return found  # type: ignore[no-any-return]


def instructed(words: str) -> tuple[Any, float | None, tuple[str, ...]]:
    """Emotion, intensity and warnings from an instruction: by the reader of words, or the name of an emotion.

    Raises:
        ApiError: 501 where words cannot be read here and these are not the plain name of an emotion.
    """
    from emovoice.emotion import names

    try:
        return names.canonical(words.strip().rstrip(".!")), None, ()
    except InputError:
        found = understander()(words)
    total = sum(found.weights.values())
    weights = {name: share / total for name, share in found.weights.items()} if total > 0 else "neutral"
    unread = tuple(getattr(found, "unknown", ()) or ())
    said = (f"these words of the instructions were not understood: {', '.join(map(str, unread))}",) if unread else ()
    return weights, found.intensity, said


def _public(name: str, what: str) -> Callable[..., Any]:
    import emovoice

    try:
        found = getattr(emovoice, name)
    except AttributeError as error:
        raise not_built(what) from error
    found = getattr(found, name, found)  # a module of the same name may have been imported first
    if not callable(found):
        raise not_built(what)
    return found  # type: ignore[no-any-return]
