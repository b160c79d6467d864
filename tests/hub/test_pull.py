"""Downloads from a real server on this machine: whole, broken off and resumed, damaged, offline, refused."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from huggingface_hub import constants, file_download

from emovoice.cli import main, models
from emovoice.errors import InputError, ModelError, OutputError
from emovoice.hub import check, pull, registry
from tests.hub.stand_in import COMMIT, StandIn

ROOT = Path(__file__).resolve().parents[2]
MODEL = "indextts-2"
QWEN = "qwen0.6bemo4-merge"


def content(name: str, size: int) -> bytes:
    return np.random.default_rng(len(name)).bytes(size)


def repositories() -> dict[str, dict[str, bytes]]:
    """Small files under all the published names."""
    return {
        "IndexTeam/IndexTTS-2": {
            "README.md": b"not asked for",
            **{name: content(name, 300) for name in ("config.yaml", "bpe.model", "wav2vec2bert_stats.pt", "feat1.pt")},
            "feat2.pt": content("feat2", 2000),
            "gpt.pth": content("gpt", 50_000),
            "s2mel.pth": content("s2mel", 20_000),
            f"{QWEN}/config.json": b"{}",
            f"{QWEN}/model.safetensors": content("qwen", 5000),
            "LICENSE.txt": b"terms",
        },
        "facebook/w2v-bert-2.0": {
            name: content(name, 1500) for name in ("config.json", "preprocessor_config.json", "model.safetensors")
        },
        "amphion/MaskGCT": {"semantic_codec/model.safetensors": content("codec", 3000), "t2s/model.safetensors": b"no"},
        "funasr/campplus": {"campplus_cn_common.bin": content("campplus", 3000)},
        "nvidia/bigvgan_v2_22khz_80band_256x": {
            "config.json": b"{}",
            "bigvgan_generator.pt": content("bigvgan", 4000),
        },
    }


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    monkeypatch.setattr(file_download.time, "sleep", lambda _: None)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    with StandIn(repositories()) as server:
        yield server


def pulled(hub: StandIn, folder: Path) -> list[pull.Pulled]:
    return pull.fetch(pull.plan(registry.model(MODEL), folder, mirror=hub.url), mirror=hub.url)


def partials(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.partial/*")) if (folder / pull.PARTIAL).exists() else []


def test_everything_is_fetched_to_its_place(hub: StandIn, tmp_path: Path) -> None:
    rows = pulled(hub, tmp_path)
    own = repositories()
    assert (tmp_path / "gpt.pth").read_bytes() == own["IndexTeam/IndexTTS-2"]["gpt.pth"]
    assert (tmp_path / QWEN / "config.json").read_bytes() == b"{}"
    assert (tmp_path / "hf_cache/semantic_codec_model.safetensors").read_bytes() == (
        own["amphion/MaskGCT"]["semantic_codec/model.safetensors"]
    )
    assert (tmp_path / "hf_cache/bigvgan/bigvgan_generator.pt").is_file()
    assert (tmp_path / "LICENSE.txt").is_file()
    assert not (tmp_path / "README.md").exists() and not (tmp_path / "t2s").exists()
    assert {row.state for row in rows} == {"fetched"}
    assert all(hashlib.sha256((tmp_path / row.path).read_bytes()).hexdigest() == row.sha256 for row in rows)
    record = json.loads((tmp_path / check.RECORD).read_text())
    assert record["model"] == MODEL and "bilibili" in record["licences"]["IndexTeam/IndexTTS-2"]
    assert {entry["commit"] for entry in record["files"].values()} == {COMMIT}
    assert any("emovoice" in agent for agent in hub.agents)


def test_nothing_is_fetched_twice(hub: StandIn, tmp_path: Path) -> None:
    pulled(hub, tmp_path)
    hub.asked.clear()
    assert {row.state for row in pulled(hub, tmp_path)} == {"was there"}
    (tmp_path / check.RECORD).unlink()  # as if it had been fetched by other means
    assert {row.state for row in pulled(hub, tmp_path)} == {"was there"}
    assert hub.asked == []


def test_a_file_that_changed_is_fetched_again(hub: StandIn, tmp_path: Path) -> None:
    pulled(hub, tmp_path)
    good = (tmp_path / "gpt.pth").read_bytes()
    (tmp_path / "gpt.pth").write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    os.utime(tmp_path / "gpt.pth", ns=(0, 0))
    (tmp_path / "config.yaml").write_bytes(b"short")
    states = {row.path: row.state for row in pulled(hub, tmp_path)}
    assert {path for path, state in states.items() if state == "fetched"} == {"gpt.pth", "config.yaml"}
    assert (tmp_path / "gpt.pth").read_bytes() == good


def test_a_dropped_connection_goes_on_in_the_same_call(hub: StandIn, tmp_path: Path) -> None:
    hub.breaks["gpt.pth"] = [20_480, 10_240]
    pulled(hub, tmp_path)
    assert hub.ranges("gpt.pth") == [None, "bytes=20480-", "bytes=30720-"]
    assert (tmp_path / "gpt.pth").read_bytes() == hub.repositories["IndexTeam/IndexTTS-2"]["gpt.pth"]


def test_a_broken_download_goes_on_in_the_next_call(hub: StandIn, tmp_path: Path) -> None:
    hub.breaks["gpt.pth"] = [20_480] + [0] * 20
    with pytest.raises(ModelError, match="run the same command again"):
        pulled(hub, tmp_path)
    assert not (tmp_path / "gpt.pth").exists()
    (left,) = partials(tmp_path)
    assert left.stat().st_size == 20_480
    hub.breaks.clear()
    hub.asked.clear()
    pulled(hub, tmp_path)
    assert hub.ranges("gpt.pth") == ["bytes=20480-"]
    assert (tmp_path / "gpt.pth").read_bytes() == hub.repositories["IndexTeam/IndexTTS-2"]["gpt.pth"]
    assert not (tmp_path / pull.PARTIAL).exists()


def test_a_server_without_ranges_starts_over(hub: StandIn, tmp_path: Path) -> None:
    hub.breaks["gpt.pth"], hub.no_ranges = [20_480], True
    pulled(hub, tmp_path)
    assert (tmp_path / "gpt.pth").read_bytes() == hub.repositories["IndexTeam/IndexTTS-2"]["gpt.pth"]


def test_another_version_is_not_continued(hub: StandIn, tmp_path: Path) -> None:
    hub.breaks["gpt.pth"] = [20_480] + [0] * 20
    with pytest.raises(ModelError):
        pulled(hub, tmp_path)
    hub.breaks.clear()
    hub.asked.clear()
    hub.repositories["IndexTeam/IndexTTS-2"]["gpt.pth"] = new = content("new", 50_001)
    pulled(hub, tmp_path)
    assert hub.ranges("gpt.pth") == [None] and (tmp_path / "gpt.pth").read_bytes() == new


@pytest.mark.parametrize("path", ["gpt.pth", "config.yaml"])
def test_a_wrong_sum_is_thrown_away(hub: StandIn, tmp_path: Path, path: str) -> None:
    good = hub.repositories["IndexTeam/IndexTTS-2"][path]
    hub.lies[path] = good[:-1] + bytes([good[-1] ^ 1])
    with pytest.raises(ModelError, match="another sum") as caught:
        pulled(hub, tmp_path)
    assert path in str(caught.value)
    assert not (tmp_path / path).exists() and partials(tmp_path) == []


def test_a_sum_of_the_registry_wins(hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository that was tampered with states the sum of what it sends."""
    model = registry.model(MODEL)
    (first, *rest) = model.sources
    pinned = [registry.File(f.path, f.to, f.about_bytes, "ab" * 32) if f.path == "gpt.pth" else f for f in first.files]
    tampered = registry.Source(first.repository, first.revision, first.licence, tuple(pinned))
    model = registry.Model(model.name, model.title, model.tokenizer, (tampered, *rest), model.parts)
    with pytest.raises(ModelError, match="another sum"):
        pull.fetch(pull.plan(model, tmp_path, mirror=hub.url), mirror=hub.url)


