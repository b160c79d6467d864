"""`POST /v1/audio/speech` with the client that people use, over a real socket."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable

import httpx
import numpy as np
import openai
import pytest
import soundfile

from emovoice.engine import Engine
from emovoice.serve.encoders import FORMATS
from tests.serve.conftest import Live

TEXT = "One two three. Four five six."


@pytest.fixture
def client(live: Live) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0)


def decoded(data: bytes, name: str) -> tuple[np.ndarray, int]:
    """Samples `(N,)` and rate, by a decoder that is not the one that was used to encode where there are two."""
    if name == "pcm":
        return np.frombuffer(data, "<i2") / 32767, 24_000
    if name != "aac":
        return soundfile.read(io.BytesIO(data))
    av = pytest.importorskip("av", reason="aac needs the extra media")
    with av.open(io.BytesIO(data)) as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
        return np.concatenate(frames), container.streams.audio[0].rate


@pytest.mark.parametrize("name", FORMATS)
def test_every_format(client: openai.OpenAI, fake_engine: Engine, name: str) -> None:
    """The whole answer holds the engine's own samples, in order and in level."""
    if name == "aac":
        pytest.importorskip("av", reason="aac needs the extra media")
    answer = client.audio.speech.create(model="tts-1", voice="default", input=TEXT, response_format=name)  # type: ignore[arg-type]
    samples, rate = decoded(answer.content, name)
    expected = fake_engine.synthesize(TEXT)
    assert abs(len(samples) / rate - expected.duration_s) < 0.1  # codecs pad to whole frames
    if name in ("wav", "pcm", "flac"):
        assert np.abs(samples - expected.samples).max() < 1e-4
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(np.sqrt(np.mean(expected.samples**2)), rel=0.5)
    assert answer.response.headers["content-type"].startswith(FORMATS[name].media_type)


def test_without_pyav_all_but_aac(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, fake_engine: Engine
) -> None:
    monkeypatch.setattr("emovoice.serve.encoders.find_spec", lambda _: None)
    for name in ("mp3", "opus"):
        answer = client.audio.speech.create(model="tts-1", voice="default", input=TEXT, response_format=name)  # type: ignore[arg-type]
        samples, rate = decoded(answer.content, name)
        assert abs(len(samples) / rate - fake_engine.synthesize(TEXT).duration_s) < 0.1
    with pytest.raises(openai.InternalServerError) as caught:
        client.audio.speech.create(model="tts-1", voice="default", input=TEXT, response_format="aac")
    assert caught.value.status_code == 501 and "media" in caught.value.message


def test_streaming_gives_the_same_bytes_in_pieces(client: openai.OpenAI) -> None:
    whole = client.audio.speech.create(model="tts-1", voice="default", input=TEXT, response_format="pcm").content
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="default", input=TEXT, response_format="pcm"
    ) as answer:
        pieces = list(answer.iter_bytes())
    assert b"".join(pieces) == whole and len(pieces) > 2


