"""`say`, `voices` and `info`: what they write, where, and what they answer."""

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

from emovoice import watermark
from emovoice.cli import main
from emovoice.engine import Engine
from emovoice.pipeline import Pipeline
from emovoice.voice import Voice

pytestmark = pytest.mark.usefixtures("engine_factory")

DEBUG = ["--model", "debug"]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`emovoice say ... --model debug` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: main(["say", *arguments, *DEBUG])


@pytest.fixture
def recording(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("recordings") / "me.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 6 * 24_000), 24_000)
    return str(path)


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_it_speaks(say: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert say("Hello there.", "-o", "a.wav") == 0
    saved, rate = soundfile.read("a.wav", dtype="float32")
    expected = Engine("debug").synthesize("Hello there.").samples
    assert rate == 24_000 and np.abs(saved - np.clip(expected, -1, 1)).max() <= 1 / 32_768
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("a.wav: ") and err.count("\n") == 1, "no progress off a terminal"
    assert os.listdir() == ["a.wav"]


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_json(say: Callable[..., int], capsys: pytest.CaptureFixture[str], name: str, recording: str) -> None:
    options = ["--emotion", "anger", "--intensity", "0.4", "--seed", "9", "--voice", "anna", "--quiet"]
    assert say("Hello there. Good bye.", "-o", name, "--json", *options) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert err == "" and out.count("\n") == 1
    assert report.pop("real_time_factor") > 0
    assert report == {
        "path": name,
        "duration_s": pytest.approx(soundfile.info(name).duration, abs=1e-5),
        "asked_s": None,
        "seed": 9,
        "model": "debug",
        "voice": "anna",
        "emotion": {"angry": 0.4},
        "emotion_audio": None,
        "mark": "metadata, watermark" if watermark.available() else "metadata",
        "instruction": None,
        "warnings": [],
    }


def test_all_options(say: Callable[..., int], capsys: pytest.CaptureFixture[str], recording: str) -> None:
    free_s = Engine("debug").synthesize("Hello there.").duration_s
    options = ["--emotion-audio", recording, "--intensity", "0.5", "--duration", f"{free_s * 0.9:.3f}"]
    assert say("Hello there.", "-o", "a.wav", "--voice", recording, "--accent", "gb", "--json", *options) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["voice"] == "me" and report["emotion"] is None and report["emotion_audio"] == recording
    assert report["asked_s"] == round(free_s * 0.9, 3) == pytest.approx(report["duration_s"], abs=1e-4)


def test_text_from_standard_input(say: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, "\ufeffHello there.\r\n".encode())
    assert say("-", "-o", "a.wav") == 0
    say("Hello there.", "-o", "b.wav")
    assert Path("a.wav").stat().st_size >= Path("b.wav").stat().st_size > 1000


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b"\xff\xfeH\0", "UTF-8"),
        (b"Hello. " * 10**5, "20,000"),
        ("\u00e9".encode() * 10**5, "20,000"),
        (b"a" + "\U0001f600".encode() * 10**5, "20,000"),
    ],
)
def test_bad_standard_input(
    say: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: bytes,
    what: str,
) -> None:
    stdin(monkeypatch, data)
    assert say("-", "-o", "a.wav") == 2
    assert what in capsys.readouterr().err and os.listdir() == []


def test_sound_on_standard_output(
    say: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert say("Hello there.", "-o", "-") == 0
    out, err = capfdbinary.readouterr()
    say("Hello there.", "-o", "a.wav")
    assert out == Path("a.wav").read_bytes() and err.startswith(b"standard output: ")


def test_sound_and_json_do_not_mix(say: Callable[..., int]) -> None:
    assert say("Hello there.", "-o", "-", "--json") == 2


def test_sound_does_not_go_to_a_terminal(say: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert say("Hello there.", "-o", "-") == 2


def test_it_refuses_to_overwrite_before_it_works(
    say: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.wav").write_bytes(b"mine")
    with monkeypatch.context() as patch:
        patch.setattr("emovoice.shared.shared_engine", lambda *_: pytest.fail("a model was loaded"))
        assert say("Hello there.", "-o", "a.wav") == 5
    assert "--force" in capsys.readouterr().err and Path("a.wav").read_bytes() == b"mine"
    assert say("Hello there.", "-o", "a.wav", "--force") == 0
    assert soundfile.info("a.wav").frames > 0


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["", "-o", "a.wav"], 2, "empty"),
        (["...", "-o", "a.wav"], 2, "letters"),
        (["x" * 100_000, "-o", "a.wav"], 2, "20,000"),
        (["Hi. \udcff", "-o", "a.wav"], 2, "not characters"),
        (["Hi.", "-o", "a.wav", "--emotion", "angery"], 2, "Did you mean 'angry'"),
        (["Hi.", "-o", "a.wav", "--emotion", "0,0,0,0,0,0,1"], 2, "eight numbers, or three, not 7"),
        (["Hi.", "-o", "a.wav", "--emotion", "sad", "--intensity", "nan"], 2, "0..1"),
        (["Hi.", "-o", "a.wav", "--intensity", "1.01"], 2, "0..1"),
        (["Hi.", "-o", "a.wav", "--emotion", "sad", "--emotion-audio", "b.wav"], 2, "not both"),
        (["Hi.", "-o", "a.wav", "--voice", "ana"], 2, "Did you mean 'anna'"),
        (["Hi.", "-o", "a.wav", "--seed", "-1"], 2, "seed"),
        (["Hi.", "-o", "a.wav", "--duration", "-1"], 2, "above 0"),
        (["Hi.", "-o", "a.wav", "--voice", "none.wav"], 3, "no such recording"),
        (["Hi.", "-o", "a.wav", "--emotion-audio", "."], 3, "directory"),
        (["Hi.", "-o", "a.wav", "--voice", "none.safetensors"], 4, "no such voice file"),
        (["Hi.", "-o", "."], 5, "directory"),
        (["Hi.", "-o", "none/a.wav"], 5, "does not exist"),
        (["Hi.", "-o", "a.mp3"], 5, ".flac"),
        (["A whole paragraph. " * 20, "-o", "a.wav", "--duration", "0.1"], 6, "Ask for"),
    ],
)
def test_bad_requests(
    say: Callable[..., int], capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, what: str
) -> None:
    assert say(*arguments) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and what in err
    assert os.listdir() == []


