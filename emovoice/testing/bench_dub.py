"""How fast and how well a scene is dubbed on this machine: 180 s, 40 cues, four characters, over a generated video.

`python -m emovoice.testing.bench_dub [--model mini] [--workers 2] [--into docs/dubbing.md]` dubs `data/scene.json`
anew, then a second time, when nothing is left to speak, and measures the sound of the result with ffmpeg's own meter.
Seconds of the processor still mean something where other work shares the cores. It needs the extra `media` and a few
minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import tempfile
import time
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from emovoice.testing.meters import RATE, ebur128, make_video
from emovoice.writing import put_between

MARKS = ("<!-- dub: begin -->", "<!-- dub: end -->")
CAST = {"characters": {"ANNA": "bella", "BERT": "george", "CLARA": "emma", "DAVID": "adam"}}
_SCENE_S = 180


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m emovoice.testing.bench_dub", description=__doc__)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--into", metavar="FILE", help="put the table between its two lines in this file, too")
    chosen = parser.parse_args(arguments)
    table = table_of(measure(chosen.model, chosen.workers))
    if chosen.into:
        put_between(chosen.into, MARKS, table)
    print(table)
    return 0


def measure(model: str, workers: int) -> dict[str, Any]:
    """Wall and processor seconds of both runs, the report's own figures, and what ffmpeg's meter says."""
    before = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="emovoice-") as folder:
        video = make_video(Path(folder) / "in.mp4", _SCENE_S, sound=_murmur(_SCENE_S))
        output = Path(folder) / "out.mp4"
        anew, report = _dubbed(video, output, model, workers)
        first = _digest(output)
        again, _ = _dubbed(video, output, model, workers)
        lufs, peak_dbtp = ebur128(_decoded(output))
        same = _digest(output) == first
    speech_s = sum(row["placed_s"] or 0 for row in report["rows"])
    late = [abs(row["off_slot_ms"]) / 1000 for row in report["rows"] if abs(row["off_slot_ms"] or 0) > 40]
    return {"model": model, "workers": workers, "length_s": report["length_s"], "speech_s": speech_s, "anew": anew,
            "again": again, "cues": report["cues"], "within": report["within_40_ms_of_slot"], "off_s": late,
            "lufs": lufs, "lufs_reported": report["lufs"], "peak_dbtp": peak_dbtp,
            "peak_reported": report["peak_dbtp"], "same": same, "cores": os.cpu_count(),
            "load": (before[0], os.getloadavg()[0])}


def table_of(found: dict[str, Any]) -> str:
    """For people, as markdown."""
    (wall_s, cpu_s), (again_s, again_cpu_s), length_s = found["anew"], found["again"], found["length_s"]
    late = found["off_s"]
    off = f"; the others, reported, are off by {min(late):.2f} to {max(late):.2f} s" if late else ""
    per_speech = (cpu_s - again_cpu_s) / found["speech_s"]
    again = f"{again_s:.0f} s; {again_cpu_s / length_s:.2f} times the programme of the processor"
    rows = [
        ("wall time", f"{wall_s:.0f} s: {wall_s / length_s:.2f} times the programme", "1.5 times, aim 0.5"),
        ("processor time", f"{cpu_s:.0f} s: {cpu_s / length_s:.2f} times the programme", ""),
        (f"of it loading and speaking {found['speech_s']:.1f} s", f"{per_speech:.2f} s for a second of speech", ""),
        ("run again, nothing left to speak", again, ""),
        ("cues within 40 ms of their slot", f"{found['within']} of {found['cues']}{off}", "40 ms or reported"),
        ("loudness by ffmpeg", f"{found['lufs']:.2f} LUFS, report {found['lufs_reported']:.2f}", "-23 ± 0.5"),
        ("true peak, by the same", f"{found['peak_dbtp']:.1f} dBTP, report {found['peak_reported']:.1f}", "at most -1"),
        ("the second run's file", "the same bytes" if found["same"] else "**other bytes**", "the same"),
    ]
    load = f"{found['load'][0]:.1f} before, {found['load'][1]:.1f} after, its own included"
    lines = ["| what | figure | bar |", "|---|---|---|", *(f"| {a} | {b} | {c} |" for a, b, c in rows), "",
             f"`{found['model']}`, {found['workers']} workers, {found['cores']} cores; load {load}."]
    return "\n".join(lines) + "\n"


def _dubbed(video: Path, output: Path, model: str, workers: int) -> tuple[tuple[float, float], Mapping[str, Any]]:
    """(wall, processor) seconds with those of the workers, and the report."""
    from emovoice.dubbing.run import dub

    wall, spent = time.perf_counter(), _processor_s()
    with as_file(files("emovoice.testing").joinpath("data", "scene.json")) as scene:
        done = dub(scene, output, video=str(video), cast=CAST, model=model, workers=workers, judge="none", force=True)
    return (time.perf_counter() - wall, _processor_s() - spent), done.report


def _processor_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _murmur(seconds: int) -> np.ndarray:
    """(n, 2) of quiet noise: the sound that the picture comes with."""
    return 0.01 * np.random.default_rng(0).standard_normal((seconds * RATE, 2), np.float32)


def _decoded(path: Path) -> np.ndarray:
    """(N, 2) at 48 kHz of the last sound track, which is the dub."""
    import av

    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="stereo", rate=RATE)
        track = container.streams.audio[-1]
        frames = [out for frame in container.decode(track) for out in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray().reshape(-1, 2) for frame in frames])


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
