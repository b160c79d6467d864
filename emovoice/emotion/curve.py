"""An emotion that changes while something is said: keyframes, and what lies between them. Pure.

curve = EmotionCurve((Keyframe(0.0, {"calm": 1.0}, 0.3), Keyframe(1.0, {"angry": 1.0}, 0.9)))
curve.at(0.5)       # the eight weights half-way through
curve.spread(3)     # weights for three sentences
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from emovoice.emotion.names import EMOTIONS
from emovoice.errors import InputError

_SLACK = 1e-6


@dataclass(frozen=True)
class Keyframe:
    """What is felt at one moment.

    Attributes:
        t: 0 (start) .. 1 (end of what is said).
        emotion: shares over the eight, by name; they add up to 1, or to 0 for neutral.
        intensity: 0..1.
    """

    t: float
    emotion: Mapping[str, float]
    intensity: float

    def weights(self) -> tuple[float, ...]:
        """(8,) shares times intensity: what `emovoice.synthesize(emotion=...)` takes."""
        return tuple(self.intensity * self.emotion.get(name, 0.0) for name in EMOTIONS)


@dataclass(frozen=True)
class EmotionCurve:
    """Keyframes in the order of their times, at least one.

    Raises:
        InputError: no keyframes, times that do not rise or lie outside 0..1, unknown names, shares or intensities
            outside 0..1.
    """

    keyframes: tuple[Keyframe, ...]

    def __post_init__(self) -> None:
        if not self.keyframes:
            raise InputError("a curve needs at least one keyframe", field="keyframes", value=())
        times = [frame.t for frame in self.keyframes]
        if any(later <= earlier for earlier, later in pairwise(times)) or not 0 <= times[0] <= times[-1] <= 1:
            raise InputError("the times of keyframes must rise within 0..1", field="keyframes", value=times)
        for frame in self.keyframes:
            _check(frame)

    @classmethod
    def steady(cls, emotion: Mapping[str, float], intensity: float) -> EmotionCurve:
        """The same from start to end."""
        return cls((Keyframe(0.0, emotion, intensity),))

    @property
    def is_steady(self) -> bool:
        """Whether nothing changes."""
        first = self.keyframes[0].weights()
        return all(math.dist(frame.weights(), first) < _SLACK for frame in self.keyframes)

    def at(self, t: float) -> tuple[float, ...]:
        """(8,) weights at time `t`, 0..1: linear between keyframes, constant before the first and after the last."""
        frames = self.keyframes
        if t <= frames[0].t:
            return frames[0].weights()
        for left, right in pairwise(frames):
            if t <= right.t:
                share = (t - left.t) / (right.t - left.t)
                return tuple(a + share * (b - a) for a, b in zip(left.weights(), right.weights(), strict=True))
        return frames[-1].weights()

    def spread(self, lengths: int | Sequence[float]) -> list[tuple[float, ...]]:
        """Weights for each of some sentences, given their number or their lengths in any unit.

        The first sentence gets the start of the curve and the last its end; the ones between get what the curve
        holds at their place between these two. One sentence gets the mean of the curve over its time.
        """
        sizes = [1.0] * lengths if isinstance(lengths, int) else [max(0.0, float(length)) for length in lengths]
        if len(sizes) < 2:
            return [self.mean()] * len(sizes)
        whole = math.fsum(sizes) or 1.0
        middles = [(math.fsum(sizes[:index]) + size / 2) / whole for index, size in enumerate(sizes)]
        first, last = middles[0], middles[-1]
        if last <= first:
            return [self.at(index / (len(sizes) - 1)) for index in range(len(sizes))]
        return [self.at((middle - first) / (last - first)) for middle in middles]

    def mean(self, steps: int = 33) -> tuple[float, ...]:
        """(8,) weights averaged over the time from 0 to 1."""
        if len(self.keyframes) == 1:
            return self.keyframes[0].weights()
        sampled = [self.at(step / (steps - 1)) for step in range(steps)]
        return tuple(math.fsum(column) / steps for column in zip(*sampled))


def _check(frame: Keyframe) -> None:
    unknown = sorted(set(frame.emotion) - set(EMOTIONS))
    if unknown:
        raise InputError("unknown emotion in a keyframe", field="emotion", value=unknown)
    shares = list(frame.emotion.values())
    fine = all(math.isfinite(share) and 0 <= share <= 1 + _SLACK for share in shares)
    if not fine or math.fsum(shares) > 1 + _SLACK or not 0 <= frame.intensity <= 1:
        raise InputError(
            "shares must add up to at most 1, and an intensity lie in 0..1",
            field="keyframe",
            value=[dict(frame.emotion), frame.intensity],
        )
