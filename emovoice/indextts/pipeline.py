"""The published models behind the public API: text, a voice's recording and an emotion in, a wave out.

    text -> segments of tokens -> codes (with latents) -> features -> mel, continued from the prompt -> wave

What the two models differ in is in `loading.RELEASES`. A seed decides a segment's codes and mel, alone and in a batch;
nothing is kept between requests but what was made of the last voices, and on CUDA the room for codes and its graphs.

A length is met in three steps. The text-to-codes model of IndexTTS-2 is asked for a number of codes in a duration slot;
the closer it gets, the likelier it stops, and the number ends up within a tolerance; the length regulator makes the
exact number of mel frames of them, and the wave is cut to the sample. IndexTTS-2.5 has no such slot: its codes are
written freely and stretched.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from ar_tts.generate import Decoder, Request, Written, write
from ar_tts.sampling import CodeSampling, LengthTarget
from ar_tts.unified import Asked
from emovoice.audio import Source
from emovoice.errors import LengthError, ModelError
from emovoice.hub.registry import guess
from emovoice.indextts import prompt as prompts
from emovoice.indextts.emotion import Manner, calibrated, towards, weighted
from emovoice.indextts.loading import Modules, at, load
from emovoice.indextts.options import Options, Placement
from emovoice.indextts.prompt import SpeakerPrompt
from emovoice.indextts.qwen import EmotionReader
from emovoice.indextts.text import Segment, load_glossary, read
from emovoice.limits import DEFAULT_LIMITS, Limits
from emovoice.pipelines import EmotionRequest, Heard, prefixed
from emovoice.voice import EMOTION_SIZE, Voice

RATE_HZ = 22_050
REMEMBERED_VOICES = 4

_SECONDS_PER_LETTER, _SECONDS_PER_CHARACTER = 0.065, 0.22
"""Of Latin and other alphabets, and of Chinese and Japanese: rough means of read speech."""
_SHORTEST_S = 0.4
_GENTLE = (0.78, 1.6)
"""How much codes can be stretched before it is told."""


@dataclass(frozen=True)
class Line:
    """A segment with the silences that were asked for around it."""

    segment: Segment
    lead_s: float = 0.0

    @property
    def text(self) -> str:
        """What is said."""
        return self.segment.text

    @property
    def pauses(self) -> tuple[tuple[int, float], ...]:
        """(-1, seconds before), (length of the text, seconds behind)."""
        return ((-1, self.lead_s), (len(self.text), self.segment.pause_s))


@dataclass(frozen=True, eq=False)
class Speaker:
    """What the modules make of a voice: its prompt, the rows (1, N, C) that tell who speaks, its own emotion (1, C)."""

    prompt: SpeakerPrompt
    rows: Tensor
    own: Tensor


@dataclass(frozen=True, eq=False)
class Job:
    """One line to speak: `length_samples` with its silences, or None for as long as it takes."""

    line: Line
    speaker: Speaker
    manner: Manner
    length_samples: int | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Spoken:
    """Samples (n,) of a job with its silences, the codes (K,) it was made of, and what there is to say."""

    samples: np.ndarray
    codes: tuple[int, ...]
    warnings: tuple[str, ...]


class IndexPipeline:
    """One published model, loaded. Interface of `emovoice.pipelines.VectorPipeline`, with prompts for vectors."""

    sample_rate = RATE_HZ
    reads_words = True
    has_accents = False

    def __init__(self, modules: Modules, options: Options, device: str) -> None:
        self.modules, self.options, self.device = modules, options, device
        self.name = modules.release.name
        self.gap_s = options.gap_ms / 1000
        self.glossary = load_glossary(options.glossary) if options.glossary else {}
        self.sampling = sampling_of(options, modules.t2s.config.max_mel_tokens)
        self._decoder = Decoder(modules.t2s, options.together, options.steady)
        self._reader: EmotionReader | None = None
        self._speakers: OrderedDict[str, Speaker] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def load(cls, folder: Path | str, device: str = "cpu", options: Options | None = None) -> IndexPipeline:
        """From a folder in the published layout, converted. Raises ModelError, and InputError for unfit options."""
        options = options or Options()
        placement = options.placement or Placement().on(device)
        return cls(load(Path(folder), placement), options, device)

    # ---- what the engine asks ----

    def read(self, text: str, accent: str = "") -> tuple[tuple[Line, ...], tuple[str, ...]]:
        """The lines of a text, and warnings. These models have no accents. Raises InputError."""
        options = self.options
        script = read(
            text, self.modules.tokenizer, language=options.language, glossary=self.glossary,
            max_tokens=options.max_tokens, merge_sentences=options.merge_sentences, upstream=options.upstream_text,
        )  # fmt: skip
        first, *others = script.segments
        return (Line(first, script.lead_s), *(Line(segment) for segment in others)), script.warnings

    def hear(self, source: Source, limits: Limits = DEFAULT_LIMITS) -> Heard:
        """What a voice keeps of a recording: 15 s at 22.05 kHz, and its CAM++ embedding. Raises AudioError."""
        samples, rate, notes = prompts.read_prompt(source, limits=limits)
        wave_22k, wave_16k = prompts.speaker_waves(samples, rate)
        style = prompts.style_of(wave_16k, self.modules.campplus)
        timbre, emotion = style[0].float().cpu().numpy(), np.zeros(EMOTION_SIZE, np.float32)
        return Heard(timbre, emotion, wave_22k.numpy(), RATE_HZ, notes)

    def who(self, voice: Voice) -> tuple[Speaker, tuple[str, ...]]:
        """The prompt of a voice. Raises ModelError for a voice without its recording."""
        if voice.recording is None:
            raise ModelError(
                f"the voice '{voice.name}' has no recording, and {self.name} continues one",
                field="timbre", value=voice.name,
                remedy="Give a recording, or make the voice with `emovoice voices make --model` and this model",
            )  # fmt: skip
        with self._lock:
            found = self._speakers.pop(voice.content_hash, None) or self._speaker(voice)
            self._speakers[voice.content_hash] = found
            while len(self._speakers) > REMEMBERED_VOICES:
                self._speakers.popitem(last=False)
        return found, ()

    def how(
        self, who: Speaker, asked: EmotionRequest, seed: int = 0, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[Manner, tuple[str, ...]]:
        """The emotion that is added to a speaker, and warnings. Raises InputError, AudioError or ModelError."""
        if asked.recording is not None:
            features, notes = prompts.emotion_features(asked.recording, self.modules.encoders, limits=limits)
            heard = self._emotion_of(features)
            return Manner(towards(who.own, heard, asked.intensity)), prefixed("emotion recording", notes)
        drawn = seed if self.options.random_rows else None
        if asked.words is None:
            weights = calibrated(asked.weights) if self.options.calibrated else asked.weights
            return Manner(weighted(self.modules.banks, who.prompt.style, weights, who.own, drawn)), ()
        of_words = partial(self._by_words, who, asked.intensity, drawn)
        if self.options.emotion_by == "sentence":
            return Manner(who.own, of_words), ()
        vector, notes = of_words(asked.words)
        return Manner(vector), notes

    def estimate_samples(self, line: Line, who: Speaker, how: Manner) -> int:
        """Roughly the free length, told by the text alone: asking the model would cost half of speaking."""
        wide = sum(ord(character) >= 0x2E80 for character in line.text if character.isalnum())
        narrow = sum(character.isalnum() for character in line.text) - wide
        speech_s = max(narrow * _SECONDS_PER_LETTER + wide * _SECONDS_PER_CHARACTER, _SHORTEST_S)
        return round((speech_s + line.lead_s + line.segment.pause_s) * RATE_HZ)

    def speak(
        self, line: Line, who: Speaker, how: Manner, *, length_samples: int | None = None, seed: int = 0
    ) -> Generator[np.ndarray, None, tuple[str, ...]]:
        """Speak a line; yields its samples, exactly `length_samples` where that is asked; returns warnings."""
        (spoken,) = self.speak_batch([Job(line, who, how, length_samples, seed)])
        yield spoken.samples
        return spoken.warnings

    # ---- from text to wave ----

    @torch.inference_mode()
    def speak_batch(self, jobs: Sequence[Job]) -> list[Spoken]:
        """Speak lines together, and their codes together with those of other threads. Codes are those that each has
        alone, but where rounding decides between two (never with the option `steady`); samples are, up to rounding.

        Raises InputError or LengthError.
        """
        manners = [job.manner.of(job.line.text.capitalize()) for job in jobs]
        lengths = [self._length(job) for job in jobs]
        written = self._codes(jobs, [vector for vector, _ in manners], lengths)
        frames = [self._frames(length, found) for length, found in zip(lengths, written, strict=True)]
        waves = self._waves(jobs, written, frames)
        done = []
        rows = zip(jobs, manners, lengths, written, waves, frames, strict=True)
        for job, (_, notes), length, found, wave, count in rows:
            samples = length.samples if length else len(wave)
            lead, tail = (round(seconds * RATE_HZ) for _, seconds in job.line.pauses)
            parts = [np.zeros(lead, np.float32), wave[:samples], np.zeros(tail, np.float32)]
            said = (*notes, *self._complaints(job, length, found, count))
            done.append(Spoken(np.concatenate(parts), tuple(found.codes.tolist()), said))
        return done

    def _length(self, job: Job) -> _Length | None:
        if job.length_samples is None:
            return None
        silence = sum(round(seconds * RATE_HZ) for _, seconds in job.line.pauses)
        samples = job.length_samples - silence
        if samples < 0:
            raise LengthError("the silences that are asked for take longer than there is time", field="duration_s",
                              value=round(job.length_samples / RATE_HZ, 3), remedy="Shorten the pauses")  # fmt: skip
        codes = max(1, round(samples / RATE_HZ * self.modules.release.codes_per_s))
        return _Length(samples, min(codes, self.sampling.max_codes))

    def _codes(
        self, jobs: Sequence[Job], vectors: Sequence[Tensor], lengths: Sequence[_Length | None]
    ) -> list[Written]:
        t2s, release, options = self.modules.t2s, self.modules.release, self.options
        steered = [length if release.length_slot else None for length in lengths]
        requests = []
        for job, vector, length in zip(jobs, vectors, steered, strict=True):
            asked = Asked(length.codes, options.slot_order) if length and options.ask_length else None
            tokens = torch.tensor(job.line.segment.ids, device=job.speaker.rows.device)
            language = release.language(job.line.segment.language)
            rows = t2s.prompt(job.speaker.rows, at(vector, job.speaker.rows), tokens, language, asked)
            target = length.target(options.length_tolerance, self.sampling.max_codes) if length else None
            requests.append(Request(rows, job.seed, target, opening=job.speaker.rows.shape[1]))
        written = write(self._decoder, requests, self.sampling)
        return [_usable(found, self.modules.codec.config.codebook_size) for found in written]

    def _frames(self, length: _Length | None, written: Written) -> int:
        """Mel frames of a line: as many as its samples need, or as its codes take."""
        if length is not None:
            return math.ceil(length.samples / self.modules.vocoder.config.hop)
        features = len(written.codes) * self.modules.release.rate_divisor
        return int(self.options.frames_per_feature * features)

    def _waves(self, jobs: Sequence[Job], written: Sequence[Written], frames: Sequence[int]) -> list[np.ndarray]:
        """Waves of frames * hop samples; silence for lines without codes or frames."""
        spoken = [i for i, (found, count) in enumerate(zip(written, frames)) if len(found.codes) and count]
        silence = [np.zeros(count * self.modules.vocoder.config.hop, np.float32) for count in frames]
        if not spoken:
            return silence
        s2m, release, options = self.modules.s2m, self.modules.release, self.options
        kept = [jobs[i].speaker.prompt for i in spoken]
        ends = [min(prompt.mel.shape[-1], round(options.prompt_s * RATE_HZ / self.modules.mel.hop)) for prompt in kept]
        contents = [release.content(self.modules, written[i].codes[None], written[i].latents[None]) for i in spoken]
        conditions = [s2m.conditions(content, frames[i])[0] for content, i in zip(contents, spoken, strict=True)]
        noises = [self._noise(jobs[i].seed, end + frames[i]) for i, end in zip(spoken, ends, strict=True)]
        mels = s2m.mel(
            [prompt.mel[0, :, :end] for prompt, end in zip(kept, ends, strict=True)],
            [prompt.condition[0, :end] for prompt, end in zip(kept, ends, strict=True)],
            conditions, torch.cat([prompt.style.to(conditions[0].device) for prompt in kept]), noises,
            options.solver_steps, options.guidance,
        )  # fmt: skip
        weight = next(self.modules.vocoder.parameters())
        for i, mel in zip(spoken, mels, strict=True):
            silence[i] = self.modules.vocoder(at(mel[None], weight))[0, 0].float().cpu().numpy()
        return silence

    def _noise(self, seed: int, frames: int) -> Tensor:
        """(M, frames) of a seed, drawn on the CPU so that it is the same on every device."""
        generator = torch.Generator().manual_seed(seed)
        bands = self.modules.s2m.config.estimator.mels
        return torch.randn(bands, frames, generator=generator).to(self.modules.mel.window.device)

    def _complaints(self, job: Job, length: _Length | None, written: Written, frames: int) -> tuple[str, ...]:
        """What is less than what was asked for."""
        shown, count = job.line.text[:40], len(written.codes)
        if written.flawed:
            return (f"'{shown}' breaks off after {count} codes: the text-to-codes model computed NaN",)
        if not count or not frames:
            return (f"nothing is said for '{shown}': the model stopped at once; another seed may help",)
        notes = []
        if not written.stopped:
            notes.append(f"'{shown}' did not come to an end within {count} codes and was cut off")
        if length is not None:
            free = self.options.frames_per_feature * count * self.modules.release.rate_divisor
            if not _GENTLE[0] <= frames / free <= _GENTLE[1]:
                notes.append(f"'{shown}' is stretched to {frames / free:.2f} of its length and may sound strained")
        return tuple(notes)

    # ---- voices and emotions ----

    @torch.inference_mode()
    def _speaker(self, voice: Voice) -> Speaker:
        assert voice.recording is not None
        made = prompts.encoded(np.array(voice.recording), voice.recording_hz, self.modules.encoders)
        t2s = self.modules.t2s
        rows = t2s.speaker(at(self.modules.release.speaker_input(made), t2s.text_embedding.weight))
        return Speaker(made, rows, self._emotion_of(made.features))

    @torch.inference_mode()
    def _emotion_of(self, features: Tensor) -> Tensor:
        """Features (1, T, F) -> emotion vector (1, C)."""
        return self.modules.t2s.emotion(at(features, self.modules.t2s.text_embedding.weight))

    def _by_words(self, who: Speaker, share: float, drawn: int | None, words: str) -> tuple[Tensor, tuple[str, ...]]:
        with self._lock:
            if self._reader is None:
                place = self.modules.placement.of("qwen")
                kinds = {"fp16": torch.float16, "bf16": torch.bfloat16}
                self._reader = EmotionReader.load(
                    self.modules.emotion_model, device=place.device, dtype=kinds.get(place.precision)
                )
            found = self._reader.read(words)
        weights = [share * weight for weight in found.weights()]
        vector = weighted(self.modules.banks, who.prompt.style, weights, who.own, drawn)
        return vector, found.warnings

    def converter(self) -> NoReturn:
        """The published models speak texts only. Raises ModelError."""
        raise ModelError("the published models do not convert recordings", field="model", value=self.name,
                         remedy="Use mini, or a model that `emovoice train` made.")

    def info(self) -> dict[str, Any]:
        """Name, parameters by part, bytes on disk, licences, placement, configuration."""
        folder, model = self.modules.folder, guess(self.modules.folder)
        files = {path.relative_to(folder).as_posix(): path.stat().st_size
                 for path in sorted(folder.rglob("*")) if path.is_file()}  # fmt: skip
        parts = {name: sum(p.numel() for p in part.parameters()) for name, part in self.modules.parts.items()}
        return {
            "model": self.name, "folder": str(folder), "sample_rate": self.sample_rate, "device": self.device,
            "parameters": parts, "bytes": files,
            "licence": {repository: licence.name for repository, licence in model.licences},
            "placement": {name: asdict(self.modules.placement.of(name)) for name in parts},
            "configuration": {"t2s": asdict(self.modules.t2s.config), "codec": asdict(self.modules.codec.config),
                              "s2mel": asdict(self.modules.s2m.config), "vocoder": asdict(self.modules.vocoder.config)},
        }  # fmt: skip


@dataclass(frozen=True)
class _Length:
    """A length that was asked for: samples of speech, and the codes they take."""

    samples: int
    codes: int

    def target(self, tolerance: float, most: int) -> LengthTarget:
        """Where the codes may end: within a share of their number, and never beyond `most`."""
        return LengthTarget(self.codes, min(round(tolerance * self.codes), self.codes - 1, most - self.codes))


def sampling_of(options: Options, most: int) -> CodeSampling:
    """How codes are drawn, at most `most` of them: the model has no positions for more."""
    return CodeSampling(
        options.sample, options.temperature, options.top_k, options.top_p, options.repetition_penalty, options.beams,
        options.length_penalty, min(options.max_codes, most), options.positions, options.penalise_prefix,
        options.allow_start,
    )  # fmt: skip


def _usable(written: Written, codes: int) -> Written:
    """Without start codes, which the published loop may draw and no decoder knows."""
    known = written.codes < codes
    if bool(known.all()):
        return written
    return replace(written, codes=written.codes[known], latents=written.latents[known])


