"""The mark that says a sound file was made by a machine: written into the file's metadata, and read back.

Two layers. Metadata, always: a JSON object in the comment field of the container, with the IPTC's term for media made
by a model, which other tools look for. Metadata is lost when a file is re-encoded carelessly, so the commands, the
server and the page put an inaudible watermark into the samples as well where that extra is installed
(`emovoice.watermark`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from emovoice.errors import AudioError

_IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DIGITAL_SOURCE_TYPE = f"{_IPTC}trainedAlgorithmicMedia"
"""The IPTC's NewsCodes term for "created by a model from sampled content"."""

COMPOSITE_SOURCE_TYPE = f"{_IPTC}compositeWithTrainedAlgorithmicMedia"
"""Its term for a whole of which a part was: a dub over a picture or a bed."""

_LONGEST_CHECKED_S = 600.0
_MARK = re.compile(r'\{[^{}]{0,2000}"digitalSourceType"[^{}]{0,2000}\}')
_MOST_TRACKS = 8
_END_BYTES = 2**18  # containers keep their comments at the beginning or the end


@dataclass(frozen=True)
class Detection:
    """What was found in a file.

    Attributes:
        metadata: the mark in the container, or None.
        watermark: the detector's score 0..1, or None where it was not looked for.
        watermarked: whether the score says yes.
        notes: what could not be looked at, and why.
    """

    metadata: Mapping[str, Any] | None
    watermark: float | None
    watermarked: bool
    notes: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """Whether there is a mark of either kind."""
        return self.metadata is not None or self.watermarked


def generator() -> str:
    """Name and version of this program."""
    try:
        return f"emovoice {metadata.version('emovoice')}"
    except metadata.PackageNotFoundError:
        return "emovoice"


def tags(model: str = "", process: str = "speech", composite: bool = False) -> dict[str, str]:
    """Metadata fields for a container, by the names that soundfile and FFmpeg give them.

    Args:
        model: which model spoke, of a folder its name alone; "" where it is not known.
        process: "speech", "conversion" or "dub".
        composite: whether there is more in it than the model made.
    """
    kind = COMPOSITE_SOURCE_TYPE if composite else DIGITAL_SOURCE_TYPE
    mark = {"generator": generator(), "digitalSourceType": kind, "process": process}
    return {"comment": json.dumps(mark | ({"model": Path(model).name} if model else {})), "software": generator()}


def said(metadata: bool, watermark: bool, why: str = "its container has no room for metadata") -> str:
    """How a sound is marked, in the words of every report: "metadata, watermark", one of both, or "none: why"."""
    marks = [name for name, there in (("metadata", metadata), ("watermark", watermark)) if there]
    return ", ".join(marks) or f"none: {why}, and no watermark is put in"


def carried(path: str | os.PathLike[str], watermark: bool) -> str:
    """How a file that was just written is marked, as `said`: its metadata is read back, not believed.

    Args:
        watermark: whether its samples were marked.
    """
    return said(parse(_ends(Path(path))) is not None, watermark, "the mark is not found in its metadata")


def parse(text: str) -> dict[str, Any] | None:
    """The mark in a comment field or in a piece of a file, or None; anyone's that uses the IPTC's terms."""
    for match in _MARK.finditer(text):
        try:
            found = json.loads(match[0])
        except json.JSONDecodeError:
            continue
        if isinstance(found, dict) and isinstance(found.get("digitalSourceType"), str):
            return found
    for term in ("compositeWithTrainedAlgorithmicMedia", "trainedAlgorithmicMedia"):
        if term in text:
            return {"digitalSourceType": f"{_IPTC}{term}"}
    return None


def detect(path: str | os.PathLike[str]) -> Detection:
    """Look for both marks in a sound or video file.

    Raises:
        AudioError: missing, or no file with sound in it.
    """
    from emovoice import watermark

    tracks, rate, notes = _opened(Path(path))
    found = parse(_ends(Path(path)))
    if not watermark.available():
        notes.append("no watermark was looked for: pip install 'emovoice[watermark]'")
        return Detection(found, None, False, tuple(notes))
    scores = [score for samples in tracks if (score := watermark.score(samples, rate)) is not None]
    score = max(scores, default=None)
    if found is None and score is not None and score >= watermark.THRESHOLD:
        notes.append("the watermark holds for speech: tones and music can score as if they were marked")
    return Detection(found, score, score is not None and score >= watermark.THRESHOLD, tuple(notes))


def _ends(path: Path) -> str:
    """The first and last bytes of a file as text: comments are plain in every container that is written here."""
    with open(path, "rb") as file:
        head = file.read(_END_BYTES)
        file.seek(max(len(head), os.path.getsize(path) - _END_BYTES))
        return (head + file.read()).decode("latin-1")


def _opened(path: Path) -> tuple[list[Any], int, list[str]]:
    """Mono samples `(N,)` of each sound track, rate and remarks; by libsndfile, or by FFmpeg for what that cannot."""
    import soundfile

    if not path.is_file():
        raise AudioError("there is no such file", field="path", value=str(path), remedy="Check the name.")
    try:
        return _by_soundfile(path)
    except (soundfile.SoundFileError, MemoryError, ValueError) as error:
        try:
            return _by_av(path)
        except ImportError:
            remedy = "Formats such as m4a and mp4 need: pip install 'emovoice[media]'."
            raise AudioError(
                f"the file cannot be read: {error}", field="path", value=str(path), remedy=remedy
            ) from error


def _by_soundfile(path: Path) -> tuple[list[Any], int, list[str]]:
    import numpy as np
    import soundfile

    with soundfile.SoundFile(path) as sound:
        blocks, count = [], 0
        while count < _LONGEST_CHECKED_S * sound.samplerate:
            block = sound.read(sound.samplerate * 10, dtype="float32", always_2d=True)
            if not len(block):
                break
            blocks.append(block.mean(axis=1))
            count += len(block)
        samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
        return [samples], sound.samplerate, _cut_note(count / sound.samplerate)


def _by_av(path: Path) -> tuple[list[Any], int, list[str]]:
    import av

    rate = 24_000
    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
            tracks = len(container.streams.audio)
            if not tracks:
                raise AudioError("there is no sound in this file", field="path", value=str(path))
            sounds = []
            for track in range(min(tracks, _MOST_TRACKS)):
                container.seek(0)
                sounds.append(_track(container, container.streams.audio[track], rate))
    except (av.FFmpegError, OSError) as error:
        raise AudioError(f"the file cannot be read: {error}", field="path", value=str(path)) from error
    return sounds, rate, _cut_note(max(map(len, sounds)) / rate)


def _track(container: Any, stream: Any, rate: int) -> Any:
    """The first samples of a sound track, mono `(N,)` at `rate`."""
    import av
    import numpy as np

    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
    blocks, count = [np.zeros(0, np.float32)], 0
    for frame in container.decode(stream):
        frame.pts = None  # the resampler would fill gaps of its own
        for part in resampler.resample(frame):
            blocks.append(part.to_ndarray()[0])
            count += len(blocks[-1])
        if count >= _LONGEST_CHECKED_S * rate:
            break
    return np.concatenate(blocks)


def _cut_note(seconds: float) -> list[str]:
    if seconds < _LONGEST_CHECKED_S:
        return []
    return [f"the watermark was looked for in the first {_LONGEST_CHECKED_S:.0f} s"]
