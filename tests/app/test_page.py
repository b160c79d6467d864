"""The page in a real browser, and for programs: upload, press, listen, look. It speaks with the debug model."""

from __future__ import annotations

import io
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emovoice.engine import Engine
from emovoice.provenance import detect
from emovoice.serve.run import listen, server, url_of
from emovoice.serve.settings import Settings
from tests.serve.test_voices import YES, recording

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# without --disable-dev-shm-usage a page stalls in containers, whose shared memory is small
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required"]
WAIT_MS = 90_000
ATTEMPTS, ANSWER_MS = 3, 40_000


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from app.page import create

    engine = Engine("debug")
    speak = engine.pipeline.speak

    def slowly(*arguments: Any, **options: Any) -> Iterator[np.ndarray]:
        """A moment for each chunk, so that there is something to hear while it is made."""
        for chunk in speak(*arguments, **options):
            time.sleep(0.2)
            yield chunk

    engine.pipeline.speak = slowly  # type: ignore[method-assign]
    settings = Settings(port=0, voices_dir=tmp_path_factory.mktemp("stored"), watermark=False)
    bound = listen("127.0.0.1", 0)
    running = server(create(engine, settings), settings.limits)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not running.started and time.monotonic() < until:
        time.sleep(0.05)
    yield url_of(bound)
    running.should_exit = True
    thread.join(15)
    bound.close()
    assert not thread.is_alive(), "clients that still show that they are there do not hold up a stop"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("needs a Chromium: on Debian, apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    """The page, opened; fails afterwards when anything outside this machine was asked for."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.set_default_timeout(WAIT_MS)
    opened.goto(url)
    opened.wait_for_selector("#speak-button")
    yield opened
    opened.close()
    assert [address for address in asked if not address.startswith((url, "data:", "blob:"))] == []


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "voice.wav"
    path.write_bytes(recording())
    return path


def duration_in_browser(page: Any, address: str) -> float:
    """The length that the browser's own audio element finds."""
    code = """address => new Promise((found, failed) => {
        const audio = new Audio(address);
        audio.onloadedmetadata = () => found(audio.duration);
        audio.onerror = () => failed(new Error('cannot be played'));
    })"""
    return float(page.evaluate(code, address))


def upload(page: Any, field: Any, wav: Path) -> None:
    """Choose a file and wait until the server has it."""
    with page.expect_response(lambda answer: "/gradio_api/upload" in answer.url):
        field.set_input_files(str(wav))
    page.wait_for_timeout(1000)


def answered(page: Any, press: Callable[[], None], code: str) -> None:
    """Press something and wait until the page shows it (code: a function in its language); where the browser of a
    crowded machine has stalled, once more on a page that is loaded anew. Fails with what the page says."""
    from playwright.sync_api import TimeoutError as Unanswered

    for _ in range(ATTEMPTS):
        press()
        try:
            page.wait_for_function(code, timeout=ANSWER_MS, polling=100)
            return
        except Unanswered:
            said = page.locator("body").inner_text()[:2000]
            page.reload()
            page.wait_for_selector("#speak-button")
    pytest.fail(f"no answer after {ATTEMPTS} attempts; the page says: {said}")


def colours(picture: bytes) -> np.ndarray:
    """`(H, W, 3)` of a screenshot."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def near(pixels: np.ndarray, colour: tuple[int, int, int]) -> float:
    """The share of pixels of about this colour."""
    return float((np.abs(pixels - np.array(colour)).max(axis=2) < 40).mean())


def test_speaking(page: Any) -> None:
    """A file of the right length, and a picture with everything in it."""
    page.get_by_label("Text to speak").fill("One two three four five six. Seven eight nine ten eleven twelve.")
    page.get_by_label("Length in seconds").fill("4")
    page.click("#speak-button")
    page.wait_for_selector("#speak-picture svg")
    address = page.get_attribute("#speak-result a[download]", "href")
    assert duration_in_browser(page, address) == pytest.approx(4.0, abs=0.01)
    drawing = page.locator("#speak-picture svg")
    assert "4.0 s" in drawing.get_attribute("aria-label")
    pixels = colours(drawing.screenshot())
    assert near(pixels, (76, 110, 245)) > 0.02, "the waveform"
    assert near(pixels, (232, 89, 12)) > 0.001, "the emotion"
    assert pixels[pixels.shape[0] // 2 :].std() > 10, "the spectrogram"


def test_listening_while_it_is_made_and_stopping(page: Any, url: str) -> None:
    def speak() -> None:
        page.get_by_label("Text to speak").fill("A long story that goes on and on. " * 60)
        page.click("#speak-button")

    answered(page, speak, """() => {
        const player = document.querySelector('audio.emovoice-live');
        return player && player.currentTime > 0.2 && player.getAttribute('aria-label').startsWith('live');
    }""")
    page.get_by_role("button", name="Stop").first.click()
    until = time.monotonic() + 30
    import httpx

    while "emovoice_active 0.0" not in httpx.get(f"{url}/metrics").text:
        assert time.monotonic() < until, "it goes on"
        time.sleep(0.1)


def test_the_wheel(page: Any) -> None:
    """A press on "sad" chooses it, a bit inside the edge with less than full intensity."""
    from emovoice.serve import wheel

    def press() -> None:
        box = page.locator(".emovoice-wheel img").first.bounding_box()
        x, y = wheel.place("sad", 0.8)
        page.mouse.click(box["x"] + x * box["width"] / wheel.SIZE, box["y"] + y * box["height"] / wheel.SIZE)

    answered(page, press, "() => [...document.querySelectorAll('input')].some(i => i.value === 'sad')")
    page.wait_for_function("() => [...document.querySelectorAll('input[type=number]')]"
                           ".some(i => i.value > 0.7 && i.value < 0.9)", polling=100)  # fmt: skip


def test_a_recording_is_a_voice_only_with_consent(page: Any, wav: Path) -> None:
    page.get_by_text("Speak in the voice of a recording").click()
    upload(page, page.locator("input[type=file]").first, wav)
    page.click("#speak-button")
    page.wait_for_selector("text=the speaker's consent is needed")
    page.get_by_label("Consent: who is the speaker, and how did they agree?", exact=True).fill(YES)
    page.click("#speak-button")
    page.wait_for_selector("#speak-picture svg")


def test_converting(page: Any, wav: Path) -> None:
    page.get_by_role("tab", name="Convert").click()
    upload(page, page.locator("[role=tabpanel]:visible input[type=file]").first, wav)
    page.get_by_role("button", name="Six steps from 0 to 1").click()
    page.wait_for_function("() => [...document.querySelectorAll('[role=tabpanel]')].some("
                           "p => p.querySelectorAll('a[download]').length >= 6)", polling=100)  # fmt: skip


def test_dubbing(page: Any, tmp_path: Path) -> None:
    """A timeline is read, spoken, and the cue whose row is pressed is heard."""
    pytest.importorskip("av")
    timeline = tmp_path / "cues.srt"
    timeline.write_text("1\n00:00:00,000 --> 00:00:01,000\nHello.\n\n2\n00:00:01,500 --> 00:00:02,250\nGo away.\n")
    page.get_by_role("tab", name="Dub").click()
    upload(page, page.locator("[role=tabpanel]:visible input[type=file]").first, timeline)
    page.get_by_role("button", name="Read the timeline").click()
    said = "text => [...document.querySelectorAll('textarea')].some(area => area.value.includes(text))"
    page.wait_for_function(said, arg="2 cues", polling=100)
    page.get_by_role("button", name="Dub everything").click()
    page.wait_for_function(said, arg="2 of 2 cues are spoken; marked: metadata", polling=100)
    page.locator("[data-row='1'][data-col='0']").last.click()
    page.wait_for_selector("#dub-line a[download]")
    assert 0 < duration_in_browser(page, page.get_attribute("#dub-line a[download]", "href")) <= 0.76
    assert "2" in [box.input_value() for box in page.locator("input[type=number]:visible").all()]


def test_at_the_width_of_a_phone(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for tab in ("Voices", "Dub", "Convert", "Speak"):
        if not page.get_by_role("tab", name=tab).is_visible():
            continue  # behind the menu of tabs
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(300)
        wide = page.evaluate("""() => document.documentElement.scrollWidth <= 400 ? [] :
            [...document.querySelectorAll('*')].filter(e => e.offsetParent && e.getBoundingClientRect().right > 400)
            .map(e => e.tagName + '.' + e.className).slice(0, 12)""")
        assert wide == [], f"{tab} is wider than the phone"


def test_controls_have_names(page: Any) -> None:
    """Every control that can be reached has something for a screen reader to say."""
    nameless = page.evaluate("""() => [...document.querySelectorAll('input, textarea, select, button')]
        .filter(e => e.offsetParent !== null && !e.disabled)
        .filter(e => !(e.getAttribute('aria-label') || e.title || e.innerText || e.placeholder ||
                       (e.labels && e.labels.length) || e.getAttribute('aria-labelledby') ||
                       e.closest('label')))
        .map(e => e.outerHTML.slice(0, 120))""")
    assert nameless == []


def test_programs_may_use_the_page_too(url: str, tmp_path: Path) -> None:
    client_module = pytest.importorskip("gradio_client")
    client = client_module.Client(url, download_files=str(tmp_path), verbose=False)
    arguments = ("Hello there.", "", "default", None, "", "sad", 0.5, "", 1.0, 3)
    _, path, drawing, said = client.predict(*arguments, api_name="/speak")
    samples, rate = soundfile.read(path)
    assert len(samples) / rate == pytest.approx(1.0) and "<svg" in drawing and "marked: metadata" in said
    assert detect(path).found, "a downloaded file is marked"
    with pytest.raises(Exception, match="empty"):
        client.predict("", *arguments[1:], api_name="/speak")
    _, again, _, _ = client.predict(*arguments, api_name="/speak")
    assert np.array_equal(soundfile.read(again)[0], samples)


def test_voices_are_stored_with_consent(url: str, wav: Path) -> None:
    client_module = pytest.importorskip("gradio_client")
    client = client_module.Client(url, verbose=False)
    file = client_module.handle_file(str(wav))
    with pytest.raises(Exception, match="consent"):
        client.predict(file, "ruth", "", "us", api_name="/add_voice")
    said, table, _ = client.predict(file, "ruth", YES, "gb", api_name="/add_voice")
    assert "ruth" in said
    row = next(row for row in table["data"] if row[0] == "ruth")
    assert row[2] == YES
    _, table, _ = client.predict(row[1], api_name="/delete_voice")
    assert all(row[0] != "ruth" for row in table["data"])
