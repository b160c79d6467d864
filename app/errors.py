"""What is said on the page when something cannot be done."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import gradio as gr

from emovoice.errors import EmovoiceError
from emovoice.serve.failures import ApiError, of


def told(handler: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
    """An event's handler whose errors the page shows, each with what to do about it."""

    @functools.wraps(handler)
    async def shown(*arguments: Any) -> AsyncIterator[Any]:
        try:
            async for update in handler(*arguments):
                yield update
        except (ApiError, EmovoiceError) as error:
            raise gr.Error(of(error).message, duration=15, print_exception=False) from error

    return shown
