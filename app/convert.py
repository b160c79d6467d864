"""The tab that speaks a recording again with another emotion."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from app.errors import told
from app.wheel import controls, curve_field
from emovoice.serve.studio import GRID, Studio

_IN_A_ROW = 3


def tab(studio: Studio) -> None:
    """Builds it."""
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            recording = gr.Audio(label="Recording to convert", sources=["upload", "microphone"], type="filepath",
                                 buttons=["download"])  # fmt: skip
            instruction = gr.Textbox(label="Instruction in plain words; it takes the place of the emotion",
                                     placeholder="starts calm, ends furious")  # fmt: skip
            _, emotion, intensity = controls()
            curve = curve_field()
            with gr.Row():
                convert = gr.Button("Convert", variant="primary", elem_id="convert-button")
                stop = gr.Button("Stop")
        with gr.Column(min_width=320):
            player = gr.HTML(label="While it is made")
            said = gr.Textbox(label="Progress and remarks", interactive=False, lines=2)
            result = gr.Audio(label="Converted recording", interactive=False, type="filepath", buttons=["download"])
            picture = gr.HTML(label="Waveform with emotion, spectrogram with pitch")
    six = gr.Button("Six steps from 0 to 1")
    cells = []
    for start in range(0, len(GRID), _IN_A_ROW):
        with gr.Row():
            cells += [gr.Audio(label=f"Intensity {step:.1f}", interactive=False, type="filepath",
                               buttons=["download"], min_width=260) for step in GRID[start : start + _IN_A_ROW]]

    @told
    async def run(*asked: Any) -> AsyncIterator[tuple[str, str | None, str, str]]:
        async for update in studio.convert(*asked):
            yield update.player, update.path, update.picture, update.said

    @told
    async def run_six(*asked: Any) -> AsyncIterator[list[str | None]]:
        async for paths in studio.grid(*asked):
            yield paths

    asked = [recording, instruction, emotion, intensity, curve]
    one = convert.click(run, asked, [player, result, picture, said], api_name="convert")
    all_six = six.click(run_six, [recording, instruction, emotion], cells, api_name="convert_six")
    stop.click(None, None, None, cancels=[one, all_six], api_name=False)
