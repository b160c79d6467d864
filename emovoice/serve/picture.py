"""What a page shows of a sound: waveform, spectrogram, pitch and the emotion asked for, as one SVG.

Pure functions on samples; no fonts, scripts or files from elsewhere are needed to show the result.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from html import escape
from itertools import pairwise

import numpy as np

WIDTH, WAVE_HEIGHT, SPECTRUM_HEIGHT = 800, 120, 220
LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
_TOP_HZ = 8000.0
_FLOOR_DB = 70.0
_ABOUT = 0.85
_PITCH_STYLE = 'fill="none" stroke="#0ff" stroke-width="2.5"'
_VOICED = 0.5  # of the autocorrelation at lag 0
_COLOURS = np.array([(13, 8, 40), (84, 18, 110), (187, 55, 84), (249, 142, 9), (252, 255, 164)], np.float32)

Curve = Sequence[tuple[float, float]]


def svg(samples: np.ndarray, rate: int, curve: Curve = (), label: str = "") -> str:
    """An SVG element that scales to its place.

    Args:
        samples: float32 `(N,)`.
        curve: points (seconds, intensity 0..1) of the emotion, drawn over the waveform.
        label: what it is the picture of, for those who cannot see it.
    """
    seconds = len(samples) / rate
    times, pitch = f0(samples, rate)
    voiced = pitch[pitch > 0]
    heard = f"pitch {np.median(voiced):.0f} Hz" if len(voiced) else "no pitch"
    described = f"{label}: {seconds:.1f} s, {heard}".lstrip(": ")
    height = WAVE_HEIGHT + SPECTRUM_HEIGHT
    parts = [
        f'<svg class="emovoice-picture" viewBox="0 0 {WIDTH} {height}" role="img" width="100%"'
        f' xmlns="http://www.w3.org/2000/svg" aria-label="{escape(described, quote=True)}">',
        f"<title>{escape(described)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<path class="waveform" d="{_outline(samples)}" fill="#4c6ef5"/>',
        f'<image y="{WAVE_HEIGHT}" width="{WIDTH}" height="{SPECTRUM_HEIGHT}" preserveAspectRatio="none"'
        f' href="data:image/png;base64,{base64.b64encode(_png(spectrogram(samples, rate))).decode()}"/>',
        *(f'<path class="f0" d="{line}" {_PITCH_STYLE}/>' for line in _pitch_lines(times, pitch, seconds)),
        _curve_line(curve, seconds),
        _caption(seconds),
        "</svg>",
    ]
    return "".join(parts)


def f0(samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Times in s and pitch in Hz, 0 where there is none, every 10 ms, both `(T,)`.

    By the normalised autocorrelation of 40 ms windows: good enough to look at.
    """
    window, hop = round(0.04 * rate), round(0.01 * rate)
    if len(samples) < window:
        return np.zeros(0), np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop].astype(np.float64)
    frames = (frames - frames.mean(1, keepdims=True)) * np.hanning(window)
    spectrum = np.fft.rfft(frames, 2 * window)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, : window // 2]  # longer lags say little
    shape = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(window), 2 * window)) ** 2)[: window // 2]
    level = correlation[:, :1]
    normal = correlation / np.maximum(level * (shape / shape[0]), 1e-9)
    low, high = int(rate / HIGHEST_HZ), min(int(rate / LOWEST_HZ), window // 2 - 1)
    # Of the peaks about as high as the highest the first: multiples of the period fit as well as it does.
    inside, highest = normal[:, low:high], normal[:, low:high].max(1, keepdims=True)
    is_peak = (inside >= normal[:, low - 1 : high - 1]) & (inside >= normal[:, low + 1 : high + 1])
    lags = low + (is_peak & (inside >= _ABOUT * highest)).argmax(1)
    strength = np.take_along_axis(normal, lags[:, None], 1)[:, 0]
    loud = level[:, 0] > 1e-3 * level.max(initial=1e-9)
    pitch = np.where((strength > _VOICED) & loud, rate / lags, 0.0)
    return (np.arange(len(pitch)) * hop + window / 2) / rate, pitch


def spectrogram(samples: np.ndarray, rate: int, columns: int = 400, rows: int = 128) -> np.ndarray:
    """uint8 `(rows, columns, 3)`: time to the right, 0 to 8 kHz upwards, 70 dB of levels."""
    size = 1024
    padded = np.pad(samples.astype(np.float32), (size // 2, size // 2 + 1))
    starts = np.linspace(0, len(padded) - size, columns).astype(int)
    frames = np.stack([padded[start : start + size] for start in starts]) * np.hanning(size)
    power = np.abs(np.fft.rfft(frames)) ** 2
    top = min(size // 2, int(_TOP_HZ / rate * size))
    picked = power[:, np.linspace(0, top, rows).astype(int)]
    level_db = 10 * np.log10(picked + 1e-12)
    level = np.clip((level_db - level_db.max() + _FLOOR_DB) / _FLOOR_DB, 0, 1) * (len(_COLOURS) - 1)
    below = np.minimum(level.astype(int), len(_COLOURS) - 2)
    part = (level - below)[..., None]
    pixels = _COLOURS[below] * (1 - part) + _COLOURS[below + 1] * part
    return np.ascontiguousarray(pixels.transpose(1, 0, 2)[::-1].astype(np.uint8))


def _outline(samples: np.ndarray, columns: int = 400) -> str:
    """The waveform's upper and lower edge as the `d` of a path."""
    edges = np.linspace(0, len(samples), columns + 1).astype(int)
    blocks = [samples[a : max(b, a + 1)] for a, b in pairwise(edges)]
    scale = max(float(np.abs(samples).max(initial=0.0)), 1e-3)
    middle, half = WAVE_HEIGHT / 2, WAVE_HEIGHT / 2 - 2
    x = np.arange(columns) * WIDTH / columns
    upper = [middle - half * float(block.max(initial=0.0)) / scale - 0.5 for block in blocks]
    lower = [middle - half * float(block.min(initial=0.0)) / scale + 0.5 for block in blocks]
    points = [*zip(x, upper), *zip(x[::-1], lower[::-1])]
    return "M" + "L".join(f"{a:.0f} {b:.1f}" for a, b in points) + "Z"


def _pitch_lines(times: np.ndarray, pitch: np.ndarray, seconds: float) -> list[str]:
    """Paths of the voiced stretches over the spectrogram, on a log scale of their own."""
    if not len(pitch) or seconds <= 0:
        return []
    height = np.log(np.maximum(pitch, LOWEST_HZ) / LOWEST_HZ) / np.log(HIGHEST_HZ / LOWEST_HZ)
    y = WAVE_HEIGHT + SPECTRUM_HEIGHT * (1 - height)
    x = times / seconds * WIDTH
    breaks = np.flatnonzero(np.diff((pitch > 0).astype(int))) + 1
    runs = [run for run in np.split(np.arange(len(pitch)), breaks) if pitch[run[0]] > 0 and len(run) > 1]
    return ["M" + "L".join(f"{x[i]:.1f} {y[i]:.1f}" for i in run) for run in runs]


def _curve_line(curve: Curve, seconds: float) -> str:
    if not curve or seconds <= 0:
        return ""
    points = [(0.0, curve[0][1]), *curve, (seconds, curve[-1][1])]
    drawn = [(min(1.0, t / seconds) * WIDTH, (WAVE_HEIGHT - 4) * (1 - i) + 2) for t, i in points]
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in drawn)
    return f'<path class="emotion-curve" d="{line}" fill="none" stroke="#e8590c" stroke-width="3"/>'


def _caption(seconds: float) -> str:
    style = 'font-size="22" font-family="sans-serif" stroke-width="4" paint-order="stroke"'
    bottom = WAVE_HEIGHT + SPECTRUM_HEIGHT - 10
    return (
        f'<text x="8" y="24" {style} fill="#d9480f" stroke="#fff">emotion</text>'
        f'<text x="8" y="{WAVE_HEIGHT + 26}" {style} fill="#0ff" stroke="#000">'
        f"pitch, {LOWEST_HZ:.0f} to {HIGHEST_HZ:.0f} Hz</text>"
        f'<text x="{WIDTH - 8}" y="{bottom}" {style} fill="#fff" stroke="#000" text-anchor="end">{seconds:.1f} s</text>'
    )


def _png(pixels: np.ndarray) -> bytes:
    """uint8 `(H, W, 3)` as a PNG file."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + pixels[row].tobytes() for row in range(height))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 6)),
        (b"IEND", b""),
    )
    packed = (struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
              for kind, data in chunks)  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
