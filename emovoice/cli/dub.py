"""`emovoice dub`: a timeline in; a finished, checked dub out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from emovoice.cli import BELOW_BAR, COMMANDS, OK, output
from emovoice.errors import InputError

if TYPE_CHECKING:
    from emovoice.dubbing.job import Job, Options
    from emovoice.dubbing.run import Dubbed, Progress

_EPILOG = """\
examples:
  emovoice dub timeline.srt -o out.wav
  emovoice dub timeline.srt --video in.mp4 --cast cast.yaml -o out.mp4
  emovoice dub timeline.srt --video in.mp4 --bed music.wav --target web -o out.mkv
  emovoice dub timeline.srt -o out.wav --dry-run
  emovoice dub timeline.srt -o out.wav --only 12,40-44 --takes 5
  emovoice dub timeline.srt -o out.wav --pick 12=3
  emovoice dub one.srt two.srt -o dubs/ --workers 4

Run it again after a crash or a change: what is finished is not spoken again. Beside OUT, OUT.dub/ keeps the takes,
clips, subtitles at the times that were met, an EDL, an OTIO timeline, report.json and report.html.

exit codes: 0 no faults, 7 finished with faults (see the report); errors as everywhere in emovoice.
"""


def add(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "dub", help=COMMANDS["dub"], description="Dub a timeline: speak every cue in its slot, mix, check, report.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("timelines", nargs="+", metavar="TIMELINE", help="SRT, VTT, ASS, JSON, JSONL, CSV, OTIO, ...")
    parser.add_argument("-o", "--output", required=True, metavar="OUT",
                        help="wav, flac, mp3, opus, m4a; mp4, m4v, mov, mkv; a folder for several timelines")
    _add_sound(parser)
    _add_speech(parser)
    _add_work(parser)
    output.add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print the report without its rows as a JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary; warnings stay")
    parser.add_argument("--force", action="store_true", help="overwrite a file that is not of an earlier run")
    parser.set_defaults(run=run)


def _add_sound(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("picture and sound")
    group.add_argument("--video", metavar="FILE", help="the picture the dub goes with")
    group.add_argument("--bed", default="original", metavar="B",
                       help="under the speech: original (lowered while someone speaks), none, or a file that is kept")
    group.add_argument("--duck", type=float, metavar="DB", help="how far the bed is lowered (default: by loudness)")
    group.add_argument("--target", default="ebu", metavar="T",
                       help="ebu (-23 LUFS), streaming (-27, dialogue) or web (-14); default: ebu")
    group.add_argument("--language", default="eng", metavar="L", help="of the dub's track (default: eng)")
    group.add_argument("--stems", action="store_true", help="also write a file for each character and for the bed")


def _add_speech(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("speech")
    group.add_argument("--cast", metavar="FILE", help="who speaks whom (YAML); see emovoice cast suggest")
    group.add_argument("--side", metavar="FILE", help="fields of cues (YAML), which win over those in the timeline")
    group.add_argument("--carry-over", action="store_true", help="take emotion and level from the original")
    group.add_argument("--original", metavar="FILE", help="the original sound, if it is not the video's")
    group.add_argument("--offset", type=float, default=0.0, metavar="S", help="seconds added to all times")
    group.add_argument("--stretch", type=float, default=1.15, metavar="X", help="the most a take is sped up, 1..2")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same speech (default: 0)")


def _add_work(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("work")
    group.add_argument("--dry-run", action="store_true", help="check everything, speak nothing")
    group.add_argument("--only", metavar="CUES", help="speak only these cues: 12,40-44")
    group.add_argument("--takes", type=int, metavar="N", help="takes of each cue (default: 1, more if misheard)")
    group.add_argument("--pick", action="append", default=[], metavar="CUE=TAKE", help="use this take; 12=0 undoes it")
    group.add_argument("--judge", default="auto", choices=("auto", "words", "none"),
                       help="whether a recogniser listens to takes (default: auto, if one is installed)")
    group.add_argument("--workers", type=int, metavar="N", help="models at once (default: as the machine has room)")
    group.add_argument("--engine", default="local", metavar="E", help="local, ray or ray://host:port")


def run(args: argparse.Namespace) -> int:
    """Dub; see `emovoice dub --help`."""
    from emovoice.dubbing import run as dubbing

    jobs = _jobs(args)
    for job in jobs:
        output.warn(_named(job, jobs, str(remark)) for remark in job.remarks)
    if args.dry_run:
        return _dry_run(args, jobs)
    with _progress(quiet=args.quiet) as progress:
        done = dubbing.run(jobs, progress)
    for job, dubbed in zip(jobs, done, strict=True):
        told = set(job.remarks)
        output.warn(_named(job, jobs, str(remark)) for remark in dubbed.remarks if remark not in told)
        _tell(args, dubbed)
    return OK if all(dubbed.passed for dubbed in done) else BELOW_BAR


def _jobs(args: argparse.Namespace) -> list[Job]:
    from pathlib import Path

    from emovoice.dubbing.job import prepare

    target = Path(args.output)
    options = _options(args)
    if len(args.timelines) == 1 and not target.is_dir():
        return [prepare(args.timelines[0], target, options)]
    if args.video:
        raise InputError("several timelines with one video", field="video", value=args.video,
                         remedy="Dub videos one at a time.")
    if not target.is_dir():
        raise InputError("the output of several timelines is a folder", field="output", value=args.output,
                         remedy="Make it first.")
    return [prepare(path, target / f"{Path(path).stem}.wav", options) for path in args.timelines]


def _options(args: argparse.Namespace) -> Options:
    from dataclasses import replace

    from emovoice.dubbing.plan import DEFAULT_POLICY
    from emovoice.dubbing.run import options_of
    from emovoice.dubbing.timelines import numbers

    same = ("video", "bed", "cast", "side", "original", "carry_over", "target", "language", "takes", "seed", "judge",
            "model", "device", "engine", "workers", "stems", "force")  # fmt: skip
    return options_of(
        **{name: getattr(args, name) for name in same}, duck_db=args.duck, offset_ms=round(1000 * args.offset),
        only=numbers(args.only) if args.only is not None else None, pick=_picks(args.pick),
        policy=replace(DEFAULT_POLICY, stretch=args.stretch),
    )  # fmt: skip


def _picks(given: list[str]) -> dict[int, int]:
    found = {}
    for pick in (one for text in given for one in text.split(",")):
        cue, _, take = pick.partition("=")
        if not (cue.strip().isdigit() and take.strip().isdigit()):
            raise InputError("a pick is a cue and a take", field="pick", value=pick, remedy="Write 12=3.")
        found[int(cue)] = int(take)
    return found


def _named(job: Job, jobs: list[Job], message: str) -> str:
    return message if len(jobs) == 1 else f"{job.timeline.name}: {message}"


def _dry_run(args: argparse.Namespace, jobs: list[Job]) -> int:
    """What would be done. The exit code says whether a fault is known already."""
    from collections import Counter

    from emovoice.dubbing import PROGRAMME_RATE_HZ
    from emovoice.dubbing.run import estimate_s

    for job in jobs:
        verdicts = Counter(slot.verdict for slot in job.slots if slot is not None)
        record = {"output": str(job.output), "length_s": round(job.total / PROGRAMME_RATE_HZ, 3), "cues": len(job.cues),
                  "to_speak": sum(slot is not None for slot in job.slots), "speech_s": round(estimate_s(job), 1),
                  "characters": {name or "(nobody)": job.cast.member(name).voice for name in job.timeline.characters},
                  "slots": dict(sorted(verdicts.items())), "faults": sum(remark.fault for remark in job.remarks)}
        if args.json:
            output.print_json(record)
        else:
            output.print_tree(record)
    return BELOW_BAR if any(remark.fault for job in jobs for remark in job.remarks) else OK


def _tell(args: argparse.Namespace, dubbed: Dubbed) -> None:
    if args.json:
        short = {name: value for name, value in dubbed.report.items() if name != "rows"}
        output.print_json({**short, "path": str(dubbed.output), "takes_spoken": dubbed.spoken,
                           "report": str(dubbed.folder / "report.html")})
    elif not args.quiet:
        found = dubbed.report
        loud = "silent" if found["lufs"] is None else f"{found['lufs']:.1f} LUFS, {found['peak_dbtp']:.1f} dBTP"
        output.note(f"{dubbed.output}: {found['length_s']:.2f} s, {found['spoken']} of {found['cues']} cues, "
                    f"{found['within_40_ms_of_slot']} within 40 ms of their slots, {loud}")
        output.note(f"verdict: {found['verdict']}; {dubbed.folder / 'report.html'}")


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress | None]:
    """A bar of takes with the time left, on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=0, unit=" take", file=sys.stderr, leave=False, dynamic_ncols=True) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
