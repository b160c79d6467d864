"""The tab that keeps voices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from app.errors import told
from emovoice.serve.studio import Studio

HEADERS = ["name", "id", "consent", "remarks"]


def tab(studio: Studio, choices: gr.Dropdown) -> None:
    """Builds it; `choices` is the list of voices to keep in step."""
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            recording = gr.Audio(label="Recording of 5 to 15 s of clear speech", sources=["upload", "microphone"],
                                 type="filepath", buttons=["download"])  # fmt: skip
            name = gr.Textbox(label="Name of the voice", max_length=64)
            consent = gr.Textbox(label="Consent: who is the speaker, and how did they agree? It is kept with the voice",
                                 placeholder="I am the speaker and agree")  # fmt: skip
            accent = gr.Radio(["us", "gb"], value="us", label="Accent")
            add = gr.Button("Store the voice", variant="primary")
        with gr.Column(min_width=320):
            said = gr.Textbox(label="Remarks", interactive=False)
            table = gr.Dataframe(studio.table, headers=HEADERS, label="Stored voices", interactive=False, wrap=True)
            wanted = gr.Textbox(label="Id of a voice to delete")
            delete = gr.Button("Delete it")

    def shown(said: str) -> tuple[str, list[list[str]], Any]:
        return said, studio.table(), gr.Dropdown(choices=studio.choices())

    @told
    async def run_add(*given: Any) -> AsyncIterator[tuple[str, list[list[str]], Any]]:
        yield shown(await studio.add_voice(*given))

    @told
    async def run_delete(id: str) -> AsyncIterator[tuple[str, list[list[str]], Any]]:
        yield shown(studio.delete_voice(id))

    add.click(run_add, [recording, name, consent, accent], [said, table, choices], api_name="add_voice")
    delete.click(run_delete, [wanted], [said, table, choices], api_name="delete_voice")
