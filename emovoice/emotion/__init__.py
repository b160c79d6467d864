"""Emotion values, the emotion space of the model, and emotion in words.

    from emovoice.emotion import understand

    understand("furious, but keeping it down").weights
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emovoice.emotion.curve import EmotionCurve as EmotionCurve
    from emovoice.emotion.curve import Keyframe as Keyframe
    from emovoice.emotion.instructions import Understanding as Understanding
    from emovoice.emotion.instructions import understand as understand
    from emovoice.emotion.lines import Personality as Personality
    from emovoice.emotion.lines import understand_line as understand_line
    from emovoice.emotion.lines import understand_lines as understand_lines

_HOMES = {
    "EmotionCurve": "curve",
    "Keyframe": "curve",
    "Understanding": "instructions",
    "understand": "instructions",
    "Personality": "lines",
    "understand_line": "lines",
    "understand_lines": "lines",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'emovoice.emotion' has no attribute {name!r}")
    value = getattr(import_module(f"emovoice.emotion.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
