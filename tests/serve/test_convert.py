"""`POST /v1/audio/convert` on the debug model, and the wheel and picture of the page."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from emovoice.emotion.names import EMOTIONS
from emovoice.engine import Engine
from emovoice.provenance import detect
from emovoice.serve import picture, wheel
from tests.serve.conftest import Live
from tests.serve.test_voices import recording


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine("debug")


@pytest.fixture
def live(serve: Callable[..., Live], engine: Engine) -> Live:
    return serve(engine)


def post(live: Live, form: dict[str, str], file: bytes | None = None) -> httpx.Response:
    given = {"file": ("../x.wav", file or recording(seconds=1.5))}
    return httpx.post(f"{live.url}/v1/audio/convert", data=form, files=given, timeout=110)


def expected(engine: Engine, tmp_path: Path, *arguments: Any, **options: Any) -> np.ndarray:
    """What the engine makes of the same file, in 16 bits."""
    path = tmp_path / "given.wav"
    path.write_bytes(recording(seconds=1.5))
    return np.round(np.clip(engine.convert(path, *arguments, **options).samples, -1, 1) * 32767)


def wav16(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return soundfile.read(io.BytesIO(answer.content), dtype="int16")[0]


def report(live: Live, answer: httpx.Response) -> dict[str, Any]:
    return httpx.get(f"{live.url}/v1/audio/reports/{answer.headers['x-request-id']}").json()


def test_a_recording_goes_through(live: Live, engine: Engine, tmp_path: Path) -> None:
    before = set(Path(tempfile.gettempdir()).glob("emovoice-upload-*"))
    answer = post(live, {"emotion": "sad", "intensity": "0.6", "voice": "alice", "seed": "5", "response_format": "wav"})
    made = wav16(answer)
    wanted = expected(engine, tmp_path, "sad", 0.6, timbre="alice", seed=5)
    assert np.abs(made - wanted).max() <= 1 and len(made) == len(wanted)
    assert set(Path(tempfile.gettempdir()).glob("emovoice-upload-*")) <= before, "the upload is gone"
    told = report(live, answer)
    assert told["finished"] and told["voice"] == "alice" and told["mark"] == "metadata"
    (tmp_path / "a.wav").write_bytes(answer.content)
    assert (detect(tmp_path / "a.wav").metadata or {})["process"] == "conversion"


def test_two_channels_become_one(live: Live) -> None:
    samples, rate = soundfile.read(io.BytesIO(recording(seconds=1.5)))
    file = io.BytesIO()
    soundfile.write(file, np.stack([samples, samples / 2], 1), rate, format="WAV")
    answer = post(live, {"emotion": "sad"}, file.getvalue())
    assert wav16(answer).shape == (len(samples),)
    assert "its 2 channels were mixed to one" in report(live, answer)["warnings"]


def test_emotions_in_words_and_over_time(live: Live, engine: Engine, tmp_path: Path) -> None:
    named = wav16(post(live, {"emotion": "angry"}))
    assert np.array_equal(wav16(post(live, {"instructions": "Anger."})), named), "a plain name means that emotion"
    words = "starts calm, ends furious"
    told = wav16(post(live, {"instructions": words}))
    assert np.abs(told - expected(engine, tmp_path, instruction=words)).max() <= 1
    points = [(0.0, "sad", 0.2), (1.0, "happy", 1.0)]
    curved = post(live, {"curve": json.dumps(points), "instructions": "sadly"})
    assert np.abs(wav16(curved) - expected(engine, tmp_path, points)).max() <= 1
    assert any("instructions were not used" in text for text in report(live, curved)["warnings"])
    assert not np.array_equal(told, named)


def test_a_model_that_does_not_convert(live: Live, fake_engine: Engine, serve: Callable[..., Live]) -> None:
    answer = post(serve(fake_engine), {"emotion": "sad"})
    assert answer.status_code == 501 and answer.json()["error"]["code"] == "not_implemented"


@pytest.mark.parametrize(
    ("form", "param"),
    [({"intensity": "2"}, "intensity"), ({"seed": "x"}, "seed"), ({"voice": "nobody"}, "voice"),
     ({"response_format": "ogg"}, "response_format"), ({"duration_s": "-1"}, "duration_s"),
     ({"curve": "x"}, "curve"), ({"curve": "[]"}, "curve"), ({"curve": "[" * 9999}, "curve"),
     ({"curve": '[[0, "grumpyish", 1]]'}, "curve"), ({"curve": '[[1, "sad", 1], [0, "sad", 1]]'}, "curve"),
     ({"curve": '[[0, "sad", 1]]', "emotion": "sad"}, "curve"), ({}, "emotion"), ({"emotion": "hungry"}, "emotion"),
     ({"emotion": "sad", "duration_s": "60"}, "duration_s")],
)  # fmt: skip
def test_what_cannot_be_used(live: Live, form: dict[str, str], param: str) -> None:
    answer = post(live, form)
    assert answer.status_code in (400, 404) and answer.json()["error"]["param"] == param
    assert httpx.post(f"{live.url}/v1/audio/convert", data=form).status_code in (400, 404)


# ---- what the page draws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("emotion", EMOTIONS)
@pytest.mark.parametrize("intensity", [0.2, 0.5, 1.0])
def test_the_wheel_finds_what_it_shows(emotion: str, intensity: float) -> None:
    found, strength = wheel.at(*wheel.place(emotion, intensity))
    assert found == emotion and strength == pytest.approx(intensity, abs=0.01)


def test_the_middle_of_the_wheel_is_neutral_and_its_outside_full() -> None:
    assert wheel.at(*wheel.place("neutral", 0.0)) == ("neutral", 0.0)
    assert wheel.at(wheel.SIZE, wheel.SIZE / 2) == ("happy", 1.0)
    assert wheel.picture("anger", 0.5).shape == (wheel.SIZE, wheel.SIZE, 3)


@pytest.mark.parametrize("hertz", [80.0, 150.0, 300.0, 450.0])
def test_the_pitch_of_a_tone(hertz: float) -> None:
    t = np.arange(24_000) / 24_000
    tone = sum(np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, 6)).astype(np.float32)
    _, pitch = picture.f0(tone, 24_000)
    assert np.median(pitch[pitch > 0]) == pytest.approx(hertz, rel=0.03) and (pitch > 0).mean() > 0.9
    _, pitch = picture.f0(np.random.default_rng(0).standard_normal(24_000).astype(np.float32), 24_000)
    assert (pitch > 0).mean() < 0.2


def test_the_picture_is_well_formed_whatever_it_shows() -> None:
    from xml.etree import ElementTree

    for samples in (np.zeros(0), np.zeros(10), np.zeros(24_000), np.random.default_rng(0).uniform(-1, 1, 9000)):
        drawn = picture.svg(samples.astype(np.float32), 24_000, [(0.0, 0.2), (0.1, 0.9)], '<"&label>')
        root = ElementTree.fromstring(drawn)
        assert root.get("role") == "img" and "label" in (root.get("aria-label") or "")
        assert "http" not in drawn.replace('xmlns="http://www.w3.org/2000/svg"', "")
