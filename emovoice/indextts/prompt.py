"""From a recording to all that the published pipeline takes from it: of who shall speak, and of how.

The published pipeline gets to 16 kHz in two ways, and the features differ a little: a speaker prompt by way of
22.05 kHz (first as librosa does it, then as torchaudio does), an emotion prompt at once. Of either, 15 s count.
Shapes: n samples, T feature frames at 50 Hz, F mel frames at 86.13 Hz.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffusion.s2m import SemanticToMel
from emovoice import waveform
from emovoice.audio import SHORTEST_S, Source, complaints, read_frames
from emovoice.encoder.campplus import CampPlus, fbank
from emovoice.encoder.semantic_codec import SemanticCodec
from emovoice.encoder.w2v_bert import SemanticFeatures
from emovoice.errors import AudioError
from emovoice.limits import DEFAULT_LIMITS, Limits
from vocoders.mel import LogMel

MEL_RATE_HZ, FEATURE_RATE_HZ = 22_050, 16_000
USED_S = 15.0


@dataclass(frozen=True, eq=False)
class PromptEncoders:
    """The modules a prompt goes through, each where its weights are.

    `codec` quantises the features before they become the prompt's condition, as IndexTTS-2 does; None leaves them as
    they are, as IndexTTS-2.5 does.
    """

    features: SemanticFeatures
    speaker: CampPlus
    s2m: SemanticToMel
    mel: LogMel
    codec: SemanticCodec | None


@dataclass(frozen=True, eq=False)
class SpeakerPrompt:
    """What is kept of a speaker prompt.

    Attributes:
        features: (1, T, 1024) standardised w2v-BERT features, for the text-to-codes model.
        style: (1, 192) CAM++ embedding.
        mel: (1, 80, F) log-mel that the flow continues.
        condition: (1, F, 512) content of these frames.
        warnings: what was done to the recording or is wrong with it.
    """

    features: Tensor
    style: Tensor
    mel: Tensor
    condition: Tensor
    warnings: tuple[str, ...] = ()


def speaker_prompt(source: Source, encoders: PromptEncoders, *, limits: Limits = DEFAULT_LIMITS) -> SpeakerPrompt:
    """All that is needed of the recording of a speaker. Raises AudioError."""
    samples, rate, notes = read_prompt(source, limits=limits)
    return encoded(samples, rate, encoders, notes)


@torch.inference_mode()
def encoded(samples: np.ndarray, rate: int, encoders: PromptEncoders, notes: tuple[str, ...] = ()) -> SpeakerPrompt:
    """Of samples (n,) that `read_prompt` has looked at."""
    wave_22k, wave_16k = speaker_waves(samples, rate)
    features = encoders.features(wave_16k)
    content = features if encoders.codec is None else encoders.codec.quantise(_at(features, encoders.codec))[1]
    mel = encoders.mel(wave_22k[None].to(encoders.mel.window.device))
    condition = encoders.s2m.conditions(_at(content, encoders.s2m), mel.shape[-1])
    return SpeakerPrompt(features, style_of(wave_16k, encoders.speaker), mel, condition, notes)


@torch.inference_mode()
def style_of(wave_16k: Tensor, speaker: CampPlus) -> Tensor:
    """(n,) at 16 kHz -> (1, 192) CAM++ embedding."""
    return speaker(_at(fbank(wave_16k)[None], speaker))


@torch.inference_mode()
def emotion_features(source: Source, encoders: PromptEncoders, *,
                     limits: Limits = DEFAULT_LIMITS) -> tuple[Tensor, tuple[str, ...]]:
    """Features (1, T, 1024) of a recording whose emotion is wanted, and warnings. Raises AudioError."""
    samples, rate, notes = read_prompt(source, limits=limits)
    return encoders.features(emotion_wave(samples, rate)), notes


def read_prompt(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """Mono samples (n,) at their own rate, the rate in Hz, warnings. Not trimmed and not cut.

    Raises:
        AudioError: not readable, longer than the limits, shorter than 0.5 s, silent, or samples that are not numbers.
    """
    frames, rate, notes = read_frames(source, limits=limits)
    waveform.check_finite(frames)
    length_s = len(frames) / rate
    if length_s < SHORTEST_S:
        raise AudioError("the recording is too short", field="seconds", value=round(length_s, 3),
                         remedy=f"At least {SHORTEST_S} s are needed; 5 to 15 s of speech are best.")
    samples, mixing = waveform.to_mono(frames)
    if not waveform.speech_frames(samples[: math.ceil(USED_S * rate)], rate).any():
        raise AudioError("the recording is silent", remedy=f"Someone has to speak in its first {USED_S:.0f} s.")
    found = [*notes, *complaints(frames, rate), *mixing]
    if length_s > USED_S:
        found.append(f"of {length_s:.1f} s the first {USED_S:.0f} s were used")
    return samples / max(1.0, waveform.peak(samples)), rate, tuple(found)


def speaker_waves(samples: np.ndarray, rate: int) -> tuple[Tensor, Tensor]:
    """(n,) at `rate` -> (n1,) at 22.05 kHz for the mel, (n2,) at 16 kHz made of it; at most 15 s."""
    from torchaudio.functional import resample

    wave = _resampled(samples, rate, MEL_RATE_HZ)
    return wave, resample(wave, MEL_RATE_HZ, FEATURE_RATE_HZ)


def emotion_wave(samples: np.ndarray, rate: int) -> Tensor:
    """(n,) at `rate` -> (n2,) at 16 kHz, at most 15 s."""
    return _resampled(samples, rate, FEATURE_RATE_HZ)


def _resampled(samples: np.ndarray, rate: int, target_hz: int) -> Tensor:
    """The first 15 s at another rate, as many samples as librosa makes of them: rounded up."""
    wave = waveform.resample(samples, rate, target_hz)
    length = math.ceil(len(samples) * target_hz / rate)
    wave = np.pad(wave[:length], (0, max(0, length - len(wave))))
    return torch.from_numpy(np.ascontiguousarray(wave[: int(USED_S * target_hz)], np.float32))


def _at(tensor: Tensor, module: torch.nn.Module) -> Tensor:
    """`tensor` where the weights of `module` are, in their precision."""
    weight = next(module.parameters())
    return tensor.to(weight.device, weight.dtype)
