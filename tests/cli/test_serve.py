"""`emovoice serve`, `demo` and `bench` as processes, and their options."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from emovoice import cli
from emovoice.cli import demo, serve
from emovoice.errors import InputError


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve.add_server_options(parser, port=1)
    parser.add_argument("--open", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def test_limits_by_name() -> None:
    settings = serve.settings_of(parsed("--limit", "text_chars=10", "--limit", "compute_s=1.5", "--workers", "3"))
    limits = settings.limits
    assert (limits.text_chars, limits.compute_s, limits.workers, limits.queue) == (10, 1.5, 3, 32)
    assert serve.settings_of(parsed("--limit", "queue=0")).limits.queue == 0


def test_small_models_get_a_worker_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert serve.settings_of(parsed("--model", "debug")).limits.workers == 3
    assert serve.settings_of(parsed("--model", "indextts-2")).limits.workers == 1
    assert serve.settings_of(parsed("--device", "cuda")).limits.workers == 1
    assert serve.settings_of(parsed("--model", "indextts-2", "--device", "cuda:1")).limits.workers == 4


@pytest.mark.parametrize(
    "limit",
    ["x=1", "queue", "queue=", "queue=ten", "text_chars=0", "compute_s=inf", "compute_s=nan", "slots=-1", "queue=1.5"],
)
def test_limits_that_are_none(limit: str) -> None:
    with pytest.raises(InputError):
        serve.settings_of(parsed("--limit", limit))


def test_the_page_gets_every_option_again() -> None:
    """`emovoice demo` starts another process; nothing that was asked for is lost on the way."""
    given = ["--host", "::1", "--port", "5", "--model", "debug", "--device", "cpu", "--workers", "2", "--voices", "v v",
             "--no-watermark", "--open", "--json", "--limit", "queue=3", "--limit", "slots=2"]  # fmt: skip
    args = parsed(*given)
    assert vars(parsed(*demo._arguments(args))) == vars(args)


@pytest.mark.parametrize("command", [["serve"], ["demo"]])
def test_beyond_this_machine_needs_a_word(command: list[str]) -> None:
    if command == ["serve"]:
        assert cli.main([*command, "--host", "0.0.0.0"]) == 2
    done = subprocess.run([sys.executable, "-m", "emovoice", *command, "--host", "0.0.0.0"], capture_output=True,
                          text=True, timeout=100, check=False)  # fmt: skip
    assert done.returncode == 2 and "needs tokens" in done.stderr and "Traceback" not in done.stderr


def test_figures_go_between_their_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """`emovoice bench serve --into`, on stand-ins for the server and its clients."""
    from emovoice.serve import bench

    rounds = [bench.Round(1, 3, (0.25, 0.5), 2.0, 0, (0.1, 1.2)), bench.Round(8, 24, (1.0, 2.5), 1.5, 1, (1.2, 9.0))]
    monkeypatch.setattr(bench, "served", lambda *_: contextlib.nullcontext("http://127.0.0.1:1"))
    monkeypatch.setattr(bench, "measure", lambda *_: iter(rounds))
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n{bench.MARKS[0]}\nold\n{bench.MARKS[1]}\nAfter\n")
    assert cli.main(["bench", "serve", "--model", "debug", "--workers", "1", "--into", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rounds"][1]["failures"] == 1
    text = page.read_text()
    assert text.startswith("# Before\n") and text.endswith(f"{bench.MARKS[1]}\nAfter\n") and "old" not in text
    assert "| 8 | 24 | 1.00 s | 2.50 s | 1.50 s | 1 | 1.2 to 9.0 |" in text and "`debug`, 1 worker," in text
    page.write_text("no lines")
    assert cli.main(["bench", "serve", "--model", "debug", "--into", str(page)]) == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_served_process_speaks_and_stops(tmp_path: Path) -> None:
    """The console's way: where it listens on standard output, one request, SIGTERM, exit code 0."""
    token = "a-token-for-this-test"
    command = [sys.executable, "-m", "emovoice", "serve", "--port", "0", "--json", "--model", "debug",
               "--voices", str(tmp_path / "v")]  # fmt: skip
    given = os.environ | {"EMOVOICE_TOKENS": token}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=given) as process:
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        assert line, process.stderr.read()
        url = json.loads(line)["url"]
        headers = {"Authorization": f"Bearer {token}"}
        until_ready = httpx.Client(transport=httpx.HTTPTransport(retries=20), timeout=60)
        assert until_ready.get(f"{url}/health").json()["model"] == "debug"
        body = {"input": "Hello there.", "response_format": "wav", "seed": 4}
        spoken = until_ready.post(f"{url}/v1/audio/speech", json=body, headers=headers)
        assert spoken.status_code == 200 and spoken.content[:4] == b"RIFF"
        assert until_ready.post(f"{url}/v1/audio/speech", json=body).status_code == 401
        until_ready.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM), process.stderr.read()
