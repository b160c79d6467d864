"""Uploaded voices: consent, ownership, names, and files that are not what they say."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from emovoice.engine import Engine
from emovoice.limits import Limits
from emovoice.serve.tokens import gather
from tests.serve.conftest import Live

ALICE, BOB = "alice-alice-alice-1", "bob-bob-bob-bob-bob-2"
YES = "I am the speaker and agree"


def recording(seconds: float = 2.0, rate: int = 24_000, seed: int = 0, **options: object) -> bytes:
    """Something that counts as speech: noise in syllables."""
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(t)) * (0.3 + 0.3 * np.sin(2 * np.pi * 4 * t))
    file = io.BytesIO()
    soundfile.write(file, noise * 0.3, rate, **({"format": "WAV"} | options))  # type: ignore[arg-type]
    return file.getvalue()


def upload(url: str, token: str | None = None, data: bytes | None = None, **fields: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    form = {"name": "mine", "consent": YES} | fields
    files = {"audio_sample": ("../../evil.wav", recording() if data is None else data)}
    return httpx.post(f"{url}/v1/audio/voices", data=form, files=files, headers=headers, timeout=30)


def get(url: str, path: str, token: str | None = None) -> httpx.Response:
    return httpx.get(f"{url}{path}", headers={"Authorization": f"Bearer {token}"} if token else {})


def test_a_voice_comes_speaks_and_goes(live: Live, tmp_path: Path) -> None:
    made = upload(live.url, speaker_description="low and warm").json()
    assert made["consent"] == YES and made["object"] == "audio.voice" and len(made["recording_sha256"]) == 64
    listed = get(live.url, "/v1/audio/voices").json()
    assert "default" in [voice["id"] for voice in listed["voices"]]
    assert made["id"] in [voice["id"] for voice in listed["data"]]
    body = {"input": "Hello there.", "response_format": "pcm"}
    spoken = {voice: httpx.post(f"{live.url}/v1/audio/speech", json=body | {"voice": voice}).content
              for voice in (made["id"], "mine", "default")}  # fmt: skip
    assert spoken[made["id"]] == spoken["mine"] != spoken["default"]
    files = sorted(path.name for path in (tmp_path / "voices").iterdir())
    assert files == sorted([f"{made['id']}.json", f"{made['id']}.safetensors"])  # nothing of the client's name
    assert httpx.delete(f"{live.url}/v1/audio/voices/{made['id']}").json()["deleted"]
    assert httpx.post(f"{live.url}/v1/audio/speech", json=body | {"voice": made["id"]}).status_code == 404
    assert list((tmp_path / "voices").iterdir()) == []


def test_voices_outlive_the_server(serve: Callable[..., Live], fake_engine: Engine, tmp_path: Path) -> None:
    first = serve(fake_engine)
    made = upload(first.url).json()
    first.stop()
    (tmp_path / "voices" / "voice_000000000000000000000000.json").write_text("{", encoding="utf-8")  # a torn record
    second = serve(fake_engine)
    assert made["id"] in [voice["id"] for voice in get(second.url, "/v1/audio/voices").json()["data"]]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"consent": ""}, "consent"), ({"consent": " no "}, "consent"), ({"consent": "FALSE"}, "consent"),
        ({"consent": "x" * 501}, "consent"), ({"name": ""}, "name"), ({"name": "x" * 65}, "name"),
        ({"name": "a\x00b"}, "name"), ({"name": "Default"}, "name"), ({"name": "anna"}, "name"),
        ({"accent": "fr"}, "accent"),
    ],
)  # fmt: skip
def test_what_an_upload_needs(live: Live, fields: dict[str, str], param: str) -> None:
    answer = upload(live.url, **fields)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == param


def test_without_consent_nothing_is_kept(live: Live, tmp_path: Path) -> None:
    files = {"audio_sample": ("a.wav", recording())}
    answer = httpx.post(f"{live.url}/v1/audio/voices", data={"name": "mine"}, files=files)
    assert answer.json()["error"]["code"] == "consent_required" and not (tmp_path / "voices").exists()
    assert httpx.post(f"{live.url}/v1/audio/voices", data={"name": "mine", "consent": YES}).status_code == 400


@pytest.mark.parametrize(
    "data",
    [b"", b"RIFF", b"<html>", recording()[:60], recording(0.2), np.zeros(48_000, "<i2").tobytes(),
     b"#EXTM3U\nfile:///etc/passwd\n"],
    ids=["empty", "cut", "html", "header", "short", "noise", "playlist"],
)  # fmt: skip
def test_recordings_that_cannot_be_used(live: Live, data: bytes) -> None:
    answer = upload(live.url, data=data)
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["code"] == "invalid_audio"
    assert "/tmp" not in answer.text and "emovoice-upload" not in answer.text


def test_a_small_file_that_decodes_to_much(serve: Callable[..., Live], fake_engine: Engine) -> None:
    """Silence packs 1000 to 1: minutes of it are refused by their header, before anything is decoded."""
    live = serve(Engine("debug", limits=Limits(reference_s=60)))
    bomb = io.BytesIO()
    soundfile.write(bomb, np.zeros((8_000 * 61, 8), np.int16), 8_000, format="FLAC")
    assert len(bomb.getvalue()) < 100_000
    answer = upload(live.url, data=bomb.getvalue())
    assert answer.status_code == 400 and "60 s" in answer.json()["error"]["message"]


def test_each_sees_only_its_own(serve: Callable[..., Live], fake_engine: Engine) -> None:
    live = serve(fake_engine, tokens=(ALICE, BOB))
    made = upload(live.url, ALICE).json()
    assert "owner" not in made
    own, other = (get(live.url, "/v1/audio/voices", token).json()["data"] for token in (ALICE, BOB))
    assert made["id"] in [voice["id"] for voice in own] and made["id"] not in [voice["id"] for voice in other]
    bob = {"Authorization": f"Bearer {BOB}"}
    for voice in (made["id"], "mine", "voice_000000000000000000000000"):  # another's and none: the same answer
        spoken = httpx.post(f"{live.url}/v1/audio/speech", json={"input": "a", "voice": voice}, headers=bob)
        assert spoken.json()["error"] == {"message": "there is no such voice", "type": "invalid_request_error",
                                          "param": "voice", "code": "voice_not_found"}  # fmt: skip
        assert httpx.delete(f"{live.url}/v1/audio/voices/{voice}", headers=bob).status_code == 404
    assert upload(live.url, BOB).status_code == 200, "a name is taken for its owner only"
    assert made["id"] in [voice["id"] for voice in get(live.url, "/v1/audio/voices", ALICE).json()["data"]]


def test_no_more_voices_than_allowed(serve: Callable[..., Live], fake_engine: Engine) -> None:
    live = serve(fake_engine, voices=1)
    assert upload(live.url).status_code == 200
    assert upload(live.url).json()["error"]["code"] == "too_many_voices"


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Basic abc", f"Bearer {ALICE}x", f"Bearer x{ALICE}", b"Bearer \xff", f"bearer {ALICE[:-1]}"],
)
def test_tokens(serve: Callable[..., Live], fake_engine: Engine, header: str | bytes | None) -> None:
    live = serve(fake_engine, tokens=(ALICE, BOB))
    headers = {} if header is None else {"Authorization": header}
    for path in ("/v1/models", "/v1/audio/voices", "/metrics"):
        answer = httpx.get(f"{live.url}{path}", headers=headers)
        assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_api_key"
    assert httpx.post(f"{live.url}/v1/audio/speech", json={"input": "a"}, headers=headers).status_code == 401
    assert get(live.url, "/health").status_code == 200 and get(live.url, "/v1/models", ALICE).status_code == 200


def test_where_tokens_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# ours\n{ALICE}\n\n{BOB}\n", encoding="utf-8")
    monkeypatch.setenv("EMOVOICE_TOKENS", f"{BOB}, carol-carol-carol-3")
    assert gather(file) == (BOB, "carol-carol-carol-3", ALICE)


def test_metrics_hold_figures_and_no_text(live: Live) -> None:
    httpx.post(f"{live.url}/v1/audio/speech", json={"input": "Secret words.", "voice": "anna"})
    text = get(live.url, "/metrics").text
    assert 'emovoice_requests_total{route="/v1/audio/speech",status="200"} 1.0' in text
    assert "emovoice_first_byte_seconds_bucket" in text and "Secret" not in text
    assert json.loads(get(live.url, "/health").text) == {"status": "ok", "model": live.service.model}
