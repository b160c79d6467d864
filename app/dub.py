"""The tab that dubs a video or a timeline."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from app.errors import told
from emovoice.serve.dubs import COLUMNS, EDITABLE, Dub, clip, pressed
from emovoice.serve.studio import Studio

_KEPT_S = 6 * 3600
_WIDTHS = (80, 76, 92, 84, 120, 100, 110, 110, 300, 88, 80, 90, 300)  # pixels, as COLUMNS
TIMELINES = [".srt", ".vtt", ".ass", ".ssa", ".json", ".jsonl", ".csv", ".otio"]


def tab(studio: Studio) -> None:
    """Builds it."""
    state = gr.State(None, time_to_live=_KEPT_S, delete_callback=lambda dub: dub.forget() if dub else None)
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            timeline = gr.File(label="Timeline: subtitles, CSV, JSON or OTIO", file_types=TIMELINES, type="filepath")
            video = gr.Video(label="Video, if there is one", sources=["upload"])
            load = gr.Button("Read the timeline")
        with gr.Column(min_width=320):
            said = gr.Textbox(label="Progress and remarks", interactive=False, lines=3)
            downloads = gr.File(label="Result, report, subtitles, edit list", file_count="multiple", interactive=False)
    table = gr.Dataframe(headers=list(COLUMNS), label="Cues; voice, emotion, intensity and text can be changed",
                         type="array", interactive=True, wrap=True, static_columns=_fixed(),
                         column_widths=[f"{width}px" for width in _WIDTHS])  # fmt: skip
    with gr.Row():
        speak = gr.Button("Dub everything", variant="primary")
        stop = gr.Button("Stop")
    with gr.Row(equal_height=False):
        number = gr.Number(1, label="Cue", info="or press its row in the table", precision=0, minimum=1)
        listen = gr.Button("Listen to this cue")
        again = gr.Button("Speak this cue again")
    line = gr.Audio(label="The cue", interactive=False, type="filepath", buttons=["download"], autoplay=True,
                    elem_id="dub-line")  # fmt: skip

    @told
    async def read(timeline: str | None, video: str | None) -> AsyncIterator[tuple[Dub, list[list[Any]], str]]:
        dub, rows = await studio.begin_dub(timeline, video)
        yield dub, rows, f"{len(rows)} cues"

    @told
    async def run(dub: Dub | None, rows: list[list[Any]]) -> AsyncIterator[tuple[Any, ...]]:
        async for update in studio.dub(dub, rows):
            yield update

    @told
    async def run_one(dub: Dub | None, rows: list[list[Any]], number: float) -> AsyncIterator[tuple[Any, ...]]:
        async for update in studio.dub(dub, rows, again=int(number)):
            yield update

    def press(dub: Dub | None, event: gr.SelectData) -> tuple[int, str | None]:
        return pressed(dub, event.row_value, event.index[1])

    load.click(read, [timeline, video], [state, table, said], api_name=False)
    alone: dict[str, Any] = {"api_name": False, "concurrency_limit": 1, "concurrency_id": "dub"}
    whole = speak.click(run, [state, table], [table, said, downloads], **alone)
    one = again.click(run_one, [state, table, number], [table, said, downloads], **alone)
    table.select(press, [state], [number, line], api_name=False, show_progress="hidden")
    for happens in (listen.click, one.then):
        happens(lambda dub, number: clip(dub, int(number)) if dub else None, [state, number], line, api_name=False)
    stop.click(None, None, None, cancels=[whole, one], api_name=False)


def _fixed() -> list[int]:
    return [index for index, name in enumerate(COLUMNS) if name not in EDITABLE]
