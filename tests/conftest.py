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
