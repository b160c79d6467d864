"""Mel front end and vocoder: n samples, n // hop frames, n // hop * hop samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vocoders.harmonic import CLASSES, HIGH_HZ, LOW_HZ, pitch_loss, pitch_of, pulses
from vocoders.mel import FLOOR, LogMel, mel_filters
from vocoders.vocos import Vocoder, VocosConfig


@pytest.mark.parametrize(("samples", "hop"), [(2560, 256), (2559, 256), (2400, 240), (24_000, 240)])
def test_frames_tile_the_wave(samples: int, hop: int) -> None:
    assert LogMel(hop=hop)(torch.randn(2, samples)).shape == (2, 100, samples // hop)


def test_a_tone_lights_its_band_and_doubling_adds_log_two() -> None:
    tone = 0.1 * torch.sin(2 * torch.pi * 1000 * torch.arange(24_000) / 24_000)[None]
    mel = LogMel()(tone)[0, :, 40]
    centre = mel_filters(24_000, 1024, 100)[int(mel.argmax())].argmax() * 24_000 / 1024
    assert abs(centre - 1000) < 50
    louder = LogMel()(2 * tone)[0, :, 40]
    assert torch.allclose((louder - mel)[mel > -3], torch.tensor(np.log(2)).float(), atol=1e-3)


def test_silence_is_the_floor() -> None:
    assert torch.allclose(LogMel()(torch.zeros(1, 2560)), torch.tensor(np.log(FLOOR)).float())


def test_every_filter_has_weight() -> None:
    assert (mel_filters(24_000, 1024, 80).sum(1) > 0).all()


def test_vocoder_gives_whole_frames() -> None:
    vocoder = Vocoder(VocosConfig(dim=16, intermediate_dim=32, layers=1)).eval()
    for frames in (1, 2, 9):
        assert vocoder(torch.randn(2, 100, frames)).shape == (2, frames * 256)


@pytest.mark.parametrize("pitch_hz", [60.0, 117.3, 400.0])
def test_pulses_are_all_harmonics_at_amplitude_one(pitch_hz: float) -> None:
    track = torch.full((1, 94), pitch_hz)
    pitch_hz = track[0, 0].item()  # as a float32 says it
    wave = pulses(track, 256, 24_000)[0, :24_000].double()
    seconds = (1 + torch.arange(24_000)).double() / 24_000
    highest = int(12_000 // pitch_hz)
    sum_of_cosines = sum(torch.cos(2 * torch.pi * k * pitch_hz * seconds) for k in range(1, highest + 1))
    assert torch.allclose(wave, sum_of_cosines, atol=0.05)


def test_pulses_follow_a_glide_without_a_jump_in_phase() -> None:
    glide = torch.linspace(100, 200, 94)[None]
    wave = pulses(glide, 256, 24_000)[0]
    peaks = torch.nonzero((wave[1:-1] > wave[:-2]) & (wave[1:-1] > wave[2:]) & (wave[1:-1] > 30))[:, 0]
    periods = torch.diff(peaks)
    assert (torch.diff(periods) <= 1).all() and periods[0] > 230 and periods[-1] < 125


def test_pitch_head_can_say_every_pitch() -> None:
    wanted = torch.tensor([[50.0, 81.3, 222.2, 650.0]])
    place = torch.log(wanted / LOW_HZ) / np.log(HIGH_HZ / LOW_HZ) * (CLASSES - 1)
    logits = -((torch.arange(CLASSES)[None, :, None] - place[:, None]) ** 2)
    assert torch.allclose(pitch_of(logits)[:, 1:3], wanted[:, 1:3], rtol=0.002)
    assert torch.allclose(pitch_of(logits), wanted, rtol=0.02), "the ends have neighbours on one side only"


def test_a_known_melody_keeps_the_pitch_from_jumping_an_octave() -> None:
    place = torch.log(torch.tensor([220.0, 110.0]) / LOW_HZ) / np.log(HIGH_HZ / LOW_HZ) * (CLASSES - 1)
    bells = -((torch.arange(CLASSES)[:, None] - place) ** 2)
    logits = torch.stack([bells[:, 0], bells[:, 1] - 1]).amax(0)[None, :, None].repeat(1, 1, 3)
    heard = pitch_of(logits, torch.tensor([[0.0, 115.0, 230.0]]))[0]
    assert torch.allclose(heard, torch.tensor([220.0, 110.0, 220.0]), rtol=0.01)


def test_pitch_loss_is_least_at_the_truth_and_blind_to_silence() -> None:
    truth = torch.tensor([[100.0, 0.0, 300.0]])
    logits = torch.randn(1, CLASSES, 3, generator=torch.Generator().manual_seed(0))
    other = logits.clone()
    other[..., 1] += torch.randn(CLASSES)
    assert pitch_loss(logits, truth) == pitch_loss(other, truth)
    place = torch.log(truth.clamp(min=LOW_HZ) / LOW_HZ) / np.log(HIGH_HZ / LOW_HZ) * (CLASSES - 1)
    right = -((torch.arange(CLASSES)[None, :, None] - place[:, None]) ** 2)
    assert pitch_loss(right, truth) < pitch_loss(logits, truth)


def test_a_batch_is_its_rows_and_the_wave_has_the_asked_pitch() -> None:
    torch.manual_seed(0)
    vocoder = Vocoder(VocosConfig(dim=16, intermediate_dim=32, layers=1)).eval()
    mel = torch.randn(3, 100, 40)
    with torch.inference_mode():
        together = vocoder(mel)
        alone = torch.cat([vocoder(row[None]) for row in mel])
        # The last bit of a pitch turns the highest harmonics by hundredths of a radian within a second.
        assert (together - alone).norm() < 1e-3 * alone.norm()
        vocoder.filters.weight.zero_()
        vocoder.filters.bias[2 * 513 :] = -9.0  # pulses alone
        vocoder.head.out.bias[:513] = -9.0
        vocoder.head.out.weight.zero_()
        wave = vocoder(mel[:1], torch.full((1, 40), 200.0))[0, 2048:-2048]
    spectrum = torch.fft.rfft(wave * torch.hann_window(len(wave))).abs()
    peak_hz = (spectrum[:80].argmax() * 24_000 / len(wave)).item()
    assert abs(peak_hz - 200) < 6


def test_without_a_source_it_is_the_library_s_vocoder() -> None:
    vocoder = Vocoder(VocosConfig(dim=16, intermediate_dim=32, layers=1, source=False)).eval()
    assert not any(name.startswith(("pitch", "filters")) for name in vocoder.state_dict())
    mel = torch.randn(1, 100, 9)
    assert torch.equal(vocoder(mel), vocoder.head(vocoder.backbone(mel)))


def test_hush_takes_noise_back_where_pulses_are_louder_and_nowhere_else() -> None:
    torch.manual_seed(0)
    loud, hushed = (
        Vocoder(VocosConfig(dim=16, intermediate_dim=32, layers=1, hush=hush)).eval() for hush in (0.0, 1.5)
    )
    hushed.load_state_dict(loud.state_dict())
    mel, pitch_hz = torch.randn(1, 100, 40), torch.full((1, 40), 200.0)
    bins = 513
    with torch.inference_mode():
        for voice, breath, factor in ((1.0, -3.0, np.exp(-1.5)), (-6.0, 1.0, 1.0)):
            for vocoder in (loud, hushed):
                vocoder.filters.weight.zero_()
                vocoder.filters.bias.zero_()
                vocoder.filters.bias[:bins], vocoder.filters.bias[2 * bins :] = voice, breath
                vocoder.head.out.weight.zero_()
                vocoder.head.out.bias[:bins] = -20.0
            silent = loud.filters.bias.clone()
            noise = []
            for vocoder in (loud, hushed):
                whole = vocoder(mel, pitch_hz)
                vocoder.filters.bias[2 * bins :] = -50.0
                noise.append(whole - vocoder(mel, pitch_hz))
                vocoder.filters.bias.copy_(silent)
            assert float(noise[1].norm() / noise[0].norm()) == pytest.approx(float(factor), rel=0.02)
