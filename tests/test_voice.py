"""A voice is a value: it can be compared, hashed, saved, loaded and named."""

import os
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from emovoice.engine import Engine
from emovoice.errors import AudioError, InputError, ModelError, OutputError
from emovoice.voice import Voice, voices


def some_voice(seed: int = 0, **labels: object) -> Voice:
    noise = np.random.default_rng(seed)
    numbers = noise.standard_normal(192, np.float32), noise.standard_normal(256, np.float32)
    return Voice("anna", *numbers, **labels)  # type: ignore[arg-type]


def recording(seconds: float = 6) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * 24_000)).astype(np.float32)


def test_equal_content_is_the_same_voice() -> None:
    voice = some_voice()
    assert voice == some_voice() and hash(voice) == hash(some_voice())
    assert voice == replace(voice, name="other", source="elsewhere") and len({voice, some_voice()}) == 1
    assert voice != some_voice(1) and voice != replace(voice, accent="gb") and voice != "anna"
    nudged = voice.timbre.copy()
    nudged[7] = np.nextafter(nudged[7], 9, dtype=np.float32)
    assert voice != replace(voice, timbre=nudged)


def test_a_voice_cannot_be_changed() -> None:
    numbers = np.zeros(192, np.float32)
    voice = Voice("anna", numbers, np.zeros(256))
    numbers[0] = 1
    assert voice.timbre[0] == 0 and voice.emotion.dtype == np.float32
    with pytest.raises(ValueError):
        voice.timbre[0] = 1
    with pytest.raises(FrozenInstanceError):
        voice.name = "b"  # type: ignore[misc]


@pytest.mark.parametrize("seed", range(5))
def test_saved_and_loaded_it_is_equal(tmp_path: Path, seed: int) -> None:
    voice = some_voice(seed, accent="gb", model="mini", source="a reel of tape, Zoë")
    path = voice.save(tmp_path / "v.safetensors")
    again = Voice.load(path)
    assert again == voice and hash(again) == hash(voice) == hash(pickle.loads(pickle.dumps(voice)))
    assert (again.name, again.accent, again.model, again.source) == (
        "anna",
        "gb",
        "mini",
        "a reel of tape, Zoë",
    )
    assert os.listdir(tmp_path) == ["v.safetensors"]


def test_saving_does_not_overwrite(tmp_path: Path) -> None:
    path = some_voice(0).save(tmp_path / "v.safetensors")
    with pytest.raises(OutputError, match="exists"):
        some_voice(1).save(path)
    assert Voice.load(path) == some_voice(0)
    some_voice(1).save(path, force=True)
    assert Voice.load(path) == some_voice(1)
    with pytest.raises(OutputError, match="ending"):
        some_voice().save(tmp_path / "v.wav")


@pytest.mark.parametrize(
    ("timbre", "emotion"),
    [(np.zeros(191), np.zeros(256)), (np.zeros(192), np.zeros(192)), (np.zeros((1, 192)), np.zeros(256)),
     (np.full(192, np.nan), np.zeros(256)), (np.zeros(192), np.full(256, np.inf))],
)  # fmt: skip
def test_vectors_are_checked(timbre: np.ndarray, emotion: np.ndarray) -> None:
    with pytest.raises(InputError):
        Voice("anna", timbre, emotion)


# ---- with the recording -----------------------------------------------------------------------------------


def test_a_voice_may_keep_its_recording(tmp_path: Path) -> None:
    voice = some_voice()
    kept = replace(voice, recording=recording(2)[:44_100], recording_hz=22_050)
    assert kept != voice and kept.content_hash != voice.content_hash and kept == replace(kept, name="other")
    assert kept != replace(kept, recording_hz=24_000) and kept != replace(kept, recording=kept.recording[:-1])
    again = Voice.load(kept.save(tmp_path / "v.safetensors"))
    assert again == kept and np.array_equal(again.recording, kept.recording) and again.recording_hz == 22_050
    with pytest.raises(ValueError):
        again.recording[0] = 1


def test_a_flipped_bit_of_the_recording_is_noticed(tmp_path: Path) -> None:
    kept = replace(some_voice(), recording=recording(2), recording_hz=24_000)
    path = kept.save(tmp_path / "v.safetensors")
    data = bytearray(path.read_bytes())
    data[-50_000] ^= 64
    path.write_bytes(data)
    with pytest.raises(ModelError, match="checksum"):
        Voice.load(path)


@pytest.mark.parametrize(
    ("samples", "rate"),
    [(recording(1), 48_000), (recording(1), 0), (recording(16), 24_000), (recording(1)[:100], 24_000),
     (np.zeros((2, 24_000)), 24_000), (np.full(24_000, np.nan), 24_000), (None, 24_000), (recording(1), 24_000.0)],
)  # fmt: skip
def test_a_recording_that_does_not_belong_in_a_voice(samples: np.ndarray, rate: int) -> None:
    with pytest.raises(InputError):
        replace(some_voice(), recording=samples, recording_hz=rate)