def test_a_bad_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["say", "Hi.", "-o", str(tmp_path / "a.wav"), "--model", str(tmp_path / "none")]) == 4
    assert capsys.readouterr().err.startswith("error: ")


def test_interrupted_it_leaves_nothing(say: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> object:
        yield np.zeros(24_000, np.float32)
        raise KeyboardInterrupt

    monkeypatch.setattr(Pipeline, "speak", interrupted)
    assert say("Hello there.", "-o", "a.wav") == 130
    assert os.listdir() == []


def test_progress_on_a_terminal_only(
    say: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert say("Hello there. Good bye.", "-o", "a.wav") == 0
    assert "sentence" in capsys.readouterr().err
    assert say("Hello there. Good bye.", "-o", "b.wav", "--quiet") == 0
    assert capsys.readouterr().err == ""
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()


def test_warnings_are_shown_even_when_quiet(
    say: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loud = np.full(24_000, 2, np.float32)
    monkeypatch.setattr(Pipeline, "speak", lambda *_, **__: iter([loud]))
    assert say("Hello there.", "-o", "a.wav", "--quiet", "--json") == 0
    out, err = capsys.readouterr()
    (warning,) = json.loads(out)["warnings"]
    assert err == f"warning: {warning}\n" and "6.0 dB quieter" in warning


def test_the_environment_names_the_default_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EMOVOICE_MODEL", "debug")
    assert main(["say", "Hello there.", "-o", str(tmp_path / "a.wav"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "debug"
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "debug"
    monkeypatch.setenv("EMOVOICE_MODEL", str(tmp_path / "100 % none"))
    assert main(["info"]) == 4
    with pytest.raises(SystemExit):
        main(["info", "--help"])
    assert "100 % none" in capsys.readouterr().out


# ---- voices ---------------------------------------------------------------------------------------------


def test_list_of_voices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["voices"]) == 0
    assert capsys.readouterr().out.splitlines()[1:3] == ["anna     us      noise", "bert     gb      noise"]
    assert main(["voices", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["voices"]
    assert listed[1] == {"name": "bert", "accent": "gb", "source": "noise"} and len(listed) == 3


def test_no_voices(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in shipped.iterdir():
        file.unlink()
    assert main(["voices"]) == 0
    assert "without voices" in capsys.readouterr().err


def test_a_voice_is_made_and_used(say: Callable[..., int], recording: str, capsys: pytest.CaptureFixture[str]) -> None:
    make = ["voices", "make", recording, "-o", "me.safetensors", "--accent", "gb", *DEBUG]
    assert main([*make, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == {"path": "me.safetensors", "name": "me", "accent": "gb", "warnings": []}
    assert Voice.load("me.safetensors").accent == "gb"
    assert main(make) == 5
    assert main([*make, "--force", "--name", "I"]) == 0
    assert Voice.load("me.safetensors").name == "I"
    assert say("Hello there.", "-o", "a.wav", "--voice", "me.safetensors") == 0
    assert say("Hello there.", "-o", "b.wav", "--voice", recording, "--accent", "gb") == 0
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()


def test_a_voice_from_a_bad_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(48_000), 24_000)
    out = str(tmp_path / "me.safetensors")
    assert main(["voices", "make", str(tmp_path / "silent.wav"), "-o", out, *DEBUG]) == 3
    assert main(["voices", "make", str(tmp_path / "none.wav"), "-o", out, *DEBUG]) == 3
    assert main(["voices", "make", str(tmp_path / "none.wav"), "-o", str(tmp_path / "me.wav"), *DEBUG]) == 5
    assert os.listdir(tmp_path) == ["silent.wav"]


# ---- info -----------------------------------------------------------------------------------------------


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", *DEBUG, "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["model"] == "debug" and info["sample_rate"] == 24_000
    assert main(["info", *DEBUG]) == 0
    assert all(f"{key}:" in capsys.readouterr().out for key in list(info)[:1])
    assert main(["info", "--model", "no such model"]) == 4
