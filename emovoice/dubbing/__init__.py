"""Dubbing: a timeline in; a finished, checked, resumable dub out.

    timeline file -- timelines --> cues -- plan --> slots -- speak, journal --> takes -- plan --> places
                                                                                              |
    report <-- media (encode, verify) <-- loudness <-- mix (stems, bed) <---------------------+

Planning, fitting, parsing and scoring are pure functions on whole numbers. Times are milliseconds in timelines and
samples at `PROGRAMME_RATE_HZ` everywhere else.
"""

from __future__ import annotations

PROGRAMME_RATE_HZ = 48_000
"""The rate of everything that is placed and mixed; one millisecond is exactly 48 samples."""