def test_a_model_listens_again_to_a_voice_of_another(engine_factory: Callable[..., Engine]) -> None:
    engine = engine_factory()
    heard = engine.voice_from(recording())
    other = replace(heard, timbre=np.zeros(192), model="another", recording=recording(), recording_hz=24_000)
    assert not any("another" in warning for warning in engine.stream("Hello.", other).warnings)
    mute = replace(other, recording=None, recording_hz=0)
    assert any("another" in warning for warning in engine.stream("Hello.", mute).warnings)
    assert np.array_equal(
        engine.synthesize("Hello.", other).samples, engine.synthesize("Hello.", heard).samples
    ) and not np.array_equal(engine.synthesize("Hello.", mute).samples, engine.synthesize("Hello.", heard).samples)


def test_an_unknown_accent() -> None:
    with pytest.raises(InputError, match="'us' or 'gb'"):
        some_voice(accent="fr")


# ---- files ----------------------------------------------------------------------------------------------


def test_voices_that_come_with_emovoice(shipped: Path) -> None:
    assert voices() == ("anna", "bert", "default")
    assert Voice.load("bert").accent == "gb"
    assert Voice.load(str(shipped / "anna.safetensors")) == Voice.load("anna")


@pytest.mark.parametrize(("slip", "meant"), [("ana", "anna"), ("Bert", "bert"), ("defualt", "default")])
def test_did_you_mean(shipped: Path, slip: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"Did you mean '{meant}'"):
        Voice.load(slip)


@pytest.mark.parametrize("name", ["zzz", "", "..", "a\0b", "x" * 5000])
def test_unknown_names(shipped: Path, name: str) -> None:
    with pytest.raises((InputError, ModelError)):
        Voice.load(name)


def test_an_installation_without_voices(shipped: Path) -> None:
    for file in shipped.iterdir():
        file.unlink()
    assert voices() == ()
    shipped.rmdir()
    assert voices() == ()
    with pytest.raises(ModelError, match="without voices"):
        Voice.load("default")


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, 300, 1000, -1])
def test_a_truncated_file(tmp_path: Path, kept: int) -> None:
    path = some_voice().save(tmp_path / "v.safetensors")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError):
        Voice.load(path)


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_is_noticed(tmp_path: Path, seed: int) -> None:
    voice = some_voice()
    path = voice.save(tmp_path / "v.safetensors")
    data = bytearray(path.read_bytes())
    position = int(np.random.default_rng(seed).integers(len(data)))
    data[position] ^= 1 << seed % 8
    path.write_bytes(data)
    try:
        assert Voice.load(path) == voice, "only a label may have changed"
    except ModelError:
        pass


def test_files_that_are_not_voices(tmp_path: Path) -> None:
    good = {"timbre": np.zeros(192, np.float32), "emotion": np.zeros(256, np.float32)}
    for number, tensors in enumerate(
        [
            {"timbre": good["timbre"]},
            {**good, "timbre": np.zeros(5)},
            {**good, "emotion": np.full(256, np.nan)},
        ]
    ):
        (tmp_path / f"{number}.safetensors").write_bytes(save(tensors))
        with pytest.raises(ModelError, match="not a voice"):
            Voice.load(tmp_path / f"{number}.safetensors")
    (tmp_path / "accent.safetensors").write_bytes(save(good, {"accent": "fr"}))
    (tmp_path / "large.safetensors").write_bytes(bytes(2**20 + 1))
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("accent", "large", "folder", "missing"):
        with pytest.raises(ModelError):
            Voice.load(tmp_path / f"{name}.safetensors")


def test_a_file_without_labels(tmp_path: Path) -> None:
    tensors = {"timbre": np.ones(192, np.float32), "emotion": np.zeros(256, np.float32)}
    (tmp_path / "carl.safetensors").write_bytes(save(tensors))
    voice = Voice.load(tmp_path / "carl.safetensors")
    assert (voice.name, voice.accent, voice.model) == ("carl", "us", "")


# ---- from recordings -----------------------------------------------------------------------------------


def test_a_voice_from_a_recording(engine_factory: Callable[..., Engine], tmp_path: Path) -> None:
    voice = Voice.from_audio(recording(), model="debug", name="me", accent="gb")
    assert (voice.name, voice.accent, voice.model, voice.warnings) == ("me", "gb", "debug", ())
    assert Voice.from_audio((recording(), 24_000), model="debug", accent="gb") == voice
    assert Voice.load(voice.save(tmp_path / "me.safetensors")) == voice


def test_what_is_wrong_with_the_recording_stays_with_the_voice(engine_factory: Callable[..., Engine]) -> None:
    voice = Voice.from_audio(recording(1), model="debug")
    assert len(voice.warnings) == 1 and voice.warnings[0].startswith("voice: only 1.0 s")
    with pytest.raises(AudioError):
        Voice.from_audio(recording(0.05), model="debug")
