"""An inaudible mark in the samples that survives codecs, resampling and cutting (extra `watermark`).

Perth's implicit network (Resemble AI, MIT): it was chosen because its licence is permissive and its weights are part
of the package, so that marking needs no download. It adds a residual below 2 kHz where the speech hides it; the
detector gives one number per recording. It carries no message: the metadata says who and what. `docs/server.md` has
what it was measured to survive, and what it does not (a change of speed by more than about one per cent).

Chunks are marked one by one, so that streaming waits for nothing, and every chunk carries the mark by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from functools import lru_cache
from importlib.util import find_spec
from io import StringIO
from typing import Any

import numpy as np

from emovoice.waveform import resample

THRESHOLD = 0.5
"""A score from here on says that the mark is there; unmarked speech scores about 0, marked speech about 1."""

SHORTEST_S = 0.1
"""A chunk shorter than this is left as it is: it is less than two windows of the network."""

_RATE_HZ = 32_000  # what the network was trained at
_loading = threading.Lock()


def available() -> bool:
    """Whether the extra is installed."""
    return find_spec("perth") is not None and find_spec("librosa") is not None


def mark(samples: np.ndarray, rate: int) -> np.ndarray:
    """Float32 `(N,)` or `(N, C)` with the mark in each channel, same length and level.

    Only what the network changes is added, so nothing above its range or finer than its steps is touched.
    """
    import torch

    if samples.ndim == 2:
        channels = [(channel, mark(channel, rate)) for channel in samples.T]
        return np.stack([new for _, new in channels], 1) if any(new is not old for old, new in channels) else samples
    if len(samples) < SHORTEST_S * rate or not np.any(samples):
        return samples
    network = _network()
    wave = resample(np.asarray(samples, np.float32), rate, _RATE_HZ)
    with torch.inference_mode():
        magnitude, phase = network.ap.signal_to_magphase(torch.from_numpy(np.ascontiguousarray(wave)))
        marked = network.encoder(magnitude[None])[0][0]
        both = torch.stack([network.ap.magphase_to_signal(m, phase) for m in (marked, magnitude)]).numpy()
    change = resample(np.ascontiguousarray(both[0] - both[1]), _RATE_HZ, rate)
    out = np.array(samples, np.float32)
    count = min(len(out), len(change))
    out[:count] += np.nan_to_num(change[:count])
    return out


class Marker:
    """Marks chunks one after the other where the extra is installed, and knows whether any of them was.

    Args:
        rate: samples a second.
        wanted: False leaves all as it is.
    """

    def __init__(self, rate: int, wanted: bool = True) -> None:
        self.rate, self.active = rate, wanted and available()
        self.has_marked = False

    def __call__(self, chunk: np.ndarray) -> np.ndarray:
        """The chunk, marked; itself where it is too short or silent, or nothing is to be marked."""
        if not self.active:
            return chunk
        out = mark(chunk, self.rate)
        self.has_marked |= out is not chunk
        return out

    def each(self, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """All of them, as they are asked for."""
        return map(self, chunks)


def score(samples: np.ndarray, rate: int) -> float | None:
    """How sure the detector is of the whole, 0..1; None where there is too little sound to tell.

    It knows speech: steady tones score as if they were marked, whoever played them.
    """
    import torch

    if len(samples) < SHORTEST_S * rate or not np.any(samples):
        return None
    network = _network()
    wave = resample(np.asarray(samples, np.float32), rate, _RATE_HZ)
    with torch.inference_mode():
        magnitude, _ = network.ap.signal_to_magphase(torch.from_numpy(np.ascontiguousarray(wave)))
        found = float(network.decoder(magnitude[None])[0])
    return min(1.0, max(0.0, found)) if np.isfinite(found) else None


def _network() -> Any:
    with _loading:
        return _loaded()


@lru_cache(maxsize=1)
def _loaded() -> Any:
    from emovoice import torchaudio_shim

    torchaudio_shim.install()
    with redirect_stdout(StringIO()):  # it prints the step it was trained to
        from perth.perth_net import PREPACKAGED_MODELS_DIR
        from perth.perth_net.perth_net_implicit.model.perth_net import PerthNet

        return PerthNet.load("implicit", PREPACKAGED_MODELS_DIR).eval()
