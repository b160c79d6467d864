"""One small dub of a video, made once: most tests only look at it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from emovoice.dubbing.run import Dubbed
from emovoice.testing.meters import RATE, make_video

# How long an example takes says how busy the machine is, not whether it is right.
settings.register_profile("dubbing", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dubbing")

CUES = """\
1
00:00:00,500 --> 00:00:01,800
ANNA: [angry:0.8] I told you so, Bert.

2
00:00:02,500 --> 00:00:04,000
BERT: And yet I am here. (sighs)

3
00:00:04,500 --> 00:00:05,000
♪ la la la ♪

4
00:00:05,500 --> 00:00:06,700
ANNA: Then stay a while.
"""
CAST = {"characters": {"ANNA": "bella", "BERT": {"voice": "george", "emotion": "calm", "gain_db": -3}}}
SECONDS = 8


@dataclass
class Made:
    """A dub, and what it was made of."""

    folder: Path
    timeline: Path
    video: Path
    dubbed: Dubbed
    options: dict


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    pytest.importorskip("av")
    import emovoice

    folder = tmp_path_factory.mktemp("dub")
    timeline = folder / "cues.srt"
    timeline.write_text(CUES)
    noise = np.random.default_rng(0).normal(0, 0.05, (SECONDS * RATE, 2)).astype(np.float32)
    video = make_video(folder / "in.mp4", SECONDS, sound=noise)
    options = {"video": str(video), "cast": CAST, "model": "debug", "workers": 1, "stems": True, "judge": "none"}
    return Made(folder, timeline, video, emovoice.dub(timeline, folder / "out.mp4", **options), options)
