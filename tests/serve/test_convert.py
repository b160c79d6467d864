"""`POST /v1/audio/convert`, on a stand-in for what converts, and the wheel and picture of the page."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from emovoice.emotion.names import EMOTIONS
from emovoice.engine import Engine
from emovoice.serve import picture, wheel
from tests.serve.conftest import Live
from tests.serve.test_voices import recording


@dataclass
class Conversion:
    path: str
    asked: dict[str, Any]
    rate: int = 16_000
    warnings: tuple[str, ...] = ("it was quiet",)
    samples: np.ndarray = field(default_factory=lambda: np.full((8000, 2), 0.25, np.float32))

    def __iter__(self) -> Iterator[np.ndarray]:
        yield from (self.samples[:3000], self.samples[3000:])


@pytest.fixture
def made(fake_engine: Engine, serve: Callable[..., Live]) -> tuple[Live, list[Conversion]]:
    calls: list[Conversion] = []

    def convert_stream(path: str, emotion: Any = None, intensity: float | None = None, *, timbre: Any = None,
                       duration_s: float | None = None, seed: int = 0) -> Conversion:  # fmt: skip
        assert Path(path).is_file()
        calls.append(Conversion(path, {"emotion": emotion, "intensity": intensity, "timbre": timbre, "seed": seed}))
        return calls[-1]

    fake_engine.convert_stream = convert_stream  # type: ignore[attr-defined, method-assign, assignment, unused-ignore]
    return serve(fake_engine), calls


def test_a_recording_goes_through(made: tuple[Live, list[Conversion]]) -> None:
    live, calls = made
    form = {"emotion": "sad", "intensity": "0.6", "voice": "anna", "seed": "5", "response_format": "wav"}
    answer = httpx.post(f"{live.url}/v1/audio/convert", data=form, files={"file": ("../x.wav", recording())})
    assert answer.status_code == 200, answer.text
    samples, rate = soundfile.read(io.BytesIO(answer.content))
    assert rate == 16_000 and len(samples) == 8000 and np.abs(samples - 0.25).max() < 1e-4
    asked = calls[0].asked
    assert (asked["emotion"], asked["intensity"], asked["timbre"].name, asked["seed"]) == ("sad", 0.6, "anna", 5)
    assert not Path(calls[0].path).exists(), "the upload is gone"
    report = httpx.get(f"{live.url}/v1/audio/reports/{answer.headers['x-request-id']}").json()
    assert {"it was quiet", "its 2 channels were mixed to one"} <= set(report["warnings"])


def test_words_that_name_an_emotion(made: tuple[Live, list[Conversion]]) -> None:
    live, calls = made
    form = {"instructions": "Anger.", "response_format": "mp3"}
    answer = httpx.post(f"{live.url}/v1/audio/convert", data=form, files={"file": recording()})
    assert answer.status_code == 200 and calls[0].asked["emotion"] == "angry"


@pytest.mark.parametrize(
    ("form", "param"),
    [({"intensity": "2"}, "intensity"), ({"seed": "x"}, "seed"), ({"voice": "nobody"}, "voice"),
     ({"response_format": "ogg"}, "response_format"), ({"duration_s": "-1"}, "duration_s")],
)  # fmt: skip
def test_what_cannot_be_used(made: tuple[Live, list[Conversion]], form: dict[str, str], param: str) -> None:
    live, calls = made
    answer = httpx.post(f"{live.url}/v1/audio/convert", data=form, files={"file": recording()})
    assert answer.status_code in (400, 404) and answer.json()["error"]["param"] == param and not calls
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
