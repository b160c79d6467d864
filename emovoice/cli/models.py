"""`emovoice models`: published models on disk: which there are, fetching, checking and converting them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emovoice.cli import COMMANDS, EXIT_CODES, OK, output
from emovoice.errors import InputError, ModelError

_EPILOG = """\
examples:
  emovoice models list
  emovoice models pull indextts-2
  emovoice models check ~/.local/share/emovoice/models/indextts-2
  emovoice models convert ~/.local/share/emovoice/models/indextts-2 --precision fp16
"""
_LIST = """\
examples:
  emovoice models list
  emovoice models list --json
"""
_PULL = """\
examples:
  emovoice models pull indextts-2
  emovoice models pull indextts-2 --dir checkpoints --accept-licence
  emovoice models pull indextts-2 --mirror https://hub.example.org

A download that was broken off goes on where it stopped when the command is run again. HF_ENDPOINT names a mirror,
HF_TOKEN a token, HF_HUB_OFFLINE=1 forbids the network, EMOVOICE_MODELS the folder that models are kept in.
"""
_CHECK = """\
examples:
  emovoice models check checkpoints
  emovoice models check checkpoints --hashes --json

Exit code 0 when the model is complete, 4 when anything is missing, damaged or of the wrong shape.
"""
_CONVERT = """\
examples:
  emovoice models convert checkpoints
  emovoice models convert checkpoints --precision bf16 --part t2s --part s2mel

