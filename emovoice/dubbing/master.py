"""From chosen takes to finished files: clips, the mix at its loudness, the encoded programme, and proof of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile

from emovoice import provenance
from emovoice.dubbing import PROGRAMME_RATE_HZ, media, mix
from emovoice.dubbing.cues import Remark
from emovoice.dubbing.job import ORIGINAL, Job
from emovoice.dubbing.loudness import TOLERANCE_LU, Meter, limited, measured
from emovoice.dubbing.mix import Placed
from emovoice.watermark import Marker
from emovoice.writing import encode_wav24, whole_file

_ROUNDS = 5
_NEAR_LU = 0.1
_PEAK_TOLERANCE_DB = 0.1
_MARK_FADE = PROGRAMME_RATE_HZ // 100  # samples


@dataclass(frozen=True)
class Master:
    """What became of the programme.

    Attributes:
        gain_db: what everything was raised by to meet the target.
        duck_db: how far the bed was lowered under speech; 0 without one.
        limited_db: how far the loudest peak was held back.
        lufs, dialogue_lufs, peak_dbtp: measured in the finished file; the dialogue before encoding.
        samples: length of the finished sound, as decoded.
        mark: how the programme is marked; see `emovoice.provenance.said`.
        remarks: bars that are not met, as faults.
    """

    gain_db: float
    duck_db: float
    limited_db: float
    lufs: float
    dialogue_lufs: float
    peak_dbtp: float
    samples: int
    mark: str = ""
    remarks: tuple[Remark, ...] = field(default=())


def tags(job: Job, whole: bool = True) -> dict[str, str]:
    """The mark for the metadata of the programme, or of files with nothing but its speech."""
    return provenance.tags(job.model, "dub", composite=whole and bool(job.bed or job.options.video))


def write_clips(placed: Sequence[Placed], names: Sequence[str], folder: Path, tags: Mapping[str, str]
                ) -> list[Placed]:  # fmt: skip
    """Each take as it lies in the programme (resampled, stretched, at its gain), in a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for one, name in zip(placed, names, strict=True):
        path = folder / f"{name}.wav"
        with whole_file(path) as file:
            samples = mix.take_samples(one)
            peak = float(np.abs(samples).max(initial=0.0))
            encode_wav24(file, samples / max(1.0, peak), PROGRAMME_RATE_HZ, tags)
        # What does not fit into a file of whole numbers is given back in the mix.
        clips.append(Placed(path, one.fit, one.character, 20 * math.log10(max(1.0, peak))))
    kept = {clip.path for clip in clips}
    for stale in folder.glob("*.wav"):
        if stale not in kept:
            stale.unlink()
    return clips


def dialogue(clips: Sequence[Placed], total: int) -> Iterator[np.ndarray]:
    """`(n, 1)` blocks of the clips where they belong, `total` samples in all."""
    at = 0
    for clip in clips:
        yield from _silence(clip.fit.start - at)
        samples, _ = soundfile.read(clip.path, dtype="float32")
        yield samples[:, None] * np.float32(_factor(clip.gain_db))
        at = clip.fit.end
    yield from _silence(total - at)


def make(job: Job, clips: Sequence[Placed]) -> Master:
    """Mix, mark, bring to the target, encode, and measure what was written."""
    marker = Marker(PROGRAMME_RATE_HZ)
    speech = measured(dialogue(clips, job.total), 1)
    duck_db = _duck_db(job, clips, speech.lufs)
    with _raw_mix(job) as raw:
        at = 0
        for block in _mixed(job, clips, duck_db):
            raw[at : at + len(block)] = block
            at += len(block)
        _mark(raw, clips, marker)
        before = measured(_blocks(raw), job.channels)
        gain_db = _gain_db(job, raw, before, speech)
        master, gain_db = _encoded(job, raw, gain_db, before, speech, duck_db)
    master = replace(master, mark=provenance.carried(job.output, marker.has_marked))
    if job.options.stems:
        _write_stems(job, clips, duck_db, gain_db)
    return master


def safe_name(text: str) -> str:
    """A file name out of any text."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[:40] or "nobody"


def _silence(length: int) -> Iterator[np.ndarray]:
    while length > 0:
        yield np.zeros((min(mix.BLOCK, length), 1), np.float32)
        length -= mix.BLOCK


def _duck_db(job: Job, clips: Sequence[Placed], dialogue_lufs: float) -> float:
    if job.bed is None or not clips:
        return 0.0
    if job.options.duck_db is not None:
        return job.options.duck_db
    if job.options.bed != ORIGINAL:
        return 0.0
    under = measured(mix.only_under(_bed(job), [clip.fit for clip in clips]), job.channels)
    return mix.duck_depth_db(under.lufs, dialogue_lufs)


def _bed(job: Job) -> Iterator[np.ndarray]:
    assert job.bed is not None
    return media.sound(job.bed, job.channels, job.total)


def _mixed(job: Job, clips: Sequence[Placed], duck_db: float) -> Iterator[np.ndarray]:
    gains = mix.ducking([clip.fit for clip in clips], duck_db)
    bed = _bed(job) if job.bed else None
    return mix.mixed(dialogue(clips, job.total), bed, gains, job.channels)


@contextmanager
def _raw_mix(job: Job) -> Iterator[np.ndarray]:
    """The mix before its loudness is known, on disk: it is read several times, and may not fit into memory."""
    path = job.folder / ".emovoice-mix.partial"
    raw = np.memmap(path, np.float32, "w+", shape=(job.total, job.channels))
    try:
        yield raw
    finally:
        del raw
        path.unlink(missing_ok=True)


def _mark(raw: np.ndarray, clips: Sequence[Placed], marker: Marker) -> None:
    """The watermark, wherever somebody speaks: into the mix, since a bed would hide one that lies below the speech
    alone. The picture's own sound stays as it is elsewhere."""
    for clip in clips:
        span = np.array(raw[clip.fit.start : clip.fit.end])
        ramp = np.arange(1, len(span) + 1) / _MARK_FADE
        fade = np.minimum(1.0, np.minimum(ramp, ramp[::-1])).astype(np.float32)[:, None]
        raw[clip.fit.start : clip.fit.end] = span + (marker(span) - span) * fade