@pytest.mark.parametrize("name", ["wav", "pcm", "mp3", "opus", "aac"])
def test_the_first_bytes_leave_before_the_rest_is_spoken(
    serve: Callable[..., Live], fake_engine: Engine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The second sentence is held back until the client has the first bytes in its hands."""
    import threading

    if name not in ("wav", "pcm"):
        pytest.importorskip("av", reason="this format streams with the extra media")
    received = threading.Event()
    speak = type(fake_engine.pipeline).speak

    def held(self: object, sentence: object, *arguments: object, **options: object) -> object:
        if sentence.text.startswith("Four"):  # type: ignore[attr-defined]
            assert received.wait(20), "nothing came before the end"
        yield from speak(self, sentence, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(fake_engine.pipeline), "speak", held)
    live = serve(fake_engine)
    body = {"input": TEXT, "response_format": name}
    with httpx.stream("POST", f"{live.url}/v1/audio/speech", json=body, timeout=30) as answer:
        sizes = []
        for piece in answer.iter_raw():
            sizes.append(len(piece))
            received.set()
    assert len(sizes) > 1 and answer.status_code == 200


def test_events(client: openai.OpenAI, live: Live) -> None:
    body = {"input": TEXT, "response_format": "pcm", "stream_format": "sse", "voice": "default"}
    with httpx.stream("POST", f"{live.url}/v1/audio/speech", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    events = [json.loads(line[6:]) for line in lines]
    sound = b"".join(base64.b64decode(e["audio"]) for e in events if e["type"] == "speech.audio.delta")
    whole = client.audio.speech.create(model="tts-1", voice="default", input=TEXT, response_format="pcm").content
    assert sound == whole
    assert events[-1]["type"] == "speech.audio.done" and events[-1]["usage"]["output_tokens"] > 0
    assert [event["type"] for event in events].count("speech.audio.done") == 1


def test_emotion_intensity_length_seed_and_accent_reach_the_engine(live: Live, fake_engine: Engine) -> None:
    body = {
        "input": TEXT, "voice": {"id": "anna"}, "emotion": "anger", "intensity": 0.9, "duration_s": 2.0,
        "seed": 7, "accent": "gb", "response_format": "pcm",
    }  # fmt: skip
    got = httpx.post(f"{live.url}/v1/audio/speech", json=body)
    expected = fake_engine.synthesize(TEXT, "anna", "anger", 0.9, duration_s=2.0, seed=7, accent="gb")
    assert len(got.content) == 2 * 48_000
    assert np.abs(np.frombuffer(got.content, "<i2") / 32767 - expected.samples).max() < 1e-4
    weights = {**body, "emotion": {"angry": 0.9}, "intensity": None}
    assert httpx.post(f"{live.url}/v1/audio/speech", json=weights).content == got.content


@pytest.mark.parametrize("speed", [0.25, 0.5, 1.5, 2.0, 4.0])
def test_speed_is_a_length(live: Live, fake_engine: Engine, speed: float) -> None:
    free_s = fake_engine.synthesize(TEXT).duration_s
    got = httpx.post(f"{live.url}/v1/audio/speech", json={"input": TEXT, "speed": speed, "response_format": "pcm"})
    used = min(max(speed, 0.34), 2.4)
    assert len(got.content) / 48_000 == pytest.approx(free_s / used, rel=0.01)
    warned = any("speed" in text for text in json.loads(got.headers["x-emovoice-warnings"]))
    assert warned == (used != speed)


def test_what_is_not_known_is_told(live: Live) -> None:
    body = {"input": "Hello there.", "voice": "shimmer", "colour": "blue", "response_format": "pcm"}
    got = httpx.post(f"{live.url}/v1/audio/speech", json=body)
    warnings = json.loads(got.headers["x-emovoice-warnings"])
    assert any("'shimmer'" in text for text in warnings) and any("'colour'" in text for text in warnings)
    report = httpx.get(f"{live.url}/v1/audio/reports/{got.headers['x-request-id']}").json()
    assert report["finished"] and set(warnings) <= set(report["warnings"])
    assert report["duration_s"] == pytest.approx(len(got.content) / 48_000)


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        ({}, 400, "input", "invalid_value"),
        ({"input": ""}, 400, "input", "invalid_value"),
        ({"input": "?!"}, 400, "input", "invalid_value"),
        ({"input": 5}, 400, "input", "invalid_value"),
        ({"input": "x" * 4097}, 400, "input", "string_above_max_length"),
        ({"input": "a", "instructions": "x" * 3000}, 400, "instructions", "string_above_max_length"),
        ({"input": "a", "voice": "nobody"}, 404, "voice", "voice_not_found"),
        ({"input": "a", "voice": "../../etc/passwd"}, 404, "voice", "voice_not_found"),
        ({"input": "a", "voice": 7}, 400, "voice", "invalid_value"),
        ({"input": "a", "model": "gpt-9"}, 404, "model", "model_not_found"),
        ({"input": "a", "response_format": "ogg"}, 400, "response_format", "invalid_value"),
        ({"input": "a", "speed": 0.1}, 400, "speed", "invalid_value"),
        ({"input": "a", "speed": True}, 400, "speed", "invalid_value"),
        ({"input": "a", "stream_format": "ws"}, 400, "stream_format", "invalid_value"),
        ({"input": "a", "emotion": "hungry"}, 400, "emotion", "invalid_value"),
        ({"input": "a", "emotion": [1, 2]}, 400, "emotion", "invalid_value"),
        ({"input": "a", "intensity": 1.5}, 400, "intensity", "invalid_value"),
        ({"input": "a", "intensity": "0,7"}, 400, "intensity", "invalid_value"),
        ({"input": "a", "seed": -1}, 400, "seed", "invalid_value"),
        ({"input": "a", "seed": 1.5}, 400, "seed", "invalid_value"),
        ({"input": "Hello there.", "duration_s": 0.01}, 400, "duration_s", "invalid_length"),
        ({"input": "a", "duration_s": 2, "speed": 2}, 400, "duration_s", "conflict"),
        ({"input": "a", "curve": [[0, "sad", 1]], "emotion": "sad"}, 400, "curve", "conflict"),
        ({"input": "a", "curve": []}, 400, "curve", "invalid_value"),
    ],
)
def test_what_cannot_be_used(live: Live, body: dict[str, object], status: int, param: str, code: str) -> None:
    answer = httpx.post(f"{live.url}/v1/audio/speech", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code)
    assert set(error) == {"message", "type", "param", "code"} and error["message"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"input": NaN}'])
def test_what_is_no_request(live: Live, data: bytes) -> None:
    answer = httpx.post(f"{live.url}/v1/audio/speech", content=data)
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request_error"


def test_the_client_gets_its_own_exceptions(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.audio.speech.create(model="tts-1", voice="nobody", input="a")
    assert missing.value.code == "voice_not_found" and missing.value.param == "voice"
    with pytest.raises(openai.BadRequestError):
        client.audio.speech.create(model="tts-1", voice="default", input="")
    with pytest.raises(openai.NotFoundError):
        client.audio.speech.create(model="no-such-model", voice="default", input="a")


def test_models(client: openai.OpenAI, live: Live) -> None:
    assert live.service.model in [model.id for model in client.models.list()]
    assert client.models.retrieve(live.service.model).owned_by == "emovoice"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def test_a_fault_of_the_server_says_nothing_about_it(
    live: Live, fake_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> object:
        raise RuntimeError("secret /root/path")

    monkeypatch.setattr(fake_engine.pipeline, "speak", broken)
    answer = httpx.post(f"{live.url}/v1/audio/speech", json={"input": "Hello."})
    assert answer.status_code == 500 and "secret" not in answer.text and answer.json()["error"]["code"]
    assert httpx.get(f"{live.url}/health").status_code == 200


def test_a_fault_in_the_middle_is_no_proper_end(
    live: Live, fake_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a speech must not look like a whole one."""
    speak = type(fake_engine.pipeline).speak

    def half(self: object, *arguments: object, **options: object) -> object:
        yield next(speak(self, *arguments, **options))  # type: ignore[arg-type]
        raise RuntimeError("half-way")

    monkeypatch.setattr(type(fake_engine.pipeline), "speak", half)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(f"{live.url}/v1/audio/speech", json={"input": "Hello.", "response_format": "pcm"})
    body = {"input": "Hello.", "response_format": "pcm", "stream_format": "sse"}
    events = httpx.post(f"{live.url}/v1/audio/speech", json=body).text
    assert '"error"' in events and "speech.audio.done" not in events


def test_samples_beyond_one_are_made_quieter_and_told(
    live: Live, fake_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak = type(fake_engine.pipeline).speak
    loud = lambda self, *a, **k: (4 * chunk for chunk in speak(self, *a, **k))  # noqa: E731
    monkeypatch.setattr(type(fake_engine.pipeline), "speak", loud)
    got = httpx.post(f"{live.url}/v1/audio/speech", json={"input": TEXT, "response_format": "pcm"})
    samples = np.frombuffer(got.content, "<i2")
    assert np.count_nonzero(np.abs(samples) >= 32767) <= 3  # the peaks themselves, no flat tops
    report = httpx.get(f"{live.url}/v1/audio/reports/{got.headers['x-request-id']}").json()
    assert any("quieter" in text for text in report["warnings"])


def test_instructions_are_understood(live: Live) -> None:
    def spoken(**asked: str) -> bytes:
        answer = httpx.post(f"{live.url}/v1/audio/speech", json={"input": "Hi.", "seed": 1, **asked})
        assert answer.status_code == 200
        return answer.content

    assert spoken(instructions="as if in a rage") != spoken()


def test_an_emotion_over_time(live: Live, fake_engine: Engine) -> None:
    points = [(0.0, "sad", 0.2), (1.0, "happy", 1.0)]
    body = {"input": TEXT, "curve": points, "instructions": "sadly", "intensity": 0.5, "response_format": "pcm"}
    got = httpx.post(f"{live.url}/v1/audio/speech", json=body)
    assert got.status_code == 200, got.text
    expected = fake_engine.synthesize(TEXT, emotion=points, intensity=0.5)
    assert np.abs(np.frombuffer(got.content, "<i2") / 32767 - expected.samples).max() < 1e-4
    assert not np.array_equal(expected.samples, fake_engine.synthesize(TEXT).samples)
    assert any("instructions were not used" in text for text in json.loads(got.headers["x-emovoice-warnings"]))


@pytest.mark.parametrize(
    "curve", [[[0, "grumpyish", 1]], [[1, "sad", 1], [0, "sad", 1]], [[-1, "sad", 1]], [[0, "sad", 2]], [[0, "sad"]]]
)
def test_curves_that_are_none(live: Live, curve: list[object]) -> None:
    answer = httpx.post(f"{live.url}/v1/audio/speech", json={"input": TEXT, "curve": curve})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "curve"


def test_instructions_with_a_speed(live: Live, fake_engine: Engine) -> None:
    body = {"input": TEXT, "instructions": "slowly, as if in a rage", "response_format": "pcm"}
    free = httpx.post(f"{live.url}/v1/audio/speech", json=body).content
    fast = httpx.post(f"{live.url}/v1/audio/speech", json=body | {"speed": 1.5}).content
    assert len(fast) == pytest.approx(len(free) / 1.5, rel=0.01)
    assert len(free) / 48_000 == pytest.approx(fake_engine.estimate(TEXT, instruction=body["instructions"]), rel=0.01)
