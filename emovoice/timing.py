"""Sharing out time: how many samples each part of a text gets. Pure functions on integers.

Estimates are free lengths: what the model would take if no length were asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

from emovoice.errors import InputError, LengthError

FASTEST = 2.5
"""Speech pressed into less than 1/2.5 of its free length loses its words."""

SLOWEST = 3.0
"""Speech drawn out to more than three times its free length falls apart."""

COMFORTABLE = (0.6, 1.6)
"""Asked length over free length; outside it speech is possible but strained."""


def allot(total_samples: int, estimates: Sequence[int]) -> list[int]:
    """Share `total_samples` out in proportion to `estimates`; the shares add up to it exactly.

    Largest-remainder method in whole numbers: every share is its exact proportion rounded down or up. Equal
    shares if all estimates are zero.

    Raises:
        ValueError: no estimates, or a negative number; a mistake of the caller, not of a user.
    """
    if not estimates or total_samples < 0 or min(estimates) < 0:
        raise ValueError(f"cannot allot {total_samples} samples to {list(estimates)}")
    weights = list(estimates) if any(estimates) else [1] * len(estimates)
    whole = sum(weights)
    shares = [total_samples * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total_samples * weights[i] % whole), i))
    for index in by_remainder[: total_samples - sum(shares)]:
        shares[index] += 1
    return shares


def asked_samples(duration_s: float | None, rate: int) -> int | None:
    """The length asked for, in samples. Raises InputError unless None or finite and above 0."""
    if duration_s is None:
        return None
    remedy = "Give the seconds the speech shall last, or leave it out."
    if isinstance(duration_s, bool) or not isinstance(duration_s, Real):
        raise InputError("the duration must be a number", field="duration_s", value=duration_s, remedy=remedy)
    if not math.isfinite(duration_s) or duration_s <= 0:
        raise InputError("the duration must be finite and above 0", field="duration_s", value=duration_s, remedy=remedy)
    return max(1, round(float(duration_s) * rate))


def check_pace(asked: int, free: int, rate: int, fixed: int = 0) -> tuple[str, ...]:
    """Warnings about speaking `free` samples of speech in `asked` samples; none at a comfortable pace.

    Args:
        asked: samples there are for everything.
        free: samples the speech would take by itself.
        rate: samples a second.
        fixed: samples of silence that were asked for in the text, which keep their length.

    Raises:
        LengthError: more than 2.5 times as fast or 3 times as slow as it would be spoken freely.
    """
    asked_s, free_s, fixed_s = asked / rate, free / rate, fixed / rate
    low_s, high_s = fixed_s + free_s / FASTEST, fixed_s + free_s * SLOWEST
    pauses = f", {fixed_s:.2f} s of it pauses," if fixed else ""
    if not low_s <= asked_s <= high_s:
        # Rounded inwards, so that the ends of the range that is shown are accepted.
        low_shown, high_shown = math.ceil(low_s * 100) / 100, math.floor(high_s * 100) / 100
        raise LengthError(
            f"this text takes about {free_s + fixed_s:.2f} s{pauses} and cannot be spoken in {asked_s:.3g} s",
            field="duration_s",
            value=asked_s,
            remedy=f"Ask for {low_shown:.2f} to {high_shown:.2f} s, or change the text.",
        )
    ratio = (asked - fixed) / free
    if COMFORTABLE[0] <= ratio <= COMFORTABLE[1]:
        return ()
    pace, about = "fast" if ratio < 1 else "slow", f"about {free_s + fixed_s:.2f} s{pauses}".rstrip(",")
    return (f"{asked_s:.2f} s is {pace} for this text, which takes {about}: it may sound strained",)