Writes safetensors into the folder 'converted' beside the published files, which may be deleted afterwards. No code that
a file might hold is ever run. Running it again does nothing more.
"""


def add(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = _parser(subparsers, "models", COMMANDS["models"], _EPILOG)
    parser.set_defaults(run=run_list, json=False)
    commands = parser.add_subparsers(metavar="list | pull | check | convert")

    listed = _parser(commands, "list", "list the models that can be downloaded", _LIST)
    listed.set_defaults(run=run_list)

    pull = _parser(commands, "pull", "download a model and verify it", _PULL)
    pull.add_argument("model", metavar="MODEL", help="indextts-2 or indextts-2.5")
    pull.add_argument("--dir", metavar="DIR", help="where to (default: a folder in the user's data folder)")
    pull.add_argument("--accept-licence", action="store_true", help="accept the conditions shown, without asking")
    pull.add_argument("--revision", metavar="R", help="branch, tag or commit of the model's own repository")
    pull.add_argument("--mirror", metavar="URL", help="a server that speaks the hub's protocol")
    pull.set_defaults(run=run_pull)

    check = _parser(commands, "check", "say what is missing or of the wrong shape", _CHECK)
    _add_folder(check)
    check.add_argument("--hashes", action="store_true", help="also read all files and compare their SHA-256")
    check.set_defaults(run=run_check)

    convert = _parser(commands, "convert", "convert published files to safetensors", _CONVERT)
    _add_folder(convert)
    convert.add_argument("--precision", choices=("fp32", "fp16", "bf16"), help="default: as published")
    convert.add_argument("--part", action="append", default=[], metavar="P", help="only this part; may be repeated")
    convert.add_argument("--force", action="store_true", help="convert again what is converted already")
    convert.set_defaults(run=run_convert)

    for command in (listed, pull, check, convert):
        command.add_argument("--json", action="store_true", help="print a JSON object")


def run_list(args: argparse.Namespace) -> int:
    """List; see `emovoice models list --help`."""
    from emovoice.hub.registry import folder_of, models

    if args.json:
        output.print_json({"models": [_listed(model) for model in models().values()]})
        return OK
    rows = [
        {
            "name": model.name,
            "size": f"about {model.about_bytes / 1e9:.1f} GB",
            "here": "yes" if (folder_of(model.name) / model.tokenizer).is_file() else "no",
            "licence": "; ".join(dict.fromkeys(licence.name for _, licence in model.licences if licence.confirm)),
            "what": model.title,
        }
        for model in models().values()
    ]
    output.print_table(rows, ("name", "size", "here", "licence", "what"))
    return OK


def run_pull(args: argparse.Namespace) -> int:
    """Download; see `emovoice models pull --help`."""
    from emovoice.hub import pull, registry

    model = registry.model(args.model)
    folder = Path(args.dir).expanduser() if args.dir else registry.folder_of(model.name)
    if pull.is_offline():
        return _offline(args, model, folder)
    _confirm(model, args.accept_licence)
    output.note(f"asking {len(model.sources)} repositories for their files ...")
    planned = pull.plan(model, folder, revision=args.revision, mirror=args.mirror)
    output.note(f"{len(planned.files)} files, {planned.bytes / 1e9:.2f} GB, into {folder}")
    done = pull.fetch(planned, mirror=args.mirror, report=lambda row: output.note(f"{row.path}: {row.state}, verified"))
    if args.json:
        output.print_json({"model": model.name, "folder": str(folder), "files": [vars(row) for row in done]})
    output.note(f"next: emovoice models convert {folder}")
    return OK


def run_check(args: argparse.Namespace) -> int:
    """Check; see `emovoice models check --help`."""
    from emovoice.hub import check
    from emovoice.hub.parts import describe

    checked = check.check(Path(args.folder), _named(args.model), hashes=args.hashes)
    if args.json:
        output.print_json(checked.as_json())
        return OK if checked.ok else EXIT_CODES[ModelError]
    output.note(f"{checked.model} in {checked.folder}")
    for file in checked.files:
        if not file.ok:
            print(f"file {file.path}: {file.state}")
    for part in checked.parts:
        report = part.report
        facts = f"{report.found} of {report.expected} tensors" if report else part.error
        if report and (problems := describe(report)):
            facts += f", {problems}"
        if report and report.extra:
            facts += f", {report.extra} others ignored"
        print(f"part {part.part} ({part.path}): {facts}")
    if checked.unconverted:
        output.note(f"not converted yet: {', '.join(checked.unconverted)}. Run 'emovoice models convert {args.folder}'")
    output.note("complete" if checked.ok else "not complete")
    return OK if checked.ok else EXIT_CODES[ModelError]


def run_convert(args: argparse.Namespace) -> int:
    """Convert; see `emovoice models convert --help`."""
    from tqdm import tqdm

    from emovoice.hub import convert

    bars: dict[str, tqdm[Any]] = {}

    def show(part: str, done: int, total: int) -> None:
        if part not in bars:
            bars[part] = tqdm(desc=part, total=total, unit="B", unit_scale=True, disable=None)
        bars[part].update(done - bars[part].n)
        if done == total:
            bars[part].close()

    rows = convert.convert(
        Path(args.folder), _named(args.model), precision=args.precision, only=args.part, force=args.force, progress=show
    )
    if args.json:
        output.print_json({"parts": [vars(row) for row in rows]})
    else:
        output.print_table(
            [{**vars(row), "size": f"{row.bytes / 1e6:.1f} MB"} for row in rows], ("part", "state", "size", "path")
        )
    return OK


def _parser(subparsers: Any, name: str, line: str, epilog: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=line,
        description=line[0].upper() + line[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="the model's folder")
    parser.add_argument("--model", metavar="M", help="which model it holds (default: told by its files)")


def _named(name: str | None) -> Any:
    from emovoice.hub import registry

    return registry.model(name) if name else None


def _listed(model: Any) -> dict[str, object]:
    from emovoice.hub.registry import folder_of

    return {
        "name": model.name, "title": model.title, "about_bytes": model.about_bytes,
        "folder": str(folder_of(model.name)),
        "sources": [
            {"repository": source.repository, "revision": source.revision, "note": source.note,
             "licence": {"name": source.licence.name, "url": source.licence.url, "confirm": source.licence.confirm,
                         "conditions": list(source.licence.conditions)},
             "files": [vars(file) for file in source.files]}
            for source in model.sources
        ],
    }  # fmt: skip


def _offline(args: argparse.Namespace, model: Any, folder: Path) -> int:
    """Without the network all one can do is say whether everything is there."""
    from emovoice.hub import pull

    if not pull.present(model, folder):
        raise ModelError("HF_HUB_OFFLINE forbids using the network, and not all files are here", field="folder",
                         value=str(folder),
                         remedy="Unset it, or copy the folder from a machine that has it")  # fmt: skip
    if args.json:
        output.print_json({"model": model.name, "folder": str(folder), "files": []})
    output.note(f"offline; {model.name} is in {folder}")
    return OK


def _confirm(model: Any, accepted: bool, ask: Callable[[], str] | None = None) -> None:
    """Show all licences; go on only if those with conditions are accepted. Raises InputError if not."""
    for repository, licence in model.licences:
        output.note(f"\n{repository}: {licence.name} ({licence.url})")
        for condition in licence.conditions:
            output.note(f"  - {condition}")
    binding = list(dict.fromkeys(licence.name for _, licence in model.licences if licence.confirm))
    if accepted or not binding:
        return
    output.note("")
    if ask is None and not sys.stdin.isatty():
        raise InputError("the licences were not accepted", field="--accept-licence", value=False,
                         remedy="Read them, then run the command again with --accept-licence")  # fmt: skip
    print(f"Do you accept {' and '.join(binding)}? Type yes: ", end="", file=sys.stderr, flush=True)
    if (ask or sys.stdin.readline)().strip().lower() != "yes":
        raise InputError("the licences were not accepted", field="answer", value="not yes",
                         remedy="Nothing was downloaded")  # fmt: skip
