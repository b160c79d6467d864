"""Compare our modules with numbers that another implementation printed, from one .npz file.

A file holds arrays by name and `meta`: JSON as bytes, with the configuration, a salt and a seed. From these the module
is built and filled by the rule in weights.py, so no weights are needed.
"""
from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from emovoice.errors import InputError

Arrays: TypeAlias = dict[str, np.ndarray]
Compare: TypeAlias = Callable[[Arrays, dict[str, Any]], dict[str, float]]

_HERE = "emovoice.testing."
_COMPARERS = {
    "UnifiedVoice": (_HERE + "parity_t2s", "compare_t2s"),
    "RepCodec": (_HERE + "parity_s2m", "compare_codec"),
    "EnhancedCodec": (_HERE + "parity_s2m", "compare_codec"),
    "CAMPPlus": (_HERE + "parity_s2m", "compare_campplus"),
    "S2M": (_HERE + "parity_s2m", "compare_s2m"),
    "BigVGAN": (_HERE + "parity_s2m", "compare_bigvgan"),
}
"""Beginning of `meta["model"]` -> module and function."""

_FEATURES = (_HERE + "parity_s2m", "compare_features")
_FEATURE_INPUTS = ("wav22k", "wav16k")


def parity(path: str | os.PathLike[str]) -> dict[str, float]:
    """Largest difference per array between a file and what our modules compute.

    Returns:
        For each array that the module computes: of real numbers the largest absolute difference, of whole numbers
        (codes, masks) how many differ. Infinite where shapes differ or a number is not finite. Arrays that are inputs
        are not in it.

    Raises:
        InputError: not such a file, an unknown model, or an array or value that its model needs is missing.
        ModelError: a configuration that our modules do not know.
    """
    import torch

    arrays, meta = read(path)
    where, name = _comparer(arrays, meta, path)
    compare: Compare = getattr(import_module(where), name)
    try:
        with torch.random.fork_rng(devices=[]):  # modules draw weights before they are filled
            return compare(arrays, meta)
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
        raise InputError(f"the arrays and the configuration do not fit: {type(error).__name__}: {error}", field="path",
                         value=str(path), remedy="See the arrays that the README of parity vectors names") from error


def read(path: str | os.PathLike[str]) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and `meta` of a file. Raises InputError."""
    try:
        with np.load(Path(path), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files} if hasattr(stored, "files") else {}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise InputError(f"the parity file cannot be read: {error}", field="path", value=str(path),
                         remedy="Give a .npz file as numpy.savez writes it") from error
    if "meta" not in arrays:
        raise InputError("the parity file has no array `meta`", field="path", value=str(path),
                         remedy="Give a .npz file with `meta` as JSON bytes")
    try:
        meta = json.loads(arrays.pop("meta").tobytes())
    except (UnicodeDecodeError, ValueError) as error:
        raise InputError(f"`meta` is not JSON: {error}", field="path", value=str(path)) from error
    if not isinstance(meta, dict):
        raise InputError("`meta` is not a JSON object", field="path", value=str(path))
    seed = meta.get("seed", 0)
    if type(seed) is not int or seed < 0:
        raise InputError("the seed must be a whole number from 0", field="meta.seed", value=seed)
    return arrays, meta


def difference(ours: Any, theirs: np.ndarray) -> float:
    """Largest absolute difference of real numbers, count of differing whole numbers; infinite for other shapes."""
    ours = np.asarray(ours)
    if ours.shape != theirs.shape:
        return math.inf
    if not theirs.size:
        return 0.0
    if np.issubdtype(theirs.dtype, np.integer):
        return float(np.count_nonzero(ours != theirs))
    largest = float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max())
    return largest if math.isfinite(largest) else math.inf


def _comparer(arrays: Arrays, meta: dict[str, Any], path: str | os.PathLike[str]) -> tuple[str, str]:
    model = str(meta.get("model", ""))
    for beginning, comparer in _COMPARERS.items():
        if model.startswith(beginning):
            return comparer
    if not model and any(name in arrays for name in _FEATURE_INPUTS):
        return _FEATURES
    raise InputError("no module of ours belongs to this file", field="meta.model", value=model or None,
                     remedy=f"Known are {', '.join(_COMPARERS)}, and front ends with {' or '.join(_FEATURE_INPUTS)}")
