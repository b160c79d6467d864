"""What is done to samples: pure functions on arrays, no files.

Shapes: `(N, C)` samples by channels as soundfile reads them, `(N,)` mono. Samples are float32 in -1..1.
"""

from __future__ import annotations

from numbers import Real

import numpy as np
import soxr

from emovoice.errors import AudioError

SAMPLE_RATE_HZ = 24_000
"""The rate of everything inside emovoice."""

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 4_000, 384_000
MOST_CHANNELS = 64

_FRAME_S = 0.02
_SILENT_RMS = 10 ** (-60 / 20)  # a whole recording below -60 dBFS holds no speech
_BELOW_LOUD = 10 ** (-35 / 20)  # frames 35 dB below the loud ones are pauses
_FULL_SCALE = 0.999
_CLIP_RUN = 3  # three samples in a row at full scale: flat tops, not a lucky peak
_CLIPPED_SHARE = 1e-4

_ARRAY_REMEDY = "Give an array of float or int16/int32 samples, shape (N,) or (N, channels)."


def as_frames(samples: np.ndarray) -> np.ndarray:
    """Float32 `(N, C)` from an array of any usual sample type, `(N,)`, `(N, C)` or `(C, N)`.

    Integers are scaled by their full range. Of two axes the shorter one is taken for the channels.

    Raises:
        AudioError: not numbers, an unusual integer type, no samples, more than two axes.
    """
    if samples.ndim not in (1, 2) or samples.size == 0:
        what = "there are no samples" if samples.size == 0 else "samples need one or two axes"
        raise AudioError(what, field="shape", value=samples.shape, remedy=_ARRAY_REMEDY)
    frames = samples[:, None] if samples.ndim == 1 else samples
    frames = frames.T if frames.shape[1] > frames.shape[0] else frames
    if frames.shape[1] > MOST_CHANNELS:
        raise AudioError("too many channels", field="shape", value=samples.shape, remedy=_ARRAY_REMEDY)
    kind = frames.dtype
    if kind.kind == "f":
        # A float64 beyond float32's range becomes inf here, and is refused as such by `check_finite`.
        with np.errstate(over="ignore"):
            return frames.astype(np.float32)
    if kind in (np.dtype(np.int16), np.dtype(np.int32)):
        return (frames / -float(np.iinfo(kind).min)).astype(np.float32)
    if kind == np.dtype(np.uint8):
        return (frames.astype(np.float32) - 128) / 128
    raise AudioError("samples of this type are not understood", field="dtype", value=str(kind), remedy=_ARRAY_REMEDY)


def check_rate(rate: object) -> int:
    """A sample rate in Hz as int. Raises AudioError unless it is a whole number in 4000..384000."""
    if isinstance(rate, Real) and not isinstance(rate, bool):
        hertz = float(rate)
        if hertz.is_integer() and LOWEST_RATE_HZ <= hertz <= HIGHEST_RATE_HZ:
            return int(hertz)
    raise AudioError(
        f"the sample rate must be a whole number in {LOWEST_RATE_HZ}..{HIGHEST_RATE_HZ} Hz",
        field="rate",
        value=rate,
        remedy="Give the rate the samples were recorded with, such as 24000.",
    )


def check_finite(samples: np.ndarray) -> None:
    """Raises AudioError if a sample is NaN or infinite."""
    bad = np.count_nonzero(~np.isfinite(samples))
    if bad:
        raise AudioError(
            "some samples are not numbers (NaN or infinite)",
            field="count",
            value=int(bad),
            remedy="Export the recording again, or replace them.",
        )


def to_mono(frames: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """`(N, C)` to `(N,)` and what there is to say about it.

    Channels are averaged; if they cancel each other out (one is the other turned over), the loudest is used.
    """
    channels = frames.shape[1]
    if channels == 1:
        return frames[:, 0], ()
    mono = frames.mean(axis=1, dtype=np.float32)
    loudness = np.sqrt(np.mean(np.square(frames, dtype=np.float64), axis=0))
    if rms(mono) < 0.1 * loudness.max():
        loudest = int(loudness.argmax())
        return frames[:, loudest], (f"the channels cancel each other out; channel {loudest + 1} alone was used",)
    return mono, (f"{channels} channels were mixed to mono",)


def resample(samples: np.ndarray, rate: int, target_rate: int = SAMPLE_RATE_HZ) -> np.ndarray:
    """`(N,)` at `rate` to `(N * target_rate / rate,)`, band-limited."""
    if rate == target_rate:
        return samples
    return np.asarray(soxr.resample(samples, rate, target_rate, quality="HQ"), dtype=np.float32)


def rms(samples: np.ndarray) -> float:
    """Root mean square; 0 for no samples."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if samples.size else 0.0


def peak(samples: np.ndarray) -> float:
    """Largest magnitude; 0 for no samples."""
    return float(np.abs(samples).max()) if samples.size else 0.0


def is_clipped(samples: np.ndarray) -> bool:
    """Whether more than one sample in 10,000 lies in a flat top at full scale."""
    full = np.abs(samples) >= _FULL_SCALE
    runs = full[2:] & full[1:-1] & full[:-2]
    return int(np.count_nonzero(runs)) > max(_CLIP_RUN, _CLIPPED_SHARE * samples.size)


def speech_frames(samples: np.ndarray, rate: int) -> np.ndarray:
    """Which 20 ms frames of `(N,)` are loud enough to be speech: bool, one a frame, the last may be short.

    The threshold is relative to the loud frames; a recording below -60 dBFS has none.
    """
    step = round(_FRAME_S * rate)
    padded = np.pad(samples, (0, -len(samples) % step))
    level = np.sqrt(np.mean(np.square(padded.reshape(-1, step), dtype=np.float64), axis=1))
    loud = float(np.percentile(level, 95)) if np.percentile(level, 95) > 0 else float(level.max())
    if max(loud, float(level.max())) < _SILENT_RMS:
        return np.zeros(len(level), dtype=bool)
    return level >= max(_SILENT_RMS, loud * _BELOW_LOUD)


def trimmed(samples: np.ndarray, rate: int, margin_s: float = 0.05) -> np.ndarray:
    """`(N,)` without the silence before and after the speech, but for `margin_s`; empty if all is silent."""
    spoken = np.flatnonzero(speech_frames(samples, rate))
    if not spoken.size:
        return samples[:0]
    step, margin = round(_FRAME_S * rate), round(margin_s * rate)
    return samples[max(0, int(spoken[0]) * step - margin) : (int(spoken[-1]) + 1) * step + margin]


def densest(samples: np.ndarray, rate: int, length_s: float) -> np.ndarray:
    """The `length_s` seconds that hold most speech, the first of equals; all of it if it is no longer."""
    length = round(length_s * rate)
    if len(samples) <= length:
        return samples
    step = round(_FRAME_S * rate)
    window = length // step
    before = np.concatenate([[0], np.cumsum(speech_frames(samples, rate))])
    start = int(np.argmax(before[window:] - before[:-window])) * step
    start = min(start, len(samples) - length)
    return samples[start : start + length]
