"""A conversion while it is being made: an iterator of chunks that knows how far it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import soxr

from emovoice import waveform
from emovoice.chunks import Chunks
from emovoice.conversion.pieces import Joiner, Piece, free_length, pieces, shared_length
from emovoice.conversion.source import Incoming
from emovoice.conversion.target import Target
from emovoice.emotion import prosody
from emovoice.encoder.melody import CODE_SAMPLES, RATE_HZ
from emovoice.errors import ModelError
from emovoice.speech import sentence_seed

if TYPE_CHECKING:
    from emovoice.conversion.converter import Converter, Decoding, Heard

OTHER_SPEAKER = 0.5
"""Cosine of two timbre vectors below which another person speaks. In the corpus that `mini` was trained on, 99 % of
recordings of one voice lie above 0.79 and 95 % of those of two voices below 0.39."""
UNCLEAR = 0.5
"""Certainty of the phones below which it may not be speech at all. By the tokenizer of `mini`, ten voices have 0.59 to
0.67, chords 0.40, noise 0.18; a tune of single tones, 0.54, passes for speech."""
_ENOUGH_S = 1.0  # of a piece, to know who speaks and how


@dataclass(frozen=True)
class Request:
    """What is asked for: emotions, a timbre (S,) or None for the speaker's own, samples at 24 kHz or None, whether the
    emotion may change the tempo, a seed, and how to solve."""

    target: Target
    timbre: np.ndarray | None
    asked_s: float | None
    tempo: bool
    seed: int
    decoding: Decoding


class Conversion(Chunks):
    """Chunks of float32 samples, (n,) of one channel and (n, C) of more, at the source's rate.

    Only a few seconds are in memory, however long the source.

    Attributes:
        rate: samples a second, as the source has.
        channels: as the source has.
        asked_s: the length asked for, or None.
    """

    def __init__(self, converter: Converter, incoming: Incoming, request: Request, spent_s: float = 0.0) -> None:
        super().__init__(incoming.rate, request.asked_s, spent_s, incoming.channels)
        self._converter, self._incoming, self._request = converter, incoming, request
        self._found: list[str] = []
        self._timbre: np.ndarray | None = None
        self._emotion: np.ndarray | None = None
        self._alike = self._differs = self._unclear_s = 0.0

    def _notes(self) -> tuple[str, ...]:
        return (*self._incoming.notes, *self._found)

    # ---- the way of the samples --------------------------------------------------------------------------

    def _made(self) -> Iterator[np.ndarray]:
        """Convert piece by piece, at 24 kHz inside; cut or fill the end to the very length that is due."""
        back = _Resampler(RATE_HZ, self.rate)
        given = 0
        for chunk in self._converted():
            out = self._at_most(back.more(chunk), given)
            given += len(out)
            if len(out):
                yield self._incoming.all_channels(out)
        out = self._at_most(back.rest(), given)
        due = self._due()
        if due is not None:
            out = np.pad(out, (0, max(due - given - len(out), 0)))
        if len(out):
            yield self._incoming.all_channels(out)
        self._found += self._remarks(given + len(out))

    def _due(self) -> int | None:
        """Frames that the output shall have in all; None while or where nobody knows."""
        if self._request.asked_s is not None:
            return max(1, round(self._request.asked_s * self.rate))
        if self._request.tempo:
            return None
        return self._incoming.frames if self._incoming.frames is not None else self._incoming.taken

    def _at_most(self, samples: np.ndarray, given: int) -> np.ndarray:
        due = self._due()
        return samples if due is None else samples[: max(due - given, 0)]

    def _converted(self) -> Iterator[np.ndarray]:
        joiner = Joiner()
        for index, piece in enumerate(pieces(self._mono())):
            spoken = waveform.speech_frames(piece.samples, RATE_HZ)
            if spoken.any():
                samples, core = self._speak(piece, sentence_seed(self._request.seed, index))
            else:
                core = self._length(piece, None)
                samples = _tiled(piece, core)
            if not np.isfinite(samples).all():
                raise ModelError("the model produced samples that are not numbers", field="second",
                                 value=round(piece.start / RATE_HZ, 1),
                                 remedy="The weights are damaged or do not suit this device.")
            yield joiner.add(samples, piece.lead, core, piece.tail)

    def _mono(self) -> Iterator[np.ndarray]:
        forth = _Resampler(self.rate, RATE_HZ)
        for block in self._incoming.mono():
            yield forth.more(block)
        yield forth.rest()

    def _speak(self, piece: Piece, seed: int) -> tuple[np.ndarray, int]:
        heard = self._known_speaker(piece, self._converter.hear(piece.samples))
        codes = len(heard.pitch_hz)
        times_s = (piece.start - piece.lead + (np.arange(codes) + 0.5) * CODE_SAMPLES) / RATE_HZ
        target, space = self._request.target, self._converter.space
        emotion = target.at(space, heard.emotion, times_s)
        moves = target.moves(space, self._converter.moves, heard.emotion, times_s)
        factors = prosody.tempo(heard.classes, moves) if self._request.tempo else np.ones(codes)
        core = self._length(piece, factors)
        timbre = heard.timbre if self._request.timbre is None else self._request.timbre
        from emovoice.conversion.converter import Wanted

        wanted = Wanted(emotion, moves, timbre, core)
        return self._converter.speak(piece, heard, wanted, factors, seed, self._request.decoding), core

    def _length(self, piece: Piece, factors: np.ndarray | None) -> int:
        """Samples that the core of a piece shall take."""
        asked_s, frames = self._request.asked_s, self._incoming.frames
        if asked_s is not None and frames is not None:
            source = max(1, round(frames * RATE_HZ / self.rate))
            return max(1, shared_length(piece.start, piece.core, source, round(asked_s * RATE_HZ)))
        return piece.core if factors is None or not self._request.tempo else free_length(piece, factors)

    # ---- what is noticed on the way ------------------------------------------------------------------------

    def _known_speaker(self, piece: Piece, heard: Heard) -> Heard:
        """Vectors of a piece that is too short to tell are those of the pieces before."""
        seconds = piece.core / RATE_HZ
        if heard.clarity < UNCLEAR:
            self._unclear_s += seconds
        if seconds < _ENOUGH_S and self._timbre is not None and self._emotion is not None:
            return replace(heard, timbre=self._timbre, emotion=self._emotion)
        if self._request.target.is_like(self._converter.space, heard.emotion):
            self._alike += seconds
        else:
            self._differs += seconds
        if self._timbre is not None:
            if float(heard.timbre @ self._timbre) < OTHER_SPEAKER:
                kept = "each keeps its own timbre" if self._request.timbre is None else "all get the one timbre"
                self._note(f"another voice seems to speak from {piece.start / RATE_HZ:.1f} s on; {kept}")
            else:  # the same person: the mean of what was heard is steadier than a piece
                mean = 2 * self._timbre + heard.timbre
                heard = replace(heard, timbre=mean / np.linalg.norm(mean))
        self._timbre, self._emotion = heard.timbre, heard.emotion
        return heard

    def _note(self, message: str) -> None:
        if not any(note.split(" from ")[0] == message.split(" from ")[0] for note in self._found):
            self._found.append(message)

    def _remarks(self, frames: int) -> list[str]:
        """What can only be said at the end."""
        notes = []
        source = self._incoming.taken
        if not self._incoming.heard:
            notes.append("nobody speaks in it; it was passed on as it was")
        if self._unclear_s > 0.5 * source / self.rate:
            notes.append("most of it was not understood as speech; music, noise and other sounds are not kept")
        if self._alike > self._differs:
            notes.append("it sounds like the emotion that was asked for already; little was changed")
        if frames != source:
            notes.append(f"its length changed from {source / self.rate:.2f} to {frames / self.rate:.2f} s")
        return notes


class _Resampler:
    """Blocks of mono from one rate to another, without seams."""

    def __init__(self, rate: int, target_rate: int) -> None:
        same = rate == target_rate
        self._stream = None if same else soxr.ResampleStream(rate, target_rate, 1, dtype="float32", quality="HQ")

    def more(self, samples: np.ndarray) -> np.ndarray:
        """What can be given out after this block."""
        samples = np.ascontiguousarray(samples, np.float32)
        return samples if self._stream is None else self._stream.resample_chunk(samples)

    def rest(self) -> np.ndarray:
        """What is left after the last block."""
        empty = np.zeros(0, np.float32)
        return empty if self._stream is None else self._stream.resample_chunk(empty, last=True)


def _tiled(piece: Piece, core: int) -> np.ndarray:
    """A piece in which nobody speaks, as it is; repeated or cut where its length shall change."""
    middle = piece.samples[piece.lead : piece.lead + piece.core]
    before, after = piece.samples[: piece.lead], piece.samples[piece.lead + piece.core :]
    return np.concatenate([before, np.resize(middle, core), after])
