"""What every test runs under: one thread, no network, torchaudio importable.

The variables are read when torch, gradio and huggingface_hub are first imported, so they are set here, before
any test module is.
"""

import os

# Spinning OpenMP threads make two threads slower than one as soon as a core is shared, as it is in CI.
os.environ["OMP_WAIT_POLICY"] = "passive"
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.pop("EMOVOICE_MODEL", None)  # a developer's own default must not decide what is tested

# Tests of the leaf packages import vocos and transformers without going through emovoice/__init__.py.
from emovoice import torchaudio_shim  # noqa: E402

torchaudio_shim.install()


# ---- the API, on the debug model or on stand-ins -------------------------------------------------

from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from emovoice import shared as shared_module  # noqa: E402
from emovoice import voice as voice_module  # noqa: E402
from emovoice.engine import Engine  # noqa: E402
from emovoice.voice import Voice  # noqa: E402
from tests import fakes  # noqa: E402


@pytest.fixture
def shipped(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of voices that stands in for the one emovoice comes with: default, anna and bert (British)."""
    folder = tmp_path_factory.mktemp("voices")
    noise = np.random.default_rng(0)
    for name in ("default", "anna", "bert"):
        timbre, emotion = noise.standard_normal(192, np.float32), noise.standard_normal(256, np.float32)
        accent = "gb" if name == "bert" else "us"
        Voice(name, timbre, emotion, accent=accent, source="noise").save(folder / f"{name}.safetensors")
    monkeypatch.setattr(voice_module, "_folder", lambda: folder)
    monkeypatch.setattr(shared_module, "_shared", {})
    return folder


@pytest.fixture
def fake_engine(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine on stand-ins, for tests that count calls or make the pipeline fail."""
    fakes.install(monkeypatch)
    return Engine("debug")


@pytest.fixture
def engine_factory(shipped: Path) -> Callable[..., Engine]:
    """Makes engines of the debug model, for behaviour that any model has to show; options of `Engine`."""
    return lambda **options: Engine("debug", **options)
