"""What the watermark survives: the detector's scores after codecs, resampling, cutting, noise and a change of speed.

`python -m emovoice.testing.bench_watermark` speaks eight utterances, marks them, does each thing to them and prints a
markdown table; `--json` prints data, `--into docs/server.md` puts the table between its two lines in that file. It
needs the extras `watermark` and `media`, and takes about a minute on a free core.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

import numpy as np

from emovoice import watermark
from emovoice.errors import ModelError
from emovoice.waveform import resample

MARKS = ("<!-- watermark: begin -->", "<!-- watermark: end -->")
UTTERANCES = (
    ("No.", "neutral"),
    ("You did what?", "angry"),
    ("Come in, come in!", "happy"),
    ("There was nobody left to ask.", "sad"),
    ("Did you hear that? There it is again.", "afraid"),
    ("The train leaves at nine, and nobody has packed a bag yet.", "surprised"),
    ("Take a breath. We have all the time in the world, and the lake is still.", "calm"),
    ("When the rain stopped, they walked down to the harbour and counted the boats. There were seven.", "melancholic"),
)
_LONG_S = 2.0

Treatment = Callable[[np.ndarray, int], "tuple[np.ndarray, int]"]


@dataclass(frozen=True)
class Row:
    """One thing that was done.

    Attributes:
        what: in words.
        worst, worst_long: the lowest score, 0..1, of all utterances and of those of 2 s and more; for the unmarked
            ones the highest.
        wrong: in how many the detector did not see it; for the unmarked, in how many it saw one.
        of: how many there are.
    """

    what: str
    worst: float
    worst_long: float
    wrong: int
    of: int


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m emovoice.testing.bench_watermark", description=__doc__)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--json", action="store_true", help="print data instead of a table")
    parser.add_argument("--into", metavar="FILE", help="put the table between its two lines in this file")
    chosen = parser.parse_args(arguments)
    found = measure(chosen.model)
    if chosen.into:
        from emovoice.writing import put_between

        put_between(chosen.into, MARKS, table(found))
    print(json.dumps(found, indent=1, default=asdict) if chosen.json else table(found))
    return 0


def measure(model: str) -> dict[str, Any]:
    """Rows, and how the mark was put in. Raises ModelError without the extra."""
    from emovoice.engine import Engine

    if not watermark.available():
        raise ModelError("the watermark is not installed", remedy="pip install 'emovoice[watermark]'")
    engine = Engine(model)
    spoken = [engine.synthesize(text, emotion=emotion, seed=i) for i, (text, emotion) in enumerate(UTTERANCES)]
    plain = [each.samples for each in spoken]
    rate, seconds = spoken[0].rate, [each.duration_s for each in spoken]
    watermark.mark(plain[0], rate)  # loads the network
    started = time.perf_counter()
    marked = [watermark.mark(samples, rate) for samples in plain]
    spent = time.perf_counter() - started
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    below = [_db(samples) - _db(new - samples) for samples, new in zip(plain, marked, strict=True)]
    rows = [_row("nothing, without the mark", plain, rate, seconds, _nothing, plain=True)]
    tones = [_chord(root_hz, rate) for root_hz in (110, 147, 196, 262)]
    rows += [_row("chords, without the mark", tones, rate, [_LONG_S] * 4, _nothing, plain=True)]
    rows += [_row(what, marked, rate, seconds, done) for what, done in treatments().items()]
    return {
        "model": engine.pipeline.name,
        "seconds": [round(each, 2) for each in seconds],
        "below_db": [round(min(below), 1), round(max(below), 1)],
        "marking_s_per_s": round(spent / sum(seconds), 3),
        "load": round(load, 1),
        "rows": rows,
    }


def treatments() -> Mapping[str, Treatment]:
    """What is done to a marked utterance `(N,)` at a rate: samples and rate again."""
    return {
        "nothing, with the mark": _nothing,
        "mp3, 64 kbit/s": _coded("mp3", "libmp3lame", 64_000),
        "mp3, 32 kbit/s": _coded("mp3", "libmp3lame", 32_000),
        "aac, 48 kbit/s": _coded("adts", "aac", 48_000),
        "opus, 24 kbit/s": _coded("ogg", "libopus", 24_000, 48_000),
        "resampled to 16 kHz and back": _there_and_back(16_000),
        "resampled to 8 kHz and back": _there_and_back(8_000),
        "first third cut off": lambda samples, rate: (samples[len(samples) // 3 :], rate),
        "10 dB quieter": lambda samples, rate: (samples * np.float32(10**-0.5), rate),
        "white noise 30 dB below": _noisy(30.0),
        "white noise 20 dB below": _noisy(20.0),
        "3 % faster, pitch and all": lambda samples, rate: (resample(samples, round(1.03 * rate), rate), rate),
    }


def table(found: Mapping[str, Any]) -> str:
    """The rows in markdown, with what they were measured on."""
    rows, seconds = found["rows"], found["seconds"]
    lines = ["| what was done to it | worst score | from 2 s on | told wrongly |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.worst:.2f} | {row.worst_long:.2f} | {row.wrong} of {row.of} |" for row in rows]
    low, high = found["below_db"]
    return "\n".join([
        *lines,
        "",
        f"{len(seconds)} utterances of `{found['model']}`, {min(seconds):.1f} to {max(seconds):.1f} s. The change lies"
        f" {low:.0f} to {high:.0f} dB below the speech. Marking took {found['marking_s_per_s']:.2f} s for a second of"
        f" speech, with a load average of {found['load']} on {os.cpu_count()} cores.",
    ])  # fmt: skip


def _row(
    what: str, spoken: Sequence[np.ndarray], rate: int, seconds: Sequence[float], done: Treatment, plain: bool = False
) -> Row:
    scores = [watermark.score(*done(samples, rate)) or 0.0 for samples in spoken]
    long = [score for score, length in zip(scores, seconds, strict=True) if length >= _LONG_S]
    told = sum(score >= watermark.THRESHOLD for score in scores)
    worst = max if plain else min
    wrong = told if plain else len(scores) - told
    return Row(what, round(worst(scores), 3), round(worst(long, default=float("nan")), 3), wrong, len(scores))


def _nothing(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    return samples, rate


def _chord(root_hz: float, rate: int) -> np.ndarray:
    """Two seconds of a major chord of plucked tones: what is no speech."""
    t = np.arange(round(_LONG_S * rate)) / rate
    tones = (np.sin(2 * np.pi * root_hz * ratio * t) for ratio in (1, 1.25, 1.5, 2, 3, 4))
    return (0.05 * sum(tones) * np.exp(-2 * (t % 0.5))).astype(np.float32)


def _coded(container: str, codec: str, bits: int, rate_hz: int | None = None) -> Treatment:
    """Encoded by FFmpeg's library and decoded again."""

    def done(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
        av: Any = import_module("av")
        file = io.BytesIO()
        with av.open(file, "w", format=container) as out:
            stream = out.add_stream(codec, rate=rate_hz or rate, layout="mono")
            stream.bit_rate = bits
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, 0
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        file.seek(0)
        with av.open(file) as back:
            resampler = av.AudioResampler(format="flt", layout="mono", rate=rate_hz or rate)
            blocks = [part.to_ndarray()[0] for one in back.decode(audio=0) for part in resampler.resample(one)]
        return np.concatenate(blocks), rate_hz or rate

    return done


def _there_and_back(between_hz: int) -> Treatment:
    return lambda samples, rate: (resample(resample(samples, rate, between_hz), between_hz, rate), rate)


def _noisy(below_db: float) -> Treatment:
    """White noise that far below the speech."""

    def done(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
        noise = np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32)
        return samples + noise * np.float32(10 ** ((_db(samples) - below_db) / 20)), rate

    return done


def _db(samples: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20))


if __name__ == "__main__":
    raise SystemExit(main())
