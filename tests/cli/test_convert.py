"""`emovoice convert`: what it writes, what it answers, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from emovoice.cli import main
from emovoice.emotion.path import read_keyframes
from emovoice.errors import InputError
from emovoice.provenance import detect

pytestmark = pytest.mark.usefixtures("engine_factory")
RATE = 16_000


@pytest.fixture
def convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`emovoice convert in.wav ... --model debug` in a folder with a stereo recording of 1.5 s."""
    monkeypatch.chdir(tmp_path)
    t = np.arange(round(1.5 * RATE)) / RATE
    buzz = 0.3 * np.sign(np.sin(2 * np.pi * 130 * t)) * np.clip(np.sin(2 * np.pi * 3 * t) + 0.5, 0, 1)
    soundfile.write("in.wav", np.stack([buzz, 0.5 * buzz], 1), RATE)
    return lambda *arguments: main(["convert", "in.wav", *arguments, "--model", "debug"])


def test_it_converts(convert: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("-o", "out.wav", "--emotion", "sad", "--intensity", "0.6") == 0
    info = soundfile.info("out.wav")
    assert (info.samplerate, info.channels, info.frames) == (RATE, 2, 24_000)
    out, err = capsys.readouterr()
    assert out == "" and "warning: 2 channels" in err and "out.wav: 1.50 s" in err
    assert sorted(os.listdir()) == ["in.wav", "out.wav"]


def test_json(convert: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--curve", "0:sad:0.2, 1:happy:1", "--duration", "2", "--seed", "4", "--steps", "1", "--keep", "0.5"]
    assert convert("-o", "out.flac", "--json", "--quiet", *options) == 0
    report = json.loads(capsys.readouterr().out)
    assert report.pop("real_time_factor") > 0
    assert any("length changed" in warning for warning in report.pop("warnings"))
    assert report.pop("mark") in ("metadata", "metadata, watermark")
    assert (detect("out.flac").metadata or {})["process"] == "conversion"
    assert report == {"path": "out.flac", "duration_s": 2.0, "asked_s": 2.0, "rate": RATE, "channels": 2, "seed": 4,
                      "model": "debug", "emotion": "0:sad:0.2, 1:happy:1", "reference": None, "instruction": None}


def test_to_standard_output(convert: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    sink = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=sink, isatty=lambda: False, flush=lambda: None))
    assert convert("-o", "-", "--reference", "in.wav", "--quiet") == 0
    samples, rate = soundfile.read(io.BytesIO(sink.getvalue()))
    assert samples.shape == (24_000, 2) and rate == RATE


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["-o", "out.wav"], 2),
        (["-o", "out.wav", "--emotion", "sadd"], 2),
        (["-o", "out.wav", "--curve", "0:sad"], 2),
        (["-o", "out.wav", "--emotion", "sad", "--steps", "0"], 2),
        (["-o", "out.wav", "--reference", "nowhere.wav"], 3),
        (["-o", "out.xyz", "--emotion", "sad"], 5),
        (["-o", "in.wav", "--emotion", "sad"], 5),
        (["-o", "out.wav", "--emotion", "sad", "--duration", "60"], 6),
    ],
)
def test_exit_codes(
    convert: Callable[..., int], capsys: pytest.CaptureFixture[str], options: list[str], code: int
) -> None:
    assert convert(*options) == code
    assert capsys.readouterr().err.startswith("error: ")
    assert os.listdir() == ["in.wav"]


def test_a_model_without_conversion(
    convert: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    from emovoice import bundle as bundles

    plain = bundles.load("debug")
    plain.config = replace(plain.config, seed=None, convert=None)
    plain.convert = plain.moves = None
    bundles.save(plain, tmp_path / "plain")
    assert main(["convert", "in.wav", "-o", "out.wav", "--emotion", "sad", "--model", str(tmp_path / "plain")]) == 4
    assert "emovoice train" in capsys.readouterr().err


def test_a_curve_is_read() -> None:
    assert read_keyframes("0:calm:0.2, 2.5:angry:0.9") == [(0.0, "calm", 0.2), (2.5, "angry", 0.9)]
    for text in ("", "0:calm", "x:calm:1", "0:calm:1:2", "0:calm:1,"):
        with pytest.raises(InputError, match="keyframe"):
            read_keyframes(text)