def _blocks(raw: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(raw), mix.BLOCK):
        yield np.asarray(raw[start : start + mix.BLOCK])


def _gain_db(job: Job, raw: np.ndarray, before: Meter, speech: Meter) -> float:
    """What to raise everything by; what the limiter takes away is given back, as far as it goes."""
    target = job.target
    loud = speech.lufs if target.of == "dialogue" else before.lufs
    if not math.isfinite(loud):
        return 0.0
    gain_db = target.lufs - loud
    if target.of == "dialogue" or before.peak_dbtp + gain_db <= target.peak_dbtp - _PEAK_TOLERANCE_DB:
        return gain_db
    for _ in range(_ROUNDS):
        after = measured(limited(raw, _factor(gain_db), target.peak_dbtp), job.channels)
        if abs(after.lufs - target.lufs) <= _NEAR_LU:
            break
        gain_db += target.lufs - after.lufs
    return gain_db


def _encoded(job: Job, raw: np.ndarray, gain_db: float, before: Meter, speech: Meter, duck_db: float,
             ) -> tuple[Master, float]:
    """Write the programme and measure it as decoded -> what was measured, and the gain.

    What a codec adds to the peaks is taken off in another round, and so is what it does to loudness: where a quiet bed
    lies near the gate of the meter, the least change decides whether its seconds count, which can be 2 LU.
    """
    ceiling = job.target.peak_dbtp
    for _ in range(_ROUNDS):
        _write(job, limited(raw, _factor(gain_db), ceiling, mix.BLOCK))
        after = measured(media.sound(job.output, job.channels, track=_dub_track(job)), job.channels)
        over_db, short_db = after.peak_dbtp - job.target.peak_dbtp, job.target.lufs - after.lufs
        fixed = job.target.of == "dialogue" or not math.isfinite(short_db) or abs(short_db) <= TOLERANCE_LU / 2
        if over_db <= 0 and fixed:
            break
        ceiling -= over_db + 0.05 if over_db > 0 else 0.0
        gain_db += 0.0 if fixed else short_db
    limited_db = max(0.0, before.peak_dbtp + gain_db - ceiling) if math.isfinite(before.peak_dbtp) else 0.0
    master = Master(round(gain_db, 2), round(duck_db, 2), round(limited_db, 2), round(after.lufs, 2),
                    round(speech.lufs + gain_db, 2), round(after.peak_dbtp, 2), after.samples)
    return replace(master, remarks=tuple(_verdict(job, master, before, gain_db))), gain_db


def _write(job: Job, blocks: Iterator[np.ndarray]) -> None:
    if job.output.suffix.lower() in media.VIDEO_ENDINGS:
        assert job.options.video is not None
        media.write_video(job.output, job.options.video, blocks, job.channels, job.options.language, tags(job))
    else:
        media.write_sound(job.output, blocks, job.channels, job.total, tags(job))


def _dub_track(job: Job) -> int:
    return len(media.probe(job.output).sounds) - 1


def _verdict(job: Job, master: Master, before: Meter, gain_db: float) -> Iterator[Remark]:
    """What of the target is missed."""
    if not math.isfinite(before.lufs):
        yield Remark("silent", "the programme is silent", fault=True)
        return
    # Dialogue cannot be told apart any more once it is encoded: then the whole has to be as loud as it was mixed.
    wanted = before.lufs + gain_db if job.target.of == "dialogue" else job.target.lufs
    if abs(master.lufs - wanted) > TOLERANCE_LU:
        yield Remark("loudness", f"the programme has {master.lufs:.1f} LUFS, not {wanted:.1f}", fault=True)
    if master.peak_dbtp > job.target.peak_dbtp + _PEAK_TOLERANCE_DB:
        yield Remark("peak", f"the true peak is {master.peak_dbtp:.1f} dBTP, above {job.target.peak_dbtp:.1f}",
                     fault=True)
    plain = job.output.suffix.lower() in media.PLAIN_ENDINGS
    # A codec works in frames: what it adds is said in the container, and players leave it out.
    if (master.samples != job.total) if plain else not -2400 < master.samples - job.total < 4800:
        yield Remark("length", f"the sound has {master.samples} samples, not {job.total}", fault=True)


def _write_stems(job: Job, clips: Sequence[Placed], duck_db: float, gain_db: float) -> None:
    """A file for each character and one for the bed, at the gain of the mix; together they are the mix, not limited."""
    folder = job.folder / "stems"
    folder.mkdir(exist_ok=True)
    factor = _factor(gain_db)
    for character in dict.fromkeys(clip.character for clip in clips):
        own = [clip for clip in clips if clip.character == character]
        media.write_sound(folder / f"{safe_name(character)}.wav",
                          (block * np.float32(factor) for block in dialogue(own, job.total)), 1, job.total,
                          tags(job, whole=False))  # fmt: skip
    if job.bed:
        gains, at = mix.ducking([clip.fit for clip in clips], duck_db), 0

        def lowered() -> Iterator[np.ndarray]:
            nonlocal at
            for block in _bed(job):
                yield block * gains(at, len(block)) * np.float32(factor)
                at += len(block)

        media.write_sound(folder / "bed.wav", lowered(), job.channels, job.total)


def _factor(gain_db: float) -> float:
    return float(10 ** (gain_db / 20))
