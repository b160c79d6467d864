"""From a job to its takes: what has to be spoken, in which rounds, and which take of each cue is used."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emovoice.dubbing import journal as journals
from emovoice.dubbing.carry import Heard
from emovoice.dubbing.cast import voice_key, voice_of
from emovoice.dubbing.cues import Cue, Remark
from emovoice.dubbing.directions import Direction, direct
from emovoice.dubbing.job import MOST_TAKES, Job
from emovoice.dubbing.journal import Journal
from emovoice.dubbing.measure import best, is_good
from emovoice.dubbing.plan import Slot
from emovoice.dubbing.speak import Request
from emovoice.dubbing.speakers import Speakers
from emovoice.errors import InputError, ModelError
from emovoice.voice import Voice
from emovoice.writing import whole_file

_ADAPTIVE_TAKES = 3


@dataclass(frozen=True)
class Line:
    """A cue that is to be spoken: everything about it but the take."""

    cue: Cue
    slot: Slot
    direction: Direction
    voice_key: str
    heard: Heard | None = None

    def key(self, job: Job, take: int) -> str:
        """The key of one of its takes: a hash of all that decides how it sounds, and of nothing else."""
        policy = job.options.policy
        return journals.key_of(
            text=self.cue.text, voice=self.voice_key, weights=[round(weight, 6) for weight in self.direction.weights],
            length=self.slot.length, room=self.slot.useful_room, seed=job.options.seed + take - 1, model=job.sha,
            pace=[policy.fastest, policy.slowest, policy.brisk, policy.hardest, policy.stretch],
        )  # fmt: skip


@dataclass(frozen=True)
class Chosen:
    """The take that is used for a cue: its number, what is known about it, and how many there are."""

    take: int
    record: Mapping[str, Any]
    of: int


def lines_of(job: Job, heard: Mapping[str, Heard] | None = None) -> list[Line | None]:
    """A line for each cue that has a slot.

    Raises:
        InputError, ModelError: an emotion or a voice cannot be used.
    """
    heard = heard or {}
    texts = [cue.text for cue in job.cues]
    keys = {member: voice_key(member, job.sha) for member in {job.member(cue) for cue in job.cues if cue.text}}
    lines: list[Line | None] = []
    for index, (cue, slot) in enumerate(zip(job.cues, job.slots, strict=True)):
        if slot is None:
            lines.append(None)
            continue
        measured = heard.get(cue.id)
        direction = direct(cue, job.member(cue), measured.weights if measured else None,
                           texts[index - 1] if index else "", texts[index + 1] if index + 1 < len(texts) else "")
        lines.append(Line(cue, slot, direction, keys[job.member(cue)], measured))
    return lines


class Booth:
    """Speaks what is missing of one job and keeps it in the journal."""

    def __init__(self, job: Job, journal: Journal, lines: Sequence[Line | None]) -> None:
        self.job, self.journal, self.lines = job, journal, lines
        self.judged = _judged(job)
        self._voices: dict[str, Voice] = {}
        self.failures: dict[str, str] = {}
        self.spoken = 0

    def missing(self) -> list[Request]:
        """Requests of this round: the next take of each line that needs one. Lines that sound the same share it."""
        found: dict[str, Request] = {}
        for line in self.lines:
            if line is None or not self.job.is_wanted(line.cue):
                continue
            take = self._next_take(line)
            if take is not None:
                key = line.key(self.job, take)
                if key not in found and key not in self.failures:
                    found[key] = self._request(line, key, take)
        return list(found.values())

    def chosen(self, line: Line, pick: int) -> Chosen | None:
        """The take of a line: the one that was picked, or the best; None when it was not spoken."""
        records = {take: record for take in range(1, MOST_TAKES + 1)
                   if (record := self.journal.get(line.key(self.job, take))) is not None}
        if not records:
            return None
        if pick and pick not in records:
            raise InputError(f"cue {line.cue.id} has no such take", field="pick", value=pick,
                             remedy=f"It has {', '.join(map(str, records))}; make more with --takes.")
        takes = list(records)
        take = pick or takes[best(list(records.values()), line.direction.weights, self.job.options.policy)]
        return Chosen(take, records[take], len(records))

    def why_not(self, line: Line) -> Remark:
        """Why a line has no take."""
        reason = self.failures.get(line.key(self.job, 1), "it was not among the cues to speak")
        return Remark("not-spoken", f"not spoken: {reason}", line.cue.id, fault=True)

    def _next_take(self, line: Line) -> int | None:
        asked = self.job.options.takes
        most = asked or (_ADAPTIVE_TAKES if self.judged else 1)
        for take in range(1, most + 1):
            record = self.journal.get(line.key(self.job, take))
            if record is None:
                return take
            if asked is None and is_good(record, self.job.options.policy):
                return None
        return None

    def _request(self, line: Line, key: str, take: int) -> Request:
        options = self.job.options
        return Request(key, line.cue.id, line.cue.text, self._voice(line), line.direction.weights, line.slot.length,
                       line.slot.useful_room, options.seed + take - 1, take, self.judged, options.policy)

    def _voice(self, line: Line) -> Voice:
        if line.voice_key not in self._voices:
            from emovoice.shared import shared_engine

            engine = _Lazily(lambda: shared_engine(self.job.model, self.job.options.device))
            self._voices[line.voice_key] = voice_of(self.job.member(line.cue), engine)
        return self._voices[line.voice_key]


class _Lazily:
    """An engine that is only loaded when a recording has to be heard."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load

    def voice_from(self, source: str) -> Voice:
        """The voice of a recording."""
        found: Voice = self._load().voice_from(source)
        return found


def speak_all(booths: Iterable[Booth], speakers: Speakers, progress: Callable[[int, int], None] | None = None) -> int:
    """Speak what is missing of all booths, round after round; the number of takes that were spoken.

    Args:
        progress: called with how many takes are done and how many are known to be needed.
    """
    booths = list(booths)
    done = 0
    while rounds := [(booth, requests) for booth in booths if (requests := booth.missing())]:
        homes: dict[str, list[Booth]] = {}
        unique: dict[str, Request] = {}
        for booth, requests in rounds:
            for request in requests:
                homes.setdefault(request.key, []).append(booth)
                unique[request.key] = request
        total = done + len(unique)
        if progress:
            progress(done, total)
        answered: set[str] = set()
        for taken in speakers.speak(list(unique.values())):
            if taken.key in answered:
                continue
            answered.add(taken.key)
            for booth in homes[taken.key]:
                if taken.record["error"]:
                    booth.failures[taken.key] = taken.record["error"]
                else:
                    booth.journal.add(taken.key, taken.record, taken.samples, taken.rate)
                    booth.spoken += 1
            done += 1
            if progress:
                progress(done, total)
        if lost := set(unique) - answered:
            raise ModelError("requests came back without an answer", field="count", value=len(lost),
                             remedy="Run again; finished takes are kept.")
    return done


def picks_of(job: Job) -> dict[int, int]:
    """Which takes were picked by hand, in this run and in earlier ones; kept in the job's folder."""
    path = job.folder / "picks.json"
    try:
        found = {int(cue): int(take) for cue, take in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError):
        found = {}
    merged = {cue: take for cue, take in {**found, **job.options.pick}.items() if take}
    if merged != found:
        with whole_file(path) as file:
            file.write(json.dumps(merged, sort_keys=True).encode())
    return merged


def _judged(job: Job) -> bool:
    from emovoice.evaluation.judges import missing

    return job.options.judge != "none" and not missing("recogniser")
