"""`emovoice convert`: speak a recording again with another emotion."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from emovoice.cli import COMMANDS, OK, output

if TYPE_CHECKING:
    import numpy as np

    from emovoice.conversion.stream import Conversion

_EPILOG = """\
examples:
  emovoice convert in.wav -o out.wav --emotion sad --intensity 0.6
  emovoice convert in.wav -o out.wav --reference emotional.wav
  emovoice convert in.wav -o out.wav --instruction "starts calm, ends furious"
  emovoice convert in.wav -o out.wav --emotion happy --voice other.wav
  emovoice convert in.wav -o out.wav --curve "0:calm:0.2, 2.5:angry:0.9"
  emovoice convert in.wav -o out.wav --emotion 0.3,0,0,0,0,0,0.4,0
  emovoice convert in.wav -o out.wav --emotion sad --tempo
  emovoice convert in.wav -o - --emotion neutral | aplay

The words stay, and so do speaker, rate, channels and length unless you ask otherwise. The ending of the output says
its format: .wav, .flac or .ogg; "-" is wav on standard output.
"""


def add(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "convert",
        help=COMMANDS["convert"],
        description="Speak a recording again with another emotion, or in another voice or length.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recording", metavar="RECORDING", help="a wav, flac, ogg or mp3 file of up to four hours")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="where to write the result")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--emotion", metavar="E", help="a name such as anger, or eight numbers 0..1 with commas")
    which.add_argument("--reference", metavar="FILE", help="a recording whose emotion is taken over")
    which.add_argument("--instruction", metavar="WORDS", help="the emotion in plain words, also as a sequence")
    which.add_argument("--curve", metavar="C", help='"SECONDS:EMOTION:INTENSITY, ...", times rising')
    parser.add_argument("--intensity", type=float, metavar="X", help="how far to go there, 0..1 (default: 0.7)")
    parser.add_argument("--voice", metavar="V", help="another voice: a name, a saved voice or a recording")
    parser.add_argument("--duration", type=float, metavar="S", help="how long the result lasts, seconds")
    parser.add_argument("--tempo", action="store_true", help="let the emotion change the tempo, and so the length")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same result (default: 0)")
    fine = parser.add_argument_group("how it is solved (default: as the model is configured)")
    fine.add_argument("--solver", choices=("dpm", "ddim", "ml"), help="dpm is fast, ml is the papers' stochastic one")
    fine.add_argument("--steps", type=int, metavar="N", help="evaluations of the network, there and back each")
    fine.add_argument("--keep", type=float, metavar="X", help="of the recording's own detail, 0..1")
    fine.add_argument("--guidance", type=float, nargs=2, metavar=("T", "E"), help="weights of timbre and emotion")
    output.add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print what was made as a JSON object")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary; warnings stay")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert; see `emovoice convert --help`."""
    output.check_sound_output(args)
    conversion = _start(args)
    chunks = _with_progress(conversion, quiet=args.quiet)
    written, mark = output.write_sound(args, chunks, conversion.rate, "conversion")
    output.warn(conversion.warnings)
    if args.json:
        output.print_json(
            {
                "path": args.output,
                "duration_s": round(written.duration_s, 6),
                "asked_s": conversion.asked_s,
                "rate": conversion.rate,
                "channels": conversion.channels,
                "real_time_factor": round(conversion.real_time_factor, 4),
                "seed": args.seed,
                "model": args.model,
                "emotion": args.emotion or args.curve,
                "reference": args.reference,
                "instruction": args.instruction,
                "mark": mark,
                "warnings": list(conversion.warnings),
            }
        )
    elif not args.quiet:
        seconds = f"{written.duration_s:.2f} s, {conversion.real_time_factor:.2f} x real time"
        output.note(f"{'standard output' if args.output == output.STDOUT else args.output}: {seconds}")
    return OK


def _start(args: argparse.Namespace) -> Conversion:
    from emovoice.emotion.path import read_keyframes
    from emovoice.shared import shared_engine

    curve = None if args.curve is None else read_keyframes(args.curve)
    engine = shared_engine(args.model, args.device)
    from emovoice.conversion.converter import Decoding

    guidance = None if args.guidance is None else (args.guidance[0], args.guidance[1])
    return engine.convert_stream(
        args.recording,
        curve if curve is not None else args.emotion,
        args.intensity,
        reference=args.reference,
        instruction=args.instruction,
        timbre=args.voice,
        duration_s=args.duration,
        tempo=args.tempo,
        seed=args.seed,
        decoding=Decoding(args.solver, args.steps, args.keep, guidance),
    )


def _with_progress(conversion: Conversion, *, quiet: bool) -> Iterator[np.ndarray]:
    """The chunks, with a count of seconds on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield from conversion
        return
    from tqdm import tqdm

    with tqdm(unit=" s", file=sys.stderr, leave=False) as bar:
        for chunk in conversion:
            bar.update(round(conversion.duration_s) - bar.n)
            yield chunk