def test_a_short_answer_is_an_error_and_not_built_upon(hub: StandIn, tmp_path: Path) -> None:
    hub.lies["gpt.pth"] = b"<html>please log in</html>"
    with pytest.raises(ModelError, match="stopped early"):
        pulled(hub, tmp_path)
    assert not (tmp_path / "gpt.pth").exists()
    hub.lies.clear()
    pulled(hub, tmp_path)
    assert (tmp_path / "gpt.pth").read_bytes() == hub.repositories["IndexTeam/IndexTTS-2"]["gpt.pth"]


def test_too_little_room(hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    with pytest.raises(OutputError, match="GB are to be fetched"):
        pulled(hub, tmp_path)
    assert hub.asked == []


def test_a_folder_that_is_a_file(hub: StandIn, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        pulled(hub, tmp_path / "taken")


def test_names_cannot_lead_out_of_the_folder(hub: StandIn, tmp_path: Path) -> None:
    hub.repositories["IndexTeam/IndexTTS-2"][f"{QWEN}/../../escaped"] = b"x"
    with pytest.raises(ModelError, match="out of the folder"):
        pulled(hub, tmp_path / "models")
    assert not (tmp_path / "escaped").exists()


def test_what_is_not_there_is_named(hub: StandIn, tmp_path: Path) -> None:
    model = registry.model(MODEL)
    with pytest.raises(ModelError, match="no such revision"):
        pull.plan(model, tmp_path, revision="v9", mirror=hub.url)
    del hub.repositories["IndexTeam/IndexTTS-2"]["s2mel.pth"]
    with pytest.raises(ModelError, match=r"s2mel\.pth is not in the repository"):
        pull.plan(model, tmp_path, mirror=hub.url)
    del hub.repositories["IndexTeam/IndexTTS-2"]
    with pytest.raises(ModelError, match="no such repository"):
        pull.plan(model, tmp_path, mirror=hub.url)
    with pytest.raises(ModelError, match="cannot be reached"):
        pull.plan(model, tmp_path, mirror="http://127.0.0.1:9")
    with pytest.raises(InputError, match="no address"):
        pull.plan(model, tmp_path, mirror="hub.example.org")


# ---- the command ---------------------------------------------------------------------------------


def test_nothing_is_asked_before_the_licence_is_accepted(
    hub: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    assert main(["models", "pull", MODEL, "--dir", str(tmp_path / "m"), "--mirror", hub.url]) == 2
    err = capsys.readouterr().err
    assert "bilibili" in err and "NonCommercial" in err and "--accept-licence" in err and "3.4 c" in err
    assert hub.agents == set() and not (tmp_path / "m").exists()


@pytest.mark.parametrize(("answer", "code"), [("yes\n", 0), ("Yes\n", 0), ("y\n", 2), ("\n", 2), ("", 2)])
def test_the_question(
    hub: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    answer: str, code: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True, readline=lambda: answer))
    assert main(["models", "pull", MODEL, "--dir", str(tmp_path), "--mirror", hub.url]) == code
    assert "Type yes" in capsys.readouterr().err
    assert (tmp_path / "gpt.pth").exists() == (code == 0)


def test_the_command_by_json_and_its_default_folder(
    hub: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    assert main(["models", "pull", MODEL, "--accept-licence", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["folder"] == str(tmp_path / MODEL)
    assert {"path", "bytes", "sha256", "state"} == set(answer["files"][0])
    assert main(["models", "list", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["models"]] == list(registry.models())
    assert main(["models", "list"]) == 0
    assert f"{MODEL} " in capsys.readouterr().out


def test_offline(
    hub: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["models", "pull", MODEL, "--dir", str(tmp_path), "--mirror", hub.url, "--accept-licence"]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(command) == 4
    assert "HF_HUB_OFFLINE" in capsys.readouterr().err and hub.agents == set()
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE"):
        pull.plan(registry.model(MODEL), tmp_path, mirror=hub.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert main(command) == 0
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(command) == 0
    (tmp_path / "gpt.pth").unlink()
    assert main(command) == 4


def test_an_unknown_model() -> None:
    assert main(["models", "pull", "indextts-9", "--accept-licence"]) == 2
    assert models.EXIT_CODES[ModelError] == 4


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_and_again_in_real_processes(tmp_path: Path) -> None:
    """Interrupted in the middle of a file; the next process, with HF_ENDPOINT for a mirror, asks for the rest only."""
    large = content("gpt", 25 * 2**20)  # huggingface_hub hands over 10 MiB at a time
    files = repositories()
    files["IndexTeam/IndexTTS-2"]["gpt.pth"] = large
    command = [sys.executable, "-m", "emovoice", "models", "pull", MODEL, "--dir", str(tmp_path), "--accept-licence"]
    with StandIn(files, stalls={"gpt.pth"}) as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "PYTHONPATH": str(ROOT)}
        # Tests that were started in the background ignore Ctrl-C, and so would what they start.
        listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=listen
        )
        assert hub.stalled.wait(60)
        deadline = time.monotonic() + 20
        while not any(path.stat().st_size for path in partials(tmp_path)) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130 and "interrupted" in err and "Traceback" not in err
        (left,) = partials(tmp_path)
        assert left.stat().st_size == 10 * 2**20 and not (tmp_path / "gpt.pth").exists()
        hub.stalls.clear()
        hub.asked.clear()
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert hub.ranges("gpt.pth") == [f"bytes={10 * 2**20}-"]
        assert hub.ranges("config.yaml") == []
    assert (tmp_path / "gpt.pth").read_bytes() == large


@pytest.mark.parametrize("command", [[], ["list"], ["pull"], ["check"], ["convert"]])
def test_help_has_examples(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["models", *command, "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "examples:" in shown and f"emovoice models {' '.join(command)}".strip() in shown
