"""`emovoice say`: speak a text into a sound file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from emovoice.cli import COMMANDS, OK, output
from emovoice.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from emovoice.speech import Speech

_SHORT = 200
"""Characters below which the compiled network does not make up for its start: about 12 s of speech."""
_EPILOG = """\
examples:
  emovoice say "Good morning." -o morning.wav
  emovoice say "Get out!" -o out.flac --emotion anger --intensity 0.9
  emovoice say "Two moods at once." -o two.wav --emotion 0,0,0.5,0,0,0.3,0,0
  emovoice say "I told you. Never again." -o told.wav --instruction "starts calm, ends shouting"
  emovoice say "She said yes! [whisper]Don't tell.[/whisper]" -o yes.wav --emotion auto
  emovoice say "In my own voice." -o mine.wav --voice me.wav
  emovoice say "Exactly two seconds." -o two.wav --duration 2
  emovoice say - -o story.ogg < story.txt
  emovoice say "Into a player." -o - | aplay
  emovoice say "After a prompt." -o after.wav --model indextts-2 --voice prompt.wav --option beams=3

The ending of the output says its format: .wav, .flac or .ogg; "-" is wav on standard output.
"""


def add(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "say",
        help=COMMANDS["say"],
        description="Speak a text into a sound file.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("text", metavar="TEXT", help='what to say; "-" reads it from standard input')
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="where to write the speech")
    parser.add_argument("--voice", metavar="V", help="a name, a saved voice (.safetensors) or a recording")
    parser.add_argument("--emotion", metavar="E", help="a name such as anger, eight numbers 0..1 with commas, or auto")
    parser.add_argument("--instruction", metavar="I", help="how to speak, in words; see emovoice explain")
    parser.add_argument("--intensity", type=float, metavar="X", help="how much of it, 0..1 (default: 0.7)")
    parser.add_argument("--emotion-audio", metavar="FILE", help="a recording whose emotion is taken over")
    parser.add_argument("--duration", type=float, metavar="S", help="how long to speak, seconds")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same speech (default: 0)")
    parser.add_argument("--accent", choices=("us", "gb"), help="how to read the text (default: the voice's own)")
    output.add_model_options(parser)
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE",
        help="of a published model, may be repeated: beams=3, slot_order=B, place=t2s=cuda/fp16,s2mel=cuda, ...",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print what was made as a JSON object")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary; warnings stay")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Speak; see `emovoice say --help`."""
    output.check_sound_output(args)
    speech = _start(args)
    written, mark = output.write_sound(args, _with_progress(speech, quiet=args.quiet), speech.rate, "speech")
    output.warn(speech.warnings)
    if args.json:
        output.print_json(_report(args, speech, written.duration_s, mark))
    elif not args.quiet:
        seconds = f"{written.duration_s:.2f} s, {speech.real_time_factor:.2f} x real time"
        output.note(f"{'standard output' if args.output == output.STDOUT else args.output}: {seconds}")
    return OK


def _start(args: argparse.Namespace) -> Speech:
    from emovoice.indextts.options import options_of
    from emovoice.limits import DEFAULT_LIMITS
    from emovoice.shared import shared_engine

    options = options_of(args.option, args.device) if args.option else None
    text = _read_stdin(DEFAULT_LIMITS.text_chars) if args.text == "-" else args.text
    if len(text) < _SHORT:
        from ar_tts.kernels import network

        network.decline()
    return shared_engine(args.model, args.device, options).stream(
        text,
        timbre=args.voice,
        emotion=args.emotion,
        intensity=args.intensity,
        emotion_audio=args.emotion_audio,
        duration_s=args.duration,
        seed=args.seed,
        accent=args.accent,
        instruction=args.instruction,
    )


def _read_stdin(limit_chars: int) -> str:
    """UTF-8 text; no more is read than it takes to see that it is too long."""
    data = sys.stdin.buffer.read(4 * (limit_chars + 1))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # A character cut in half by the limit is beyond the limit, which the engine reports.
        if error.end == len(data) > 4 * limit_chars:
            return data[: error.start].decode("utf-8-sig")
        raise InputError("the text is not UTF-8", field="byte", value=error.start, remedy="Convert it.") from error


def _with_progress(speech: Speech, *, quiet: bool) -> Iterator[np.ndarray]:
    """The chunks of `speech`, with a bar of sentences on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield from speech
        return
    from tqdm import tqdm

    with tqdm(total=speech.sentences, unit=" sentence", file=sys.stderr, leave=False) as bar:
        for chunk in speech:
            bar.update(speech.sentences_done - bar.n)
            yield chunk


def _weights(args: argparse.Namespace) -> dict[str, float] | None:
    """The weights of the whole request; None where they differ from sentence to sentence or a recording gives them."""
    from emovoice import delivery
    from emovoice.emotion import names

    if args.emotion_audio or args.instruction is not None or delivery.is_auto(args.emotion):
        return None
    return names.named(names.parse(args.emotion, args.intensity))


def _report(args: argparse.Namespace, speech: Speech, duration_s: float, mark: str) -> dict[str, object]:
    return {
        "path": args.output,
        "duration_s": round(duration_s, 6),
        "asked_s": speech.asked_s,
        "real_time_factor": round(speech.real_time_factor, 4),
        "seed": args.seed,
        "model": args.model,
        "voice": speech.voice,
        "emotion": _weights(args),
        "instruction": args.instruction,
        "emotion_audio": args.emotion_audio,
        "mark": mark,
        "warnings": list(speech.warnings),
    }
