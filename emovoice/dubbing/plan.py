"""Who speaks when: slots from cues, how long to ask for, and where takes are placed. Pure functions on whole samples.

The order of means, each used only for what the one before left over:
1. the model is asked for exactly the slot, as long as it stays within a comfortable pace;
2. the gap before the next cue is borrowed, but for a guard;
3. the take is stretched, pitch kept, up to a limit;
4. what is still too long pushes the next cues back: that is an overflow, and reported.
Takes never overlap. Speech is lost only where the programme ends, after a hard stretch, and that is a fault.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from emovoice.dubbing import PROGRAMME_RATE_HZ
from emovoice.dubbing.cues import Cue, Remark
from emovoice.timing import allot

MS = PROGRAMME_RATE_HZ // 1000
"""Samples in a millisecond."""


@dataclass(frozen=True)
class Policy:
    """How far each means may go.

    Attributes:
        tolerance_ms: a take this close to its slot is on it.
        guard_ms: silence kept before the next cue when a gap is borrowed.
        fastest, slowest: asked length over free length that still sounds unforced.
        brisk: the pace aimed at when a slot is too short and there is a gap to borrow.
        hardest: the shortest the model is ever asked for, over the free length.
        stretch: how much faster a take may be played, pitch kept.
        residue: takes this close to their slot, as a share of it, are stretched or squeezed onto it.
        hard_stretch: the same where the programme ends and nothing else is left.
        shortest_ms: cues that begin closer together than this share their time.
        chars_per_s: characters a second, to estimate before anything is spoken.
    """

    tolerance_ms: int = 40
    guard_ms: int = 80
    fastest: float = 0.75
    slowest: float = 1.3
    brisk: float = 0.9
    hardest: float = 0.5
    stretch: float = 1.15
    residue: float = 0.03
    hard_stretch: float = 2.0
    shortest_ms: int = 300
    chars_per_s: float = 15.0


DEFAULT_POLICY = Policy()


@dataclass(frozen=True)
class Slot:
    """The time of a cue, in samples of the programme.

    Attributes:
        start, end: where it is to be heard.
        limit: how far it may run on without touching the next cue, at least `end`.
        estimate: how long its text will take, from its characters.
        verdict: "fits", "loose" (speech will end early), "tight" (it needs the gap or a stretch) or "impossible".
    """

    start: int
    end: int
    limit: int
    estimate: int
    verdict: str = "fits"

    @property
    def length(self) -> int:
        """Samples of the slot."""
        return self.end - self.start

    @property
    def room(self) -> int:
        """Samples up to the limit."""
        return self.limit - self.start

    @property
    def useful_room(self) -> int:
        """The room, as far as a take could ever fill it: what lies beyond may change without touching this cue."""
        return min(self.room, max(self.length, round(1.25 * self.estimate)))


@dataclass(frozen=True)
class Fit:
    """What was done to meet a slot; samples of the programme.

    Attributes:
        start, length: where the take lies.
        taken: length of the take as spoken.
        borrowed: how far it runs into the gap behind its slot.
        shifted: how much later than its slot it begins, because of an earlier overflow.
        overflow: how far it runs beyond what may be borrowed.
        cut: samples of speech lost at the end of the programme.
        early: how far before the end of its slot it ends.
    """

    start: int
    length: int
    taken: int
    borrowed: int = 0
    shifted: int = 0
    overflow: int = 0
    cut: int = 0
    early: int = 0

    @property
    def stretch(self) -> float:
        """Length as spoken over length as placed; above 1 is faster."""
        return self.taken / (self.length + self.cut) if self.length + self.cut else 1.0

    @property
    def end(self) -> int:
        """Behind the last sample."""
        return self.start + self.length


def slots(cues: Sequence[Cue], total: int, policy: Policy = DEFAULT_POLICY) -> tuple[tuple[Slot | None, ...],
                                                                                    tuple[Remark, ...]]:
    """A slot for each cue, in order and apart; None for those that have nothing to speak or lie outside.

    Args:
        cues: in the order of their start.
        total: length of the programme, samples.
    """
    remarks: list[Remark] = []
    spoken = [index for index, cue in enumerate(cues) if cue.text]
    inside = []
    for index in spoken:
        if cues[index].start_ms * MS >= total:
            remarks.append(Remark("outside", "it begins behind the end of the programme", cues[index].id, fault=True))
        elif cues[index].end_ms <= 0 and cues[index].start_ms < 0:
            remarks.append(Remark("outside", "it ends before the programme begins", cues[index].id, fault=True))
        else:
            inside.append(index)
    spans = _apart([cues[index] for index in inside], total, policy, remarks)
    found: list[Slot | None] = [None] * len(cues)
    for order, (index, (start, end)) in enumerate(zip(inside, spans, strict=True)):
        following = spans[order + 1][0] - policy.guard_ms * MS if order + 1 < len(spans) else total
        slot = Slot(start, end, max(end, following), estimate(cues[index].text, policy))
        found[index] = replace(slot, verdict=verdict(slot, policy))
        if found[index].verdict == "impossible":  # type: ignore[union-attr]
            remarks.append(Remark("impossible", f"about {slot.estimate / PROGRAMME_RATE_HZ:.1f} s of text for "
                                                f"{slot.room / PROGRAMME_RATE_HZ:.1f} s", cues[index].id))
    return tuple(found), tuple(remarks)


def estimate(text: str, policy: Policy = DEFAULT_POLICY) -> int:
    """How long a text takes to say, samples: its characters, figures counted as words, a little for each mark."""
    units = sum(4.0 if character.isdigit() else 2.5 if character in ",;:.!?" else 1.0 for character in text)
    return round((0.2 + units / policy.chars_per_s) * PROGRAMME_RATE_HZ)


def verdict(slot: Slot, policy: Policy = DEFAULT_POLICY) -> str:
    """How a slot suits its text; see `Slot`."""
    if slot.room * policy.stretch < policy.hardest * slot.estimate:
        return "impossible"
    if slot.length < policy.fastest * slot.estimate:
        return "tight"
    return "loose" if slot.length > policy.slowest * slot.estimate else "fits"


def ask(length: int, room: int, free: int, policy: Policy = DEFAULT_POLICY) -> int:
    """How long to ask the model for.

    Args:
        length: samples of the slot.
        room: samples up to the next cue, at least `length`.
        free: how long the text takes by itself; all three in the same samples.
    """
    low, high = policy.fastest * free, policy.slowest * free
    if low <= length <= high:
        return length
    if length > high:
        return max(1, round(high))
    if room * policy.stretch >= low:
        return max(1, round(min(max(room, low), policy.brisk * free)))
    return max(1, round(max(room, policy.hardest * free)))


def place(found: Sequence[Slot | None], lengths: Sequence[int | None], total: int,
          policy: Policy = DEFAULT_POLICY) -> tuple[Fit | None, ...]:
    """Where each take goes; takes are in order, apart and within the programme.

    Args:
        found: slots as `slots` gives them.
        lengths: samples of each take; None where there is none.
        total: length of the programme, samples.
    """
    fits: list[Fit | None] = []
    cursor = 0
    for slot, length in zip(found, lengths, strict=True):
        if slot is None or length is None:
            fits.append(None)
            continue
        fit = _placed(slot, length, min(max(slot.start, cursor), total), total, policy)
        cursor = fit.end
        fits.append(fit)
    return tuple(fits)


def remarks_of(fit: Fit, cue: Cue, policy: Policy = DEFAULT_POLICY) -> list[Remark]:
    """What there is to say about a fit; nothing when the take is on its slot within the tolerance."""
    near = policy.tolerance_ms * MS
    found = []
    if fit.cut:
        found.append(Remark("cut", f"{_s(fit.cut)} of speech lie behind the end of the programme and are lost", cue.id,
                            True))
    if fit.overflow:
        found.append(Remark("overflow", f"{_s(fit.overflow)} longer than there is room, at {fit.stretch:.2f} times the "
                                        "pace; what follows begins later", cue.id, True))
    if fit.shifted > near:
        found.append(Remark("shifted", f"begins {_s(fit.shifted)} late", cue.id, True))
    if fit.borrowed > near:
        found.append(Remark("borrowed", f"ends {_s(fit.borrowed)} behind its slot, in the gap", cue.id))
    if fit.early > near:
        found.append(Remark("early", f"ends {_s(fit.early)} before its slot does", cue.id))
    if abs(fit.stretch - 1) > 0.001:
        found.append(Remark("stretched", f"played at {fit.stretch:.3f} times the pace, pitch kept", cue.id))
    return found


def _s(samples: int) -> str:
    return f"{samples / PROGRAMME_RATE_HZ:.2f} s"


def _apart(cues: Sequence[Cue], total: int, policy: Policy, remarks: list[Remark]) -> list[tuple[int, int]]:
    """Disjoint spans in order. Cues that begin (nearly) together share the time until the next one."""
    shortest = policy.shortest_ms * MS
    groups: list[list[int]] = []
    starts = [max(0, cue.start_ms * MS) for cue in cues]
    for index, start in enumerate(starts):
        if groups and start - starts[groups[-1][0]] < shortest:
            groups[-1].append(index)
        else:
            groups.append([index])
    spans: list[tuple[int, int]] = []
    for order, group in enumerate(groups):
        start = starts[group[0]]
        following = starts[groups[order + 1][0]] if order + 1 < len(groups) else total
        wanted = max(_wanted_end(cues[index], policy) for index in group)
        if wanted > total:
            remarks.append(Remark("outside", "its slot ends behind the programme", cues[group[-1]].id))
        end = max(start + 1, min(wanted, following, total))
        if len(group) > 1:
            remarks.append(Remark("together", f"{len(group)} cues begin together; they speak one after the other",
                                  cues[group[0]].id))
        spans.extend(_shared(start, end, [len(cues[index].text) for index in group]))
    return spans


def _wanted_end(cue: Cue, policy: Policy) -> int:
    """Where a cue's slot would end by itself; one without a length gets that of its text."""
    if cue.end_ms > cue.start_ms:
        return cue.end_ms * MS
    return max(0, cue.start_ms * MS) + estimate(cue.text, policy)


def _shared(start: int, end: int, weights: Sequence[int]) -> list[tuple[int, int]]:
    spans = []
    for share in allot(end - start, weights):
        spans.append((start, start + share))
        start += share
    return spans


def _placed(slot: Slot, taken: int, start: int, total: int, policy: Policy) -> Fit:
    length = _length(slot, taken, start, policy)
    cut = 0
    if start + length > total:
        hard = max(total - start, math.ceil(taken / policy.hard_stretch))
        length, cut = total - start, max(0, hard - (total - start))
    end = start + length
    near = policy.tolerance_ms * MS
    return Fit(start=start, length=length, taken=taken, cut=cut, shifted=start - slot.start,
               borrowed=max(0, min(end, slot.limit) - slot.end), overflow=max(0, end - max(slot.limit, slot.end)),
               early=slot.end - end if slot.end - end > near else 0)


def _length(slot: Slot, taken: int, start: int, policy: Policy) -> int:
    """Samples a take is played in when it begins at `start`; it may still be too long for the room."""
    length, room = max(1, slot.end - start), max(1, slot.limit - start)
    if abs(taken - length) <= policy.residue * length:
        return length
    if taken <= room:
        return taken
    return max(room, math.ceil(taken / policy.stretch))
