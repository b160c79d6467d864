"""`emovoice explain`: what would be spoken how, and why; nothing is spoken."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from emovoice.cli import COMMANDS, OK, output
from emovoice.errors import InputError

if TYPE_CHECKING:
    from emovoice.text import Sentence

_EPILOG = """\
examples:
  emovoice explain "furious, but keeping it down"
  emovoice explain "starts calm, ends shouting"
  emovoice explain "Who ate my lunch? [whisper]I think it was Tom.[/whisper]"
  emovoice explain "It is late. Go home." --instruction "tender, then stern"
  emovoice explain "not angry at all" --json

What ends like a sentence (. ! ? or a quotation mark) or has tags is taken for a text and its emotion is found in it, as
--emotion auto does; anything else is taken for an instruction. --as says which it is. "-" reads from standard input.
"""


def add(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "explain",
        help=COMMANDS["explain"],
        description="Show what would be spoken how, and why.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("text", metavar="TEXT", help='a text or an instruction; "-" reads it from standard input')
    parser.add_argument("--as", dest="kind", choices=("text", "instruction"), help="which of the two it is")
    parser.add_argument("--instruction", metavar="I", help="how TEXT is to be spoken, in words")
    parser.add_argument("--emotion", metavar="E", help="the emotion of TEXT (default: auto)")
    parser.add_argument("--intensity", type=float, metavar="X", help="how much of it, 0..1")
    parser.add_argument(
        "--llm", metavar="M", help="understand an instruction with a Qwen3 chat model: folder or hub name"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Explain; see `emovoice explain --help`."""
    from emovoice.emotion import picture

    text = sys.stdin.read(20_001) if args.text == "-" else args.text
    blocks = picture.FINE if _can_show("█▁·") else picture.PLAIN
    if _is_instruction(text, args):
        found = _understand(text, args.llm)
        if args.json:
            output.print_json({"kind": "instruction", **found.as_dict()})
        else:
            print("\n".join(picture.understanding(found, blocks)))
        return OK
    report = _sentences(text, args)
    if args.json:
        output.print_json({"kind": "text", **report})
        return OK
    if args.instruction is not None:
        print("\n".join([*picture.understanding(_understand(args.instruction, args.llm), blocks), ""]))
    print("\n".join(picture.sentences(report["sentences"], blocks)))
    output.warn(report["warnings"])
    return OK


def _is_instruction(text: str, args: argparse.Namespace) -> bool:
    if args.kind is not None:
        return bool(args.kind == "instruction")
    if args.instruction is not None or args.emotion is not None:
        return False
    from emovoice.text import tags

    return not text.rstrip().endswith((".", "!", "?", '"', "…")) and tags.parse(text).is_plain


def _understand(instruction: str, llm: str | None) -> Any:
    from emovoice.emotion.instructions import understand

    if llm is None:
        return understand(instruction)
    from emovoice.emotion.llm import LargeReader

    return LargeReader.load(llm).understand(instruction)


def _sentences(text: str, args: argparse.Namespace) -> dict[str, Any]:
    """What `emovoice say` would do, without a voice: sentence by sentence."""
    from emovoice import delivery
    from emovoice.emotion import names

    if not text.strip():
        raise InputError("the text is empty", field="text", value=text, remedy="Give something to say.")
    auto = args.instruction is None and (args.emotion is None or delivery.is_auto(args.emotion))
    delivery.check(args.emotion, args.instruction)
    instruction = None if args.instruction is None else _understand(args.instruction, args.llm)
    spoken, warnings = delivery.read(text, _read)
    weights = None if auto or instruction is not None else names.parse(args.emotion, args.intensity)
    how, doubts = delivery.deliveries(spoken, weights, instruction, auto, args.intensity)
    rows = [
        {
            "text": sentence.text,
            "phonemes": sentence.phonemes,
            "pauses_s": [seconds for _, seconds in sentence.pauses],
            "weights": names.named(each.weights or names.NEUTRAL),
            "rate": round(each.rate, 3),
            "loudness_db": round(each.loudness_db, 2),
            "whisper": style.whisper,
        }
        for (sentence, style), each in zip(spoken, how, strict=True)
    ]
    return {"sentences": rows, "warnings": [*warnings, *doubts]}


def _read(text: str) -> tuple[tuple[Sentence, ...], tuple[str, ...]]:
    from emovoice.text import read  # brings in dictionaries

    reading = read(text)
    return tuple(reading.sentences), tuple(reading.warnings)


def _can_show(characters: str) -> bool:
    try:
        characters.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
