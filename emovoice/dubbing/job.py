"""A dub before it is spoken: what is asked for, checked as far as it can be without a model."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from emovoice.dubbing import media, timelines
from emovoice.dubbing.cast import Cast, Member, load, parse, voice_key
from emovoice.dubbing.cues import Cue, Remark, Timeline
from emovoice.dubbing.loudness import Target, target_of
from emovoice.dubbing.plan import DEFAULT_POLICY, MS, Policy, Slot, slots
from emovoice.errors import InputError, OutputError
from emovoice.limits import DEFAULT_LIMITS
from emovoice.models import chosen_model
from emovoice.writing import check_target

ORIGINAL, NONE = "original", "none"
MOST_TAKES = 20
_LONGEST_H = 1000


@dataclass(frozen=True)
class Options:
    """How to dub.

    Attributes:
        video: a video whose picture the dub goes with.
        bed: what lies under the speech: "original" (the video's own sound, lowered while someone speaks), "none", or
            a file of music and effects, which is kept as it is.
        duck_db: how far the bed is lowered while someone speaks; None for as far as the loudness of both asks for
            with "original", and not at all with a file.
        cast: a cast file, or its content.
        side: a side file with fields for cues, or its content.
        original: the original sound, where it is not the video's.
        carry_over: take emotion and level of each cue from the original where nothing else is asked for.
        target: "ebu", "streaming" or "web".
        language: of the dub, three letters.
        takes: how many takes of each cue; None for one, and up to three where a recogniser does not understand it.
        only: numbers of the cues to speak; None for all.
        pick: which take to use, by number of the cue.
        seed: of the first takes.
        judge: "auto" (a recogniser listens where one is installed), "words" (it must be), "none".
        model, device: as everywhere.
        engine: "local", or "ray" with or without an address.
        workers: how many models speak at once; None for what the machine has room for.
        offset_ms: added to all times of the timeline.
        stems: write a sound file for each character and for the bed.
        force: overwrite an output that is not of this job.
        policy: how far fitting may go.
    """

    video: str | None = None
    bed: str = ORIGINAL
    duck_db: float | None = None
    cast: str | Path | Mapping[str, Any] | None = None
    side: str | Path | Mapping[str, Any] | None = None
    original: str | None = None
    carry_over: bool = False
    target: str = "ebu"
    language: str = "eng"
    takes: int | None = None
    only: tuple[int, ...] | None = None
    pick: Mapping[int, int] = field(default_factory=dict)
    seed: int = 0
    judge: str = "auto"
    model: str | None = None
    device: str = "cpu"
    engine: str = "local"
    workers: int | None = None
    offset_ms: int = 0
    stems: bool = False
    force: bool = False
    policy: Policy = DEFAULT_POLICY


@dataclass(frozen=True)
class Job:
    """A checked dub.

    Attributes:
        output: the file to write; its folder of takes and reports is beside it.
        timeline: cues with everything the side file says.
        cast: who speaks.
        slots: a slot for each cue, or None.
        total: length of the programme, samples.
        channels: of the programme.
        fps: of the picture, None without one.
        original: file whose sound is the original, None without one.
        bed: file whose sound is the bed, None for none.
        model, sha: the model's name, and a hash of its weights.
        remarks: what was noticed so far.
    """

    output: Path
    timeline: Timeline
    cast: Cast
    slots: tuple[Slot | None, ...]
    total: int
    channels: int
    fps: Any
    original: str | None
    bed: str | None
    target: Target
    model: str
    sha: str
    options: Options
    remarks: tuple[Remark, ...]

    @property
    def folder(self) -> Path:
        """Where takes, clips and reports of this dub are kept."""
        return folder_of(self.output)

    @property
    def cues(self) -> tuple[Cue, ...]:
        """The cues, in order."""
        return self.timeline.cues

    def member(self, cue: Cue) -> Member:
        """Who speaks a cue."""
        return self.cast.member(cue.character)

    def is_wanted(self, cue: Cue) -> bool:
        """Whether a cue is to be spoken in this run, if it is not yet."""
        return self.options.only is None or cue.number in self.options.only


def folder_of(output: Path) -> Path:
    """The folder of a job: beside its output, named after it."""
    return output.with_name(f"{output.name}.dub")


def prepare(timeline: str | Path | Timeline, output: str | Path, options: Options) -> Job:
    """Check everything that can be checked without loading a model or writing a file.

    Raises:
        InputError: timeline, cast, side file, an emotion, a number or an option that cannot be used.
        AudioError: a video or recording cannot be read.
        ModelError: the model, a voice, or a package that this needs is missing.
        OutputError: the output cannot be written, or the disk is too small.
    """
    _check_options(options)
    target = target_of(options.target)
    cast = _cast(options.cast)
    found = _timeline(timeline, cast, options)
    found_media = media.probe(options.video) if options.video else None
    path = _output(Path(output), options)
    original = options.original or (options.video if found_media and found_media.sounds else None)
    bed = _bed(options, original)
    total = _total(found, found_media, original, bed)
    spans, remarks = slots(found.cues, total, options.policy)
    model = chosen_model(options.model)
    sha = model_sha(model)
    _check_cues(found.cues, cast, sha, options)
    channels = min(2, media.probe(bed).channels or 1) if bed else 1
    _check_disk(path, total, channels)
    fps = found_media.fps if found_media else None
    everything = (*found.remarks, *_cast_remarks(found, cast), *remarks)
    return Job(path, found, cast, spans, total, channels, fps, original, bed, target, model, sha, options, everything)


def model_sha(model: str) -> str:
    """A hash of a model's configuration and weights. Raises ModelError when there is no such model."""
    folder = Path(str(files("checkpoints").joinpath(model)))
    if not (folder / "config.json").is_file():
        from emovoice.bundle import find  # brings in torch, and says what is wrong

        folder = find(model)
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".safetensors"):
            digest.update(path.name.encode())
            with open(path, "rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
    return digest.hexdigest()


def _check_options(options: Options) -> None:
    checks = [
        ("takes", options.takes is None or options.takes in range(1, MOST_TAKES + 1), f"1..{MOST_TAKES}"),
        ("workers", options.workers is None or options.workers in range(1, 1025), "1..1024"),
        ("judge", options.judge in ("auto", "words", "none"), "auto, words or none"),
        ("engine", options.engine == "local" or options.engine.split("://")[0] == "ray", "local, ray or ray://address"),
        ("language", len(options.language) == 3 and options.language.isalpha() and options.language.islower(),
         "three small letters, such as eng"),
        ("duck_db", options.duck_db is None or 0 <= options.duck_db <= 60, "0..60"),
        ("seed", options.seed in range(2**62), "0..2**62-1"),
        ("stretch", 1 <= options.policy.stretch <= 2, "1..2"),
    ]  # fmt: skip
    for name, is_fine, allowed in checks:
        if not is_fine:
            value = getattr(options, name, None) if name != "stretch" else options.policy.stretch
            raise InputError(f"{name} cannot be used", field=name, value=value, remedy=f"Give {allowed}.")
    if options.judge == "words":
        from emovoice.evaluation.judges import require

        require("recogniser")
    if options.engine != "local":
        from emovoice.dubbing.extras import need

        need("ray", "ray", "the engine 'ray'")


def _cast(given: Any) -> Cast:
    if given is None:
        return Cast()
    return parse(given) if isinstance(given, Mapping) else load(given)


def _timeline(given: str | Path | Timeline, cast: Cast, options: Options) -> Timeline:
    found = given if isinstance(given, Timeline) else timelines.read(given, known=tuple(cast.members),
                                                                    offset_ms=options.offset_ms)
    if options.side is not None:
        side = options.side if isinstance(options.side, Mapping) else timelines.read_yaml(options.side, "side")
        found = timelines.with_side(found, side)
    there = {cue.number for cue in found.cues}
    for name, numbers in (("only", options.only or ()), ("pick", tuple(options.pick))):
        if lacking := sorted(set(numbers) - there):
            raise InputError("there is no such cue", field=name, value=lacking, remedy=f"There are 1..{max(there)}.")
    return found


def _output(path: Path, options: Options) -> Path:
    """The output, if it can be written; that of an earlier run of the same job may be overwritten."""
    ours = (folder_of(path) / "journal.jsonl").exists()
    check_target(path, options.force or ours, endings=media.ENDINGS)
    if path.suffix.lower() in media.VIDEO_ENDINGS and not options.video:
        raise InputError("a video is to be written and none is given", field="output", value=str(path),
                         remedy="Give the picture with --video, or write a sound file.")
    if options.video and path.exists() and path.samefile(options.video):
        raise OutputError("the output is the input", field="output", value=str(path), remedy="Use another name.")
    return path


def _bed(options: Options, original: str | None) -> str | None:
    if options.bed == NONE:
        return None
    if options.bed == ORIGINAL:
        return original if options.video else None
    found = media.probe(options.bed)
    if not found.sounds:
        raise InputError("the bed has no sound", field="bed", value=options.bed)
    return options.bed


def _total(found: Timeline, video: media.Media | None, original: str | None, bed: str | None) -> int:
    """The programme is as long as the picture; without one as the original, the bed, or the cues."""
    if video is not None:
        return video.samples
    for path in (original, bed):
        if path:
            return media.probe(path).samples
    if found.end_ms > _LONGEST_H * 3_600_000:
        raise InputError("the timeline is too long", field="end_ms", value=found.end_ms)
    return max(MS, found.end_ms * MS)


def _check_cues(cues: Sequence[Cue], cast: Cast, sha: str, options: Options) -> None:
    """Voices and emotions, before any work is done."""
    members = {cast.member(cue.character) for cue in cues if cue.text}
    for member in members:
        voice_key(member, sha)
    for cue in cues:
        if len(cue.text) > DEFAULT_LIMITS.text_chars:
            raise InputError(f"cue {cue.id} is too long", field="length", value=len(cue.text), remedy="Split it.")


def _check_disk(output: Path, total: int, channels: int) -> None:
    """The mix before mastering, the clips and the output, all uncompressed."""
    needed = total * (4 * channels + 3 * channels + 6)
    free = shutil.disk_usage(output.parent).free
    if needed > free:
        raise OutputError("the disk is too small for this dub", field="bytes", value=needed,
                          remedy=f"{free:,} bytes are free. If the timeline begins late, shift it with --offset.")


def _cast_remarks(found: Timeline, cast: Cast) -> list[Remark]:
    spoken = dict.fromkeys(cue.character for cue in found.cues if cue.text and cue.character)
    lacking = [name for name in spoken if not cast.knows(name)]
    remarks = []
    if lacking:
        voice = cast.default.voice
        remarks.append(Remark("cast", f"no voice is given for {', '.join(lacking)}; '{Path(voice).name}' speaks"))
    idle = [name for name in cast.members if name.casefold() not in {known.casefold() for known in spoken}]
    if idle:
        remarks.append(Remark("cast", f"the cast names {', '.join(idle)}, who have no lines"))
    return remarks


