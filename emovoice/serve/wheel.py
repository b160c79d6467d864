"""The wheel of emotions: a direction for each on the plane of valence and arousal; the way from the middle is how much.

The order around the wheel is that of Russell's circumplex (1980): pleasant to the right, excited upwards; neighbours
are moved apart far enough to be hit with a finger.
"""

from __future__ import annotations

import math

import numpy as np

from emovoice.emotion.names import EMOTIONS, canonical

ANGLES_DEG = {
    "happy": 20, "surprised": 65, "afraid": 110, "angry": 150, "disgusted": 190, "sad": 225, "melancholic": 260,
    "calm": 325,
}  # fmt: skip
"""Counter-clockwise from pleasant."""

SIZE = 420
RADIUS = 130
_MIDDLE = SIZE / 2
_NEUTRAL_BELOW = 0.08
_LABEL_BELOW = 24  # pixels
_COLOURS = {
    "happy": "#fab005", "surprised": "#f76707", "afraid": "#7950f2", "angry": "#e03131", "disgusted": "#2f9e44",
    "sad": "#1971c2", "melancholic": "#3b5bdb", "calm": "#0ca678",
}  # fmt: skip


def at(x: float, y: float) -> tuple[str, float]:
    """The emotion and intensity at a point of the picture, in its pixels; "neutral" and 0 in the middle."""
    right, up = x - _MIDDLE, _MIDDLE - y
    intensity = min(1.0, math.hypot(right, up) / RADIUS)
    if intensity < _NEUTRAL_BELOW:
        return "neutral", 0.0
    angle = math.degrees(math.atan2(up, right))
    emotion = min(EMOTIONS, key=lambda name: abs((ANGLES_DEG[name] - angle + 180) % 360 - 180))
    return emotion, round(intensity, 2)


def place(emotion: str, intensity: float) -> tuple[float, float]:
    """Where an emotion lies in the picture, in pixels. Raises InputError for an unknown name."""
    name = canonical(emotion)
    if name == "neutral":
        return _MIDDLE, _MIDDLE
    angle = math.radians(ANGLES_DEG[name])
    return _MIDDLE + RADIUS * intensity * math.cos(angle), _MIDDLE - RADIUS * intensity * math.sin(angle)


def picture(emotion: str, intensity: float) -> np.ndarray:
    """The wheel with a mark at an emotion: uint8 `(SIZE, SIZE, 3)`."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (SIZE, SIZE), "#ffffff")
    draw = ImageDraw.Draw(image)
    for share in (1.0, 0.75, 0.5, 0.25):
        radius = RADIUS * share
        box = (_MIDDLE - radius, _MIDDLE - radius, _MIDDLE + radius, _MIDDLE + radius)
        draw.ellipse(box, outline="#ced4da", fill="#f8f9fa" if share == 1.0 else None)
    font = ImageFont.load_default(17)
    for name, colour in _COLOURS.items():
        x, y = place(name, 1.0)
        draw.line((_MIDDLE, _MIDDLE, x, y), fill="#dee2e6")
        draw.ellipse((x - 7, y - 7, x + 7, y + 7), fill=colour)
        outward = _LABEL_BELOW if y > _MIDDLE else -_LABEL_BELOW  # beside a dot a long name would lie on it
        draw.text((place(name, 1.08)[0], y + outward), name, fill="#212529", font=font, anchor="mm")
    x, y = place(emotion, intensity)
    colour = _COLOURS.get(canonical(emotion), "#495057")
    draw.line((_MIDDLE, _MIDDLE, x, y), fill=colour, width=4)
    draw.ellipse((x - 11, y - 11, x + 11, y + 11), fill=colour, outline="#212529", width=3)
    return np.asarray(image)
