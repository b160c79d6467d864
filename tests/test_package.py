"""The functions of the package: the same as an engine's, on a model that is loaded once and may be named outside."""

import threading
from collections.abc import Callable

import numpy as np
import pytest

import emovoice
from emovoice.engine import Engine
from emovoice.errors import ModelError
from emovoice.models import chosen_model
from emovoice.shared import shared_engine
from emovoice.voice import Voice

Factory = Callable[..., Engine]

TEXT = "The door was open. Nobody had come in!"


def same(a: emovoice.Audio, b: emovoice.Audio) -> bool:
    return np.array_equal(a.samples, b.samples)


def test_the_environment_names_the_default_model(engine_factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOVOICE_MODEL", "debug")
    assert Engine().pipeline.name == "debug" and shared_engine() is shared_engine("debug")
    assert same(emovoice.synthesize(TEXT), engine_factory().synthesize(TEXT))
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 144_000).astype(np.float32)
    assert list(emovoice.stream(TEXT)) and Voice.from_audio(noise).model == "debug"
    monkeypatch.setenv("EMOVOICE_MODEL", "no such model")
    with pytest.raises(ModelError, match="no such model"):
        Engine()
    Engine("debug")


def test_an_empty_variable_means_the_embedded_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOVOICE_MODEL", "")
    assert chosen_model() == "mini" and chosen_model("debug") == "debug"
    monkeypatch.delenv("EMOVOICE_MODEL")
    assert chosen_model() == "mini" and chosen_model("") == ""


def test_the_shared_engine_is_loaded_once(engine_factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Engine] = []
    threads = [threading.Thread(target=lambda: found.append(shared_engine("debug"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(engine) for engine in found}) == 1 and len(found) == 8


def test_the_functions_of_the_package(engine_factory: Factory) -> None:
    expected = engine_factory().synthesize(TEXT, "anna", "joy", 0.4, seed=5)
    assert same(emovoice.synthesize(TEXT, "anna", "joy", 0.4, seed=5, model="debug"), expected)
    chunks = list(emovoice.stream(TEXT, "anna", "joy", 0.4, seed=5, model="debug"))
    assert np.array_equal(np.concatenate(chunks), expected.samples)


def test_the_names_of_the_package() -> None:
    assert sorted(emovoice.__all__) == sorted(
        ["Audio", "AudioError", "EMOTIONS", "EmovoiceError", "Engine", "InputError", "LengthError", "Limits",
         "ModelError", "OutputError", "Speech", "Voice", "convert", "convert_stream", "dub", "stream", "synthesize",
         "voices"]
    )  # fmt: skip
    assert all(hasattr(emovoice, name) for name in emovoice.__all__) and set(emovoice.__all__) <= set(dir(emovoice))
    with pytest.raises(AttributeError):
        _ = emovoice.nonsense
