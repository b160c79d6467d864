"""Packages that not everyone has."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from emovoice.errors import ModelError


def need(module: str, extra: str, purpose: str) -> ModuleType:
    """An optional module. Raises ModelError that says what to install."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ModelError(f"{purpose} needs the package {module.split('.')[0]}", field="module", value=module,
                         remedy=f"Install it with: pip install 'emovoice[{extra}]'.") from error
