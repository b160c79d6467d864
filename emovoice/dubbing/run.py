"""A dub from beginning to end: prepare, speak what is missing, place, master, report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from emovoice.dubbing import PROGRAMME_RATE_HZ, carry, edl, master, media, otio, report, subtitles, takes
from emovoice.dubbing.cues import Cue, Remark, Timeline
from emovoice.dubbing.job import Job, Options, prepare
from emovoice.dubbing.journal import Journal
from emovoice.dubbing.loudness import measured
from emovoice.dubbing.mix import Placed
from emovoice.dubbing.plan import MS, Fit, place, remarks_of
from emovoice.dubbing.speakers import Speakers, speakers
from emovoice.dubbing.takes import Booth, Chosen
from emovoice.errors import EmovoiceError, InputError
from emovoice.writing import whole_file

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Dubbed:
    """A finished dub.

    Attributes:
        output: the file that was written.
        folder: where its takes, clips, edit lists and reports are.
        report: the report as data; see docs/dubbing.md.
        spoken: how many takes were spoken in this run; 0 when all were there already.
        remarks: everything that was noticed.
    """

    output: Path
    folder: Path
    report: Mapping[str, Any]
    spoken: int
    remarks: tuple[Remark, ...]

    @property
    def passed(self) -> bool:
        """Whether there are no faults."""
        return not any(remark.fault for remark in self.remarks)


def dub(timeline: str | os.PathLike[str] | Timeline, output: str | os.PathLike[str], **options: Any) -> Dubbed:
    """Dub a timeline: speak every cue in its slot, mix, master, check, report.

    Run it again after a crash, or after a change: what is finished is not spoken again.

    Args:
        timeline: a file (SRT, WebVTT, ASS, JSON, CSV, OTIO, ...) or a `Timeline`.
        output: .wav, .flac, .mp3, .opus or .m4a; .mp4, .m4v, .mov or .mkv with `video`. A folder named after it
            with ".dub" at its end keeps takes, clips, edit lists and the report.
        options: fields of `emovoice.dubbing.job.Options`: video, bed, cast, side, carry_over, target, takes, ...

    Returns:
        What was written, with the report; `.passed` is the verdict.

    Raises:
        InputError, AudioError, ModelError, OutputError: see `emovoice.dubbing.job.prepare`.
    """
    given = timeline if isinstance(timeline, Timeline) else Path(timeline)
    return run([prepare(given, Path(output), options_of(**options))])[0]


def options_of(**options: Any) -> Options:
    """Options by name. Raises InputError for a name that is none."""
    known = {field.name for field in fields(Options)}
    if unknown := set(options) - known:
        raise InputError("unknown options", field="options", value=sorted(unknown),
                         remedy=f"Known are {', '.join(sorted(known))}.")
    return Options(**options)


def run(jobs: Sequence[Job], progress: Progress | None = None) -> list[Dubbed]:
    """Dub several jobs with the same speakers; those of the first job's options.

    Raises:
        OutputError: two jobs have the same output, or another process works on one.
        ModelError: a model or worker cannot go on; finished takes are kept.
    """
    if len({job.output.resolve() for job in jobs}) < len(jobs):
        raise InputError("two timelines have the same output", field="output", value=[str(job.output) for job in jobs])
    first = jobs[0].options
    crew = speakers(first.engine, jobs[0].model, first.device, first.workers)
    try:
        with ExitStack() as stack:
            return _run(jobs, stack, crew, progress)
    finally:
        crew.close()


def _run(jobs: Sequence[Job], stack: ExitStack, crew: Speakers, progress: Progress | None) -> list[Dubbed]:
    booths = []
    for job in jobs:
        journal = stack.enter_context(Journal(job.folder))
        booths.append(Booth(job, journal, takes.lines_of(job, _heard(job))))
        _write_plan(job, booths[-1])
    takes.speak_all(booths, crew, progress)
    return [_finished(booth) for booth in booths]


def estimate_s(job: Job) -> float:
    """Seconds of speech that the cues hold, from their characters."""
    return sum(slot.estimate for slot in job.slots if slot is not None) / PROGRAMME_RATE_HZ


def _heard(job: Job) -> dict[str, carry.Heard] | None:
    """What the original says about each cue, if that is asked for; proposed in `targets.yaml`."""
    if not job.options.carry_over:
        return None
    if job.original is None:
        raise InputError("there is no original to carry over from", field="carry_over", value=True,
                         remedy="Give a video with sound, or --original.")
    import yaml

    from emovoice.shared import shared_engine

    spoken = [cue for cue in job.cues if cue.text]
    with media.sound_map(job.original, job.folder, job.total) as original:
        heard = carry.hear(spoken, original, shared_engine(job.model, job.options.device))
    proposed = {"cues": {cue.number: heard[cue.id].side() for cue in job.cues if cue.id in heard and not cue.part}}
    with whole_file(job.folder / "targets.yaml") as file:
        file.write(yaml.safe_dump(proposed, sort_keys=True).encode())
    return heard


def _write_plan(job: Job, booth: Booth) -> None:
    """What is going to be done, before it is: inputs by their hashes."""
    rows = [None if line is None else {"cue": line.cue.id, "start": line.slot.start, "end": line.slot.end,
                                       "limit": line.slot.limit, "verdict": line.slot.verdict, "key": line.key(job, 1)}
            for line in booth.lines]  # fmt: skip
    plan = {"output": job.output.name, "model": job.model, "model_sha256": job.sha, "total": job.total,
            "rate": PROGRAMME_RATE_HZ, "target": job.target.name, "seed": job.options.seed,
            "cues": [row for row in rows if row]}  # fmt: skip
    with whole_file(job.folder / "plan.json") as file:
        file.write(json.dumps(plan, indent=1).encode())


def _finished(booth: Booth) -> Dubbed:
    job = booth.job
    picks = takes.picks_of(job)
    chosen = [booth.chosen(line, picks.get(line.cue.number, 0)) if line else None for line in booth.lines]
    fits = place(job.slots, [_length(one) for one in chosen], job.total, job.options.policy)
    clips = _clips(booth, chosen, fits)
    mastered = master.make(job, list(clips.values()))
    by_cue = _remarks(booth, chosen, fits)
    general = [*(remark for remark in job.remarks if not remark.cue), *mastered.remarks]
    remarks = [*general, *(remark for index in sorted(by_cue) for remark in by_cue[index])]
    rows = [report.row(cue, booth.lines[index], chosen[index], fits[index], _lufs(clips.get(cue.id), mastered.gain_db),
                       by_cue.get(index, [])) for index, cue in enumerate(job.cues)]  # fmt: skip
    found = report.summary(rows, remarks, _facts(job, mastered))
    report.write(found, {cue: clip.path for cue, clip in clips.items()}, job.folder)
    _write_edits(job, fits, clips)
    return Dubbed(job.output, job.folder, found, booth.spoken, tuple(remarks))


def _length(chosen: Chosen | None) -> int | None:
    """Samples of a take at the programme's rate."""
    if chosen is None:
        return None
    return max(1, round(Fraction(chosen.record["samples"] * PROGRAMME_RATE_HZ, chosen.record["rate"])))


