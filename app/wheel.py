"""The wheel of emotions, with a list and a slider that say the same for those who do not point."""

from __future__ import annotations

import gradio as gr

from emovoice.serve import studio, wheel


def controls() -> tuple[gr.Image, gr.Dropdown, gr.Slider]:
    """Wheel, emotion and intensity, kept in step."""
    start = studio.defaults()
    gr.Markdown("**Wheel of emotions**: press where it should be; the list and the slider say the same.")
    with gr.Row(equal_height=False):
        shown = gr.Image(
            wheel.picture(start["emotion"], start["intensity"]),
            label="Wheel of emotions",
            show_label=False,
            interactive=False,
            buttons=[],
            elem_classes="emovoice-wheel",
            min_width=240,
        )
        with gr.Column(min_width=220):
            emotion = gr.Dropdown(studio.emotions(), value=start["emotion"], label="Emotion")
            intensity = gr.Slider(0, 1, value=start["intensity"], step=0.05, label="Intensity", info="0 none, 1 full")

    def pressed(event: gr.SelectData) -> tuple[str, float]:
        return wheel.at(*event.index)

    shown.select(pressed, None, [emotion, intensity], api_name=False)
    gr.on([emotion.change, intensity.change], wheel.picture, [emotion, intensity], shown, api_name=False,
          show_progress="hidden")  # fmt: skip
    return shown, emotion, intensity


def curve_field() -> gr.Textbox:
    """An emotion over time, instead of the wheel's."""
    with gr.Accordion("Emotion over time", open=False):
        label = "Curve: seconds:emotion:intensity, with commas; it takes the place of the emotion"
        return gr.Textbox(label=label, placeholder="0:calm:0.2, 2.5:angry:0.9")
