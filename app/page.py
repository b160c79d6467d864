"""The page: four tabs, mounted beside the API on one server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio reads them
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr

from app import convert, dub, speak, voices
from emovoice.serve.app import create_app
from emovoice.serve.settings import Settings
from emovoice.serve.studio import Studio

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from emovoice.engine import Engine

_SECOND_S = 3600
_UPLOAD = "512mb"
_CSS = """
.gradio-container { max-width: 1200px !important; width: 100%; margin: 0 auto; }
.emovoice-live, .emovoice-picture { width: 100%; }
.emovoice-picture { height: auto; max-height: 60vh; }
.gradio-container .block:has(table) { max-width: calc(100vw - 64px); }
.emovoice-wheel img { width: 100%; max-width: 420px; touch-action: manipulation; }
"""
_SCRIPT = """() => {
    const name = () => document.querySelectorAll('.emovoice-wheel button:not([aria-label])')
        .forEach(button => button.setAttribute('aria-label', 'Wheel of emotions; list and slider say the same'));
    name();
    new MutationObserver(name).observe(document.body, {childList: true, subtree: true});
}"""
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; frame-ancestors 'self'"
)
"""Content-Security-Policy: a browser asks nobody but this server, whatever a library may try."""


def build(studio: Studio) -> gr.Blocks:
    """The tabs."""
    with gr.Blocks(title="emovoice", analytics_enabled=False, delete_cache=(_SECOND_S, _SECOND_S)) as page:
        gr.Markdown(
            "# emovoice\nSpeech in a chosen voice, emotion, intensity and time. What is made here is marked as made by "
            "a machine. Use a voice only if its speaker agrees."
        )
        with gr.Tab("Speak"):
            choices = speak.tab(studio)
        with gr.Tab("Convert"):
            convert.tab(studio)
        with gr.Tab("Dub"):
            dub.tab(studio)
        with gr.Tab("Voices"):
            voices.tab(studio, choices)
    page.queue(default_concurrency_limit=8, max_size=64)
    return page


def create(engine: Engine, settings: Settings) -> Starlette:
    """The server with the page at / and the API at /v1."""
    app = create_app(engine, settings, unlimited=("/gradio_api/",))
    studio = Studio(app.state.service)
    app.router.routes.extend(studio.routes)
    mounted: Any = gr.mount_gradio_app(
        app,  # type: ignore[arg-type]  # it needs what Starlette has
        build(studio),
        path="/",
        theme=gr.themes.Default(),
        css=_CSS,
        js=_SCRIPT,
        allowed_paths=[str(studio.folder)],
        max_file_size=_UPLOAD,
        show_error=True,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
    )
    mounted.state.let_go = (mounted.routes[-1].app.stop_event.set,)  # what ends the heartbeats of open pages
    mounted.add_middleware(Policy)
    return mounted  # type: ignore[no-any-return]


class Policy:
    """ASGI middleware that adds the policy to every answer."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        async def with_policy(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                extra = ((b"content-security-policy", _POLICY.encode()), (b"referrer-policy", b"no-referrer"))
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        await self._app(scope, receive, with_policy)
