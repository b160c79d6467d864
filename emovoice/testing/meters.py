"""What judges the dub from outside: ffmpeg's loudness meter, and a video made here."""

from __future__ import annotations

import math
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

RATE = 48_000


def ebur128(samples: np.ndarray) -> tuple[float, float]:
    """Integrated loudness (LUFS) and true peak (dBTP) of `(N, C)` at 48 kHz by ffmpeg's filter.

    Raises ValueError where it says nothing, as of no samples.
    """
    av: Any = import_module("av")
    layout = "stereo" if samples.shape[1] == 2 else "mono"
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=RATE, format="flt", layout=layout, time_base=Fraction(1, RATE))
    meter = graph.add("ebur128", "peak=true:metadata=1")
    sink = graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    found: dict[str, str] = {}
    for start in [*range(0, len(samples), 4800), None]:
        if start is not None:
            block = np.ascontiguousarray(samples[start : start + 4800], np.float32).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            graph.push(frame)
        else:
            graph.push(None)
        while True:
            try:
                found.update(graph.pull().metadata)
            except (av.error.BlockingIOError, av.error.EOFError):
                break
    peaks = [float(value) for name, value in found.items() if name.startswith("lavfi.r128.true_peaks_ch")]
    if "lavfi.r128.I" not in found or not peaks:
        raise ValueError(f"ffmpeg's filter told nothing: {found}")
    return float(found["lavfi.r128.I"]), 20 * math.log10(max(peaks)) if max(peaks) > 0 else -math.inf


def make_video(path: Path, seconds: float, *, fps: int = 25, sound: np.ndarray | None = None, rate: int = RATE) -> Path:
    """A small moving picture, with `sound` `(N, C)` if given, in a container of the path's ending."""
    av: Any = import_module("av")
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=fps)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        track = None
        if sound is not None:
            track = container.add_stream("aac", rate=rate, layout="stereo" if sound.shape[1] == 2 else "mono")
            track.metadata["language"] = "fra"
        for index in range(round(seconds * fps)):
            image = np.full((48, 64, 3), (7 * index) % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        if track is not None and sound is not None:
            for start in range(0, len(sound), 1024):
                block = np.ascontiguousarray(sound[start : start + 1024].T, np.float32)
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=track.layout.name)
                frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return path
