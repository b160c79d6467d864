"""A cast from the original: the clearest stretches of each character's lines as sound files, and a cast file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from emovoice import waveform
from emovoice.dubbing import PROGRAMME_RATE_HZ, media
from emovoice.dubbing.cues import Cue, Remark, Timeline
from emovoice.dubbing.master import safe_name
from emovoice.errors import AudioError, InputError
from emovoice.writing import check_target, whole_file

WANTED_S = 15.0
"""How much of each character is cut out: as much as a voice is learned from."""

_MARGIN_S = 0.1
_SHORTEST_S = 0.5


@dataclass(frozen=True)
class Suggestion:
    """A character's reference: its file, None if there was none, how much speech is in it, and from which cues."""

    character: str
    path: Path | None
    speech_s: float
    cues: tuple[str, ...]


def suggest(original: str, timeline: Timeline, output: Path, force: bool = False) -> tuple[list[Suggestion],
                                                                                       list[Remark]]:
    """Cut a reference for each character and write a cast file that names them.

    Args:
        original: a video or recording.
        timeline: who speaks when.
        output: the cast file; references go into a folder beside it.

    Raises:
        InputError: no cue names a character.
        AudioError: the original cannot be read or has no sound.
        OutputError: something exists and `force` is not set, or cannot be written.
    """
    import yaml

    target = check_target(output, force, endings=(".yaml", ".yml"))
    characters = [character for character in timeline.characters if character]
    if not characters:
        raise InputError("no cue names a character", field="timeline", value=timeline.name,
                         remedy="Write 'NAME: ...', or use ASS with actors.")
    found = media.probe(original)
    if not found.sounds:
        raise AudioError("the original has no sound", field="path", value=str(original))
    folder = target.with_name(f"{target.stem}.references")
    folder.mkdir(exist_ok=True)
    with media.sound_map(original, folder) as samples:
        suggestions = [_reference(character, timeline.cues, samples, folder) for character in characters]
    remarks = []
    for character, made in zip(characters, suggestions, strict=True):
        if made.path is None:
            remarks.append(Remark("reference", f"{character}: no usable speech was found", fault=True))
        elif made.speech_s < 3:
            what = f"{character}: only {made.speech_s:.1f} s of speech; 5 to 15 s are better"
            remarks.append(Remark("reference", what))
    rows = {one.character: {"voice": f"{folder.name}/{one.path.name}" if one.path else "default"}
            for one in suggestions}  # fmt: skip
    with whole_file(target) as file:
        file.write(b"# A voice belongs to a person: ask before you use it.\n")
        file.write(yaml.safe_dump({"characters": rows}, sort_keys=False, allow_unicode=True).encode())
    return suggestions, remarks


def stretches(cues: Sequence[Cue], character: str, total: int) -> list[tuple[int, int, str]]:
    """Where only that character speaks: start and end in samples, the cue's id; the longest first. Pure."""
    rate_ms = PROGRAMME_RATE_HZ // 1000
    others = sorted((cue.start_ms * rate_ms, cue.end_ms * rate_ms) for cue in cues if cue.character != character)
    found = []
    for cue in cues:
        if cue.character != character or cue.end_ms <= cue.start_ms:
            continue
        start, end = max(0, cue.start_ms * rate_ms), min(total, cue.end_ms * rate_ms)
        overlapped = any(low < end and start < high for low, high in others)
        if end - start >= _SHORTEST_S * PROGRAMME_RATE_HZ and not overlapped:
            found.append((start, end, cue.id))
    return sorted(found, key=lambda stretch: (stretch[0] - stretch[1], stretch[0]))


def _reference(character: str, cues: Sequence[Cue], samples: np.ndarray, folder: Path) -> Suggestion:
    """The longest stretches with most speech, up to 15 s of it, in one file with short pauses between."""
    pieces: list[np.ndarray] = []
    used: list[str] = []
    speech_s = 0.0
    for start, end, cue in stretches(cues, character, len(samples)):
        piece = waveform.trimmed(samples[start:end], PROGRAMME_RATE_HZ, _MARGIN_S)
        if len(piece) < _SHORTEST_S * PROGRAMME_RATE_HZ:
            continue
        pieces += [piece, np.zeros(round(2 * _MARGIN_S * PROGRAMME_RATE_HZ), np.float32)]
        speech_s += 0.02 * float(waveform.speech_frames(piece, PROGRAMME_RATE_HZ).sum())
        used.append(cue)
        if speech_s >= WANTED_S:
            break
    if not pieces:
        return Suggestion(character, None, 0.0, ())
    path = folder / f"{safe_name(character)}.wav"
    with whole_file(path) as file:
        soundfile.write(file, np.clip(np.concatenate(pieces), -1, 1), PROGRAMME_RATE_HZ, subtype="PCM_16", format="WAV")
    return Suggestion(character, path, round(speech_s, 2), tuple(used))
