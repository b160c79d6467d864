"""Which model is meant when none is named."""

from __future__ import annotations

import os

VARIABLE = "EMOVOICE_MODEL"
"""Environment variable: the name or folder of the default model."""

EMBEDDED = "mini"
"""The default where the variable is not set, or empty."""

SHIPPED = (EMBEDDED, "debug")
"""Small models that come with the package."""


def chosen_model(model: str | None = None) -> str:
    """`model`; for None the one that the environment names now, or the embedded one."""
    return os.environ.get(VARIABLE) or EMBEDDED if model is None else model
