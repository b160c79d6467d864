"""One sentence through the modules: phonemes -> codes, pitch and level -> mel -> wave. Numpy outside, torch inside."""
from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ar_tts.decoding import FREE_LENGTH, Step, decode, use_bytes
from ar_tts.kernels import network
from emovoice import bundle as bundles
from emovoice.encoder.melody import CODE_SAMPLES, RATE_HZ, bin_to_level, bin_to_pitch, scaled_level
from emovoice.encoder.phones import classes_of_text, heard
from emovoice.encoder.phones import windows as windows_of
from emovoice.errors import ModelError
from emovoice.pipelines import VectorPipeline
from emovoice.rendering import FRAMES_PER_CODE, Renderer
from emovoice.text import Sentence
from emovoice.text.symbols import CONSONANTS, START, STOP, VOWELS, encode
from emovoice.timing import allot

if TYPE_CHECKING:
    from emovoice.conversion.converter import Converter
    from emovoice.voice import Accent

HOP = 256
LICENCE = "Apache-2.0"
_LONGEST_REFERENCE_S = 15
_SHORTEST_CODES = 4
_LEAD_IN_CODES = 2
_TAIL_CODES = 4  # of the silence that ends a text: 0.16 s are kept, the time is for speech
_SILENT_DB = -55.0
_SOUNDS = frozenset(VOWELS + CONSONANTS)
_SILENT_STEP = Step(0, 0, 0, 0)  # what is spoken where the model says nothing


@dataclass(frozen=True)
class Part:
    """A stretch of a sentence between pauses: its phonemes, and the silence after it in samples."""

    phonemes: str
    pause_samples: int


def parts_of(sentence: Sentence) -> list[Part]:
    """Cut a sentence after the phonemes that a pause follows.

    A pause before the first sound gives a part without phonemes; punctuation by itself stays with what it follows.
    """
    ends = [(index + 1, round(seconds * RATE_HZ)) for index, seconds in sorted(sentence.pauses)]
    parts: list[Part] = []
    start = 0
    for end, pause in [*ends, (len(sentence.phonemes), 0)]:
        cut = sentence.phonemes[start:end].strip()
        start = end
        if not _SOUNDS.isdisjoint(cut):
            parts.append(Part(cut, pause))
        elif parts and parts[-1].phonemes:
            parts[-1] = Part(parts[-1].phonemes + cut, parts[-1].pause_samples + pause)
        elif pause:
            parts.append(Part("", pause))
    return parts if any(part.phonemes for part in parts) else [Part(sentence.phonemes, sum(p for _, p in ends))]


def _without_tail(steps: Iterable[Step]) -> Iterator[Step]:
    """Steps up to a short silence after the last sound; all of them where nothing sounds, and at least one."""
    silence: list[Step] = []
    sounds = False
    for step in steps:
        silence.append(step)
        if bin_to_level(np.array(step.level)) > _SILENT_DB:
            yield from silence
            silence, sounds = [], True
    yield from silence[:_TAIL_CODES] if sounds else silence or [_SILENT_STEP]