def _clips(booth: Booth, chosen: Sequence[Chosen | None], fits: Sequence[Fit | None]) -> dict[str, Placed]:
    """The clip of each spoken cue, by its id, in order."""
    job, placed, names, ids = booth.job, [], [], []
    for cue, line, one, fit in zip(job.cues, booth.lines, chosen, fits, strict=True):
        if line is None or one is None or fit is None or not fit.length:
            continue
        gain_db = job.member(cue).gain_db + (line.heard.gain_db if line.heard else 0.0)
        gain_db -= 20 * float(np.log10(one.record.get("scaled", 1.0)))
        placed.append(Placed(booth.journal.path(line.key(job, one.take)), fit, cue.character, gain_db))
        names.append(f"{cue.number:05d}{f'.{cue.part}' if cue.part else ''}_{master.safe_name(cue.character)}")
        ids.append(cue.id)
    made = master.write_clips(placed, names, job.folder / "clips", master.tags(job, whole=False))
    return dict(zip(ids, made, strict=True))


def _remarks(booth: Booth, chosen: Sequence[Chosen | None], fits: Sequence[Fit | None]) -> dict[int, list[Remark]]:
    """What there is to say about single cues, by their place in the timeline."""
    found: dict[int, list[Remark]] = {}
    policy = booth.job.options.policy
    for index, (line, one, fit) in enumerate(zip(booth.lines, chosen, fits, strict=True)):
        if line is None:
            continue
        remarks = list(line.direction.remarks)
        if one is None:
            remarks.append(booth.why_not(line))
        else:
            remarks += [Remark("take", warning, line.cue.id) for warning in one.record.get("warnings", ())]
        if one is not None and one.record["speech_s"][1] <= 0:
            remarks.append(Remark("silent", "the take is silent", line.cue.id, fault=True))
        if fit is not None:
            remarks += remarks_of(fit, line.cue, policy)
        if remarks:
            found[index] = remarks
    places: dict[str, int] = {}
    for index, cue in enumerate(booth.job.cues):
        places.setdefault(cue.id, index)
        places.setdefault(str(cue.number), index)
    for remark in booth.job.remarks:
        if remark.cue:
            found.setdefault(places[remark.cue], []).insert(0, remark)
    return found


