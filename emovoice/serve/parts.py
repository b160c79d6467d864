"""Parts of emovoice that an installation may lack, called through one place that says so clearly."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
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
    """What re-speaks a recording in chunks: `Engine.convert_stream`. Raises ApiError (501) without it."""
    found = getattr(engine, "convert_stream", None)
    if not callable(found):
        raise not_built("convert recordings")
    return found  # type: ignore[no-any-return]


def dubbing() -> Any:
    """The package that dubs timelines. Raises ApiError (501) without it."""
    try:
        return import_module("emovoice.dubbing")
    except ImportError as error:
        raise not_built("dub timelines") from error


def understander() -> Callable[[str], Any]:
    """What reads an emotion from words: `emovoice.emotion.understand`. Raises ApiError (501) without it."""
    found = getattr(import_module("emovoice.emotion"), "understand", None)
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
    unread = tuple(found.not_understood)
    said = (f"these words of the instructions were not understood: {', '.join(unread)}",) if unread else ()
    return {name: share for name, share in found.weights.items() if share > 0}, found.intensity, said
