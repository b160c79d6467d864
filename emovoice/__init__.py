"""emovoice: speech in a chosen voice, emotion, intensity and time.

    import emovoice

    audio = emovoice.synthesize("You did what?", emotion="anger", intensity=0.7, duration_s=1.5)
    audio.save("what.wav")

Names are imported on first use, so that `import emovoice` takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from emovoice import torchaudio_shim

if TYPE_CHECKING:
    from emovoice.audio import Audio as Audio
    from emovoice.dubbing.run import dub as dub
    from emovoice.emotion.names import EMOTIONS as EMOTIONS
    from emovoice.engine import Engine as Engine
    from emovoice.errors import AudioError as AudioError
    from emovoice.errors import EmovoiceError as EmovoiceError
    from emovoice.errors import InputError as InputError
    from emovoice.errors import LengthError as LengthError
    from emovoice.errors import ModelError as ModelError
    from emovoice.errors import OutputError as OutputError
    from emovoice.limits import Limits as Limits
    from emovoice.shared import convert as convert
    from emovoice.shared import convert_stream as convert_stream
    from emovoice.shared import stream as stream
    from emovoice.shared import synthesize as synthesize
    from emovoice.speech import Speech as Speech
    from emovoice.voice import Voice as Voice
    from emovoice.voice import voices as voices

# Before anything here imports torchaudio, directly or through vocos and transformers.
torchaudio_shim.install()

_HOMES = {
    "Audio": "audio",
    "EMOTIONS": "emotion.names",
    "Engine": "engine",
    "dub": "dubbing.run",
    "convert": "shared",
    "convert_stream": "shared",
    "stream": "shared",
    "synthesize": "shared",
    "AudioError": "errors",
    "EmovoiceError": "errors",
    "InputError": "errors",
    "LengthError": "errors",
    "ModelError": "errors",
    "OutputError": "errors",
    "Limits": "limits",
    "Speech": "speech",
    "Voice": "voice",
    "voices": "voice",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'emovoice' has no attribute {name!r}")
    value = getattr(import_module(f"emovoice.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