class Pipeline(VectorPipeline):
    """The modules of one bundle, loaded. Methods keep no state: equal arguments give equal samples."""

    sample_rate = RATE_HZ

    def __init__(self, bundle: bundles.Bundle, name: str, device: str) -> None:
        self.bundle, self.name, self.device = bundle, name, torch.device(device)

    @classmethod
    def load(cls, model: str = "mini", device: str = "cpu") -> Pipeline:
        """Load an embedded model by name or a bundle by path. Raises ModelError, also for an unknown device."""
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:  # AssertionError: a build of torch without CUDA
            reason = str(error).splitlines()[0]
            raise ModelError(f"this device cannot be used: {reason}", field="device", value=device,
                             remedy="Use cpu, or cuda where there is one") from error
        return cls(bundles.load(model, device), model, device)

    def prepare(self, in_bytes: bool = False) -> None:
        """Compile the text-to-codes network, which takes seconds once after an installation.

        in_bytes: keep 8 bits of each of its weights, which is faster and writes other codes.
        """
        if self.device.type == "cpu":
            network.start()
        use_bytes(self.bundle.t2s, in_bytes)

    def read(self, text: str, accent: Accent) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        """The sentences of a text, and warnings. Raises InputError."""
        if self.device.type == "cpu":
            network.begin()  # meanwhile, because somebody wants to speak
        return super().read(text, accent)

    @torch.inference_mode()
    def embed(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) float32 mono at 24 kHz, the first 15 s of it -> timbre (192,), emotion (256,)."""
        usable = min(len(samples), _LONGEST_REFERENCE_S * RATE_HZ) // CODE_SAMPLES * CODE_SAMPLES
        wave = torch.from_numpy(np.ascontiguousarray(samples[:usable], np.float32))[None].to(self.device)
        timbre, emotion = self.bundle.reference(self.bundle.front(wave))
        return timbre[0].cpu().numpy(), emotion[0].cpu().numpy()

    def emotion_vector(self, weights: Sequence[float]) -> np.ndarray:
        """Eight weights in 0..1 -> (256,): the neutral point plus the weighted directions."""
        return self.bundle.space.at(weights)

    def estimate_samples(self, sentence: Sentence, timbre: np.ndarray, emotion: np.ndarray) -> int:
        """Free length: what the text-to-codes model says by itself, a twentieth of the cost of speaking."""
        total = 0
        for part in parts_of(sentence):
            total += part.pause_samples
            if part.phonemes:
                total += len(self._codes(part.phonemes, timbre, emotion, FREE_LENGTH, 0)) * CODE_SAMPLES
        return total

    def speak(self, sentence: Sentence, timbre: np.ndarray, emotion: np.ndarray, *, length_samples: int | None = None,
              seed: int = 0) -> Iterator[np.ndarray]:
        """Speak a sentence; yields float32 chunks that add up to exactly `length_samples` where that is asked.

        The pauses are part of that length and keep theirs, so it must not be shorter than they are.
        """
        parts = parts_of(sentence)
        lengths: Sequence[int | None] = [None] * len(parts)
        if length_samples is not None:
            lengths = self._shares(parts, timbre, emotion, length_samples)
        for i, (part, length) in enumerate(zip(parts, lengths, strict=True)):
            if part.phonemes and length != 0:
                yield from self._speak_part(part.phonemes, timbre, emotion, length, seed + i)
            if part.pause_samples:
                yield np.zeros(part.pause_samples, np.float32)

    def _shares(self, parts: list[Part], timbre: np.ndarray, emotion: np.ndarray, length: int) -> list[int]:
        """Split the asked length, less the pauses, among the spoken parts as their free lengths are."""
        spoken = max(length - sum(p.pause_samples for p in parts), 0)
        free = [max(len(self._codes(p.phonemes, timbre, emotion, FREE_LENGTH, 0)), 1) if p.phonemes else 0
                for p in parts]
        return allot(spoken, free)

    def _codes(self, phonemes: str, timbre: np.ndarray, emotion: np.ndarray, length: int, seed: int) -> list[Step]:
        """Steps of the text, about `length` of them where that is not FREE_LENGTH, without a long silence at the end.

        A speaker who is asked for a length puts a part of it into that silence; a second reading gives it to speech.
        """
        asked = length + _LEAD_IN_CODES if length and self.bundle.config.lead_in else length
        steps = list(self._written(phonemes, timbre, emotion, asked, seed))
        if length and len(steps) < length:
            steps = list(self._written(phonemes, timbre, emotion, asked + length - len(steps), seed))
        return steps

    def _written(self, phonemes: str, timbre: np.ndarray, emotion: np.ndarray, asked: int, seed: int) -> Iterator[Step]:
        """Steps as they are written."""
        text = torch.tensor([[START, *encode(self.bundle.config.lead_in + phonemes), STOP]], device=self.device)
        who, how = (torch.from_numpy(v)[None].to(self.device) for v in (timbre, emotion))
        try:
            yield from _without_tail(self._after_lead_in(decode(self.bundle.t2s, who, how, text, asked, seed)))
        except FloatingPointError as error:
            raise ModelError(str(error), field="model", value=self.name,
                             remedy="Take another voice, or train or load the model again") from error

    def _after_lead_in(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Without the bundle's lead-in, but for its last step, where speech may set in."""
        first = len(self.bundle.config.lead_in)
        return (replace(s, pointer=max(s.pointer - first, 0)) for s in steps if s.pointer >= first)

    @torch.inference_mode()
    def _speak_part(self, phonemes: str, timbre: np.ndarray, emotion: np.ndarray, length: int | None,
                    seed: int) -> Iterator[np.ndarray]:
        """Sound as soon as its codes are known; where a length is asked, all of them have to be."""
        steps: Iterable[Step]
        if length is None:
            steps, ratio = self._written(phonemes, timbre, emotion, FREE_LENGTH, seed), FRAMES_PER_CODE
        else:
            asked = max(round(length / CODE_SAMPLES), _SHORTEST_CODES)
            steps = self._codes(phonemes, timbre, emotion, asked, seed)
            ratio = math.ceil(length / HOP) / len(steps)
        classes = classes_of_text(np.array([START, *encode(phonemes), STOP]))
        renderer = self._renderer(classes, timbre, emotion, ratio, seed)
        given = 0
        for chunk in renderer.chunks(steps):
            yield chunk if length is None else chunk[: length - given]
            given += len(chunk)

    def _renderer(self, classes: np.ndarray, timbre: np.ndarray, emotion: np.ndarray, ratio: float,
                  seed: int) -> Renderer[Step]:
        """`classes` are the phones of the text."""
        style = torch.from_numpy(np.concatenate([timbre, emotion]))[None].to(self.device)
        return Renderer(self.bundle.vocoder, lambda steps, frames: self._mel(steps, classes, style, frames, seed),
                        lambda steps: bin_to_pitch(np.array([step.pitch for step in steps])), ratio)

    def _mel(self, steps: Sequence[Step], classes: np.ndarray, style: torch.Tensor, frames: int,
             seed: int) -> torch.Tensor:
        """Log-mel (1, M, frames) of steps that read `classes`. The length regulator takes what their count is off."""
        config, flow = self.bundle.config, self.bundle.flow
        pitch = bin_to_pitch(np.array([s.pitch for s in steps]))
        level = scaled_level(bin_to_level(np.array([s.level for s in steps])))
        codes = torch.tensor([[s.code for s in steps]], device=self.device)
        pitch_hz, loudness = (torch.from_numpy(v).float()[None].to(self.device) for v in (pitch, level))
        phones = torch.from_numpy(windows_of(classes, np.array([s.pointer for s in steps])))[None].to(self.device)
        content = flow.length_regulator(codes, pitch_hz, loudness, phones, frames)
        shape = (1, config.flow.estimator.mels, frames)
        noise = config.noise * torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(self.device)
        guess = None
        if self.bundle.prior is not None:
            guess = self.bundle.prior(codes, pitch_hz, loudness, phones, style, frames)
        return flow.sample(content, style, noise, config.solver_steps, config.guidance, guess=guess)

    @torch.inference_mode()
    def resynthesise(self, samples: np.ndarray) -> np.ndarray:
        """Wave -> codes, pitch, level, timbre, emotion -> wave (n // 960 * 960,): what is kept of a recording."""
        from emovoice.encoder.melody import level_of, level_to_bin

        usable = len(samples) // CODE_SAMPLES * CODE_SAMPLES
        wave = np.ascontiguousarray(samples[:usable], np.float32)
        timbre, emotion = self.embed(wave)
        tokens = self.bundle.tokenizer(self.bundle.front(torch.from_numpy(wave)[None].to(self.device)))
        pitch = tokens.pitch_logits[0].argmax(-1).tolist()
        levels = level_to_bin(level_of(wave)).tolist()
        classes, pointer = heard(tokens.phone_logits[0].argmax(-1).cpu().numpy())
        read = zip(tokens.codes[0].tolist(), pitch, levels, pointer.tolist(), strict=True)
        steps = [Step(*step) for step in read]
        ratio = math.ceil(usable / HOP) / len(steps)
        return np.concatenate(list(self._renderer(classes, timbre, emotion, ratio, 0).chunks(steps)))[:usable]

    def converter(self) -> Converter:
        """The networks for conversion. Raises ModelError where this model comes without."""
        from emovoice.conversion.converter import Converter

        return Converter(self.bundle, self.device, self.name)

    def info(self) -> dict[str, Any]:
        """Name, parameters by part, bytes on disk, licence, configuration."""
        folder = bundles.find(self.name)
        files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
        parts = {name: sum(p.numel() for p in part.parameters()) for name, part in self.bundle.parts.items()}
        return {"model": self.name, "sample_rate": self.sample_rate, "device": str(self.device), "parameters": parts,
                "bytes": files, "licence": LICENCE if self.name in bundles.EMBEDDED else "as its maker says",
                "configuration": asdict(self.bundle.config)}
