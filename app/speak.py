"""The tab that speaks a text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from app.errors import told
from app.wheel import controls, curve_field
from emovoice.serve.studio import Studio

EXAMPLES = [
    ["I told you, she is coming home tonight.", "happy", 0.7],
    ["You did what? Without asking anyone?", "angry", 0.9],
    ["There was nobody left to ask.", "sad", 0.6],
    ["Did you hear that? There it is again.", "afraid", 0.8],
    ["Take a breath. We have all the time in the world.", "calm", 0.8],
]


def tab(studio: Studio) -> gr.Dropdown:
    """Builds it; returns the list of voices, which another tab may change."""
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            text = gr.Textbox(label="Text to speak", lines=3, max_length=studio.service.limits.text_chars,
                              value=EXAMPLES[0][0])  # fmt: skip
            instruction = gr.Textbox(label="Instruction in plain words; it takes the place of the emotion",
                                     placeholder="furious, but keeping it down")  # fmt: skip
            _, emotion, intensity = controls()
            curve = curve_field()
            voice = gr.Dropdown(studio.choices(), value="default", label="Voice")
            with gr.Accordion("Speak in the voice of a recording", open=False):
                recording = gr.Audio(label="Recording of 5 to 15 s", sources=["upload", "microphone"], type="filepath",
                                     buttons=["download"])  # fmt: skip
                consent = gr.Textbox(label="Consent: who is the speaker, and how did they agree?",
                                     placeholder="I am the speaker and agree")  # fmt: skip
            with gr.Row():
                duration = gr.Number(0, label="Length in seconds", info="0 for as long as it takes", minimum=0)
                seed = gr.Number(0, label="Seed", info="same seed, same speech", precision=0, minimum=0)
            with gr.Row():
                speak = gr.Button("Speak", variant="primary", elem_id="speak-button")
                stop = gr.Button("Stop")
            gr.Examples(EXAMPLES, [text, emotion, intensity], label="Examples", cache_examples=False)
        with gr.Column(min_width=320):
            player = gr.HTML(label="While it is spoken")
            said = gr.Textbox(label="Progress and remarks", interactive=False, lines=2)
            result = gr.Audio(label="Speech", interactive=False, type="filepath", buttons=["download"],
                              elem_id="speak-result")  # fmt: skip
            picture = gr.HTML(label="Waveform with emotion, spectrogram with pitch", elem_id="speak-picture")

    @told
    async def run(*asked: Any) -> AsyncIterator[tuple[str, str | None, str, str]]:
        async for update in studio.speak(*asked):
            yield update.player, update.path, update.picture, update.said

    asked = [text, instruction, voice, recording, consent, emotion, intensity, curve, duration, seed]
    event = speak.click(run, asked, [player, result, picture, said], api_name="speak")
    stop.click(None, None, None, cancels=[event], api_name=False)
    return voice
