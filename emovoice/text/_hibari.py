"""Reaches the pronunciation part of hibari-tts without loading its synthesiser.

`import hibari` loads onnxruntime and numpy (0.6 s) although the G2P is plain Python (0.03 s) and needs onnxruntime
only for words that are in no dictionary. So `hibari/g2p` is loaded as a package of its own, under a private name;
`hibari` itself stays importable for whoever wants it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType

_NAME = "_emovoice_hibari_g2p"


@lru_cache(maxsize=None)
def package() -> ModuleType:
    """The module `hibari.g2p` (G2P, Tok). Raises ModuleNotFoundError where hibari-tts is not installed."""
    found = importlib.util.find_spec("hibari")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("hibari-tts is not installed: pip install hibari-tts", name="hibari")
    folder = Path(found.origin).parent / "g2p"
    spec = importlib.util.spec_from_file_location(
        _NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"no G2P in {folder.parent}", name="hibari.g2p")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[_NAME]
        raise
    return module


def submodule(name: str) -> ModuleType:
    """The module `hibari.g2p.<name>`."""
    package()
    return importlib.import_module(f"{_NAME}.{name}")