def _lufs(clip: Placed | None, gain_db: float) -> float | None:
    """Loudness of a clip as it is in the programme."""
    if clip is None:
        return None
    lufs = measured([report.clip_samples(clip.path)[:, None]], 1).lufs
    return round(lufs + clip.gain_db + gain_db, 2) if np.isfinite(lufs) else None


def _facts(job: Job, mastered: master.Master) -> dict[str, Any]:
    return {
        "output": job.output.name, "timeline": job.timeline.name, "model": job.model, "target": job.target.name,
        "target_lufs": job.target.lufs, "target_peak_dbtp": job.target.peak_dbtp, "lufs": _finite(mastered.lufs),
        "dialogue_lufs": _finite(mastered.dialogue_lufs), "peak_dbtp": _finite(mastered.peak_dbtp),
        "gain_db": mastered.gain_db, "duck_db": mastered.duck_db, "limited_db": mastered.limited_db,
        "length_s": round(job.total / PROGRAMME_RATE_HZ, 4), "samples": mastered.samples,
        "mark": mastered.mark,
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _write_edits(job: Job, fits: Sequence[Fit | None], clips: Mapping[str, Placed]) -> None:
    """Subtitles at the times that were met, an edit list, and a timeline of the clips."""
    placed = [(cue, clip.fit.start, clip.fit.length, f"clips/{clip.path.name}") for cue in job.cues
              if (clip := clips.get(cue.id)) is not None]
    rows = [_subtitle(cue, fit) for cue, fit in zip(job.cues, fits, strict=True)]
    written = {"subtitles.srt": subtitles.plain(row for row in rows if row[2].strip()),
               "takes.edl": edl.write(placed, PROGRAMME_RATE_HZ, Fraction(job.fps or 25), job.output.stem)}
    try:
        written["takes.otio"] = otio.takes(placed, job.total, PROGRAMME_RATE_HZ, job.output.stem)
    except EmovoiceError:  # the package is not installed: the edit list holds the same
        pass
    for name, text in written.items():
        with whole_file(job.folder / name) as file:
            file.write(text.encode())


def _subtitle(cue: Cue, fit: Fit | None) -> tuple[int, int, str]:
    """When a cue is heard, and its text; one that is not spoken keeps its own time."""
    if fit is None:
        return max(0, cue.start_ms), max(0, cue.end_ms), cue.written if cue.part < 2 else ""
    return fit.start // MS, fit.end // MS, cue.text if cue.part or not cue.written else _shown_text(cue)


def _shown_text(cue: Cue) -> str:
    """A line as it stands in the file, without the marks that are for us alone."""
    from emovoice.dubbing.marks import Line, read_fields

    return read_fields(cue.written, Line()) or cue.text
