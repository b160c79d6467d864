"""Import torchaudio even where its compiled operators cannot load.

torchaudio's wheels are compiled against one CUDA version. Under a CPU build of torch its libraries do not
load (`OSError: libc10_cuda.so`), under another CUDA version it refuses by itself (`RuntimeError`). Either way
the whole package fails to import, and with it every package that imports it: vocos, encodec, and any model
class of transformers. We use only the Python part of torchaudio, which works without the operators.

`install()` puts a finder in front of the import system that looks at one module only, the one that loads the
operators: `torchaudio._extension`. Where it fails, the module says "no operators" and the import goes on.
Nothing is imported until somebody imports torchaudio, so `emovoice/__init__.py` can afford the call; it must
come before the first import of torchaudio, vocos or transformers. A call of an operator that is missing then
raises RuntimeError.

Missing without the operators: `forced_align` and the RNN-T loss. Slow: `lfilter` and all filters built on it
(about half a second for each second of audio: use scipy.signal instead).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, NoReturn

_GUARDED = "torchaudio._extension"
_REASON = "_emovoice_reason"


class _TolerantLoader(Loader):
    """Loads a module with `inner`, and leaves a stand-in when its compiled libraries do not load."""

    def __init__(self, inner: Loader) -> None:
        self._inner = inner

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        try:
            self._inner.exec_module(module)
        except (OSError, RuntimeError) as error:  # no such library / compiled for another CUDA version
            _fill_in(module, f"{type(error).__name__}: {error}")


class _Finder(MetaPathFinder):
    """Finds torchaudio._extension as Python would, and wraps its loader."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _GUARDED:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _TolerantLoader(spec.loader)
        return spec


def install() -> None:
    """Make every later import of torchaudio survive missing operators. Quick; more calls change nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def ensure_torchaudio() -> tuple[ModuleType, bool]:
    """Import torchaudio.

    Returns:
        The module, and whether its compiled operators are there.

    Raises:
        ModuleNotFoundError: torchaudio is not installed.
    """
    install()
    torchaudio = importlib.import_module("torchaudio")
    return torchaudio, missing_reason() is None


def missing_reason() -> str | None:
    """Why the compiled operators did not load; None when they did, or torchaudio was not imported yet."""
    return getattr(sys.modules.get(_GUARDED), _REASON, None)


def _fill_in(module: ModuleType, reason: str) -> None:
    """Give `module` the names that the rest of torchaudio takes from it, without operators behind them."""

    def unavailable(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise RuntimeError(f"torchaudio's operators are unavailable with this torch build ({reason})")

    vars(module).update(
        {
            _REASON: reason,
            "_IS_TORCHAUDIO_EXT_AVAILABLE": False,
            "_IS_ALIGN_AVAILABLE": False,
            "_check_cuda_version": lambda: None,
            "fail_if_no_align": lambda _function: unavailable,
        }
    )
