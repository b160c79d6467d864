"""BigVGAN: lengths, its filters, and that fusing changes nothing. Its numbers are in tests/testing."""

from __future__ import annotations

import pytest
import torch

from vocoders.bigvgan import Activation, BigVgan, BigVganConfig, Lowpass, Upsample, lowpass
from vocoders.mel import LogMel, bigvgan_front_end, mel_filters

SMALL = BigVganConfig(num_mels=8, upsample_initial_channel=16, upsample_rates=(4, 2), upsample_kernel_sizes=(8, 4),
                      resblock_kernel_sizes=(3, 5), resblock_dilation_sizes=((1, 3), (1, 3)))  # fmt: skip


def small() -> BigVgan:
    torch.manual_seed(0)
    return BigVgan(SMALL).eval()


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_whole_frames_within_full_scale(frames: int) -> None:
    wave = small()(50 * torch.randn(2, 8, frames))
    assert wave.shape == (2, 1, frames * SMALL.hop) and wave.abs().max() <= 1


def test_rows_do_not_mix() -> None:
    mel = torch.randn(3, 8, 7)
    assert torch.allclose(small()(mel)[1:2], small()(mel[1:2]), atol=1e-6)


def test_fused_weights_compute_the_same() -> None:
    model, mel = small(), torch.randn(1, 8, 5)
    before = model(mel)
    model.fuse()
    assert torch.equal(model(mel), before) and not any(name.endswith("weight_g") for name in model.state_dict())


def test_the_filter_is_symmetric_and_keeps_a_constant() -> None:
    taps = lowpass()[0, 0]
    assert torch.allclose(taps, taps.flip(0), atol=1e-7) and taps.sum() == pytest.approx(1)
    response = torch.fft.rfft(taps, 512).abs()
    assert response[: 64].min() > 0.9 and response[-32:].max() < 0.05


def test_up_and_down_again_is_nearly_the_same_wave() -> None:
    wave = torch.sin(2 * torch.pi * 0.05 * torch.arange(200))[None, None].repeat(1, 3, 1)
    assert torch.allclose(Lowpass()(Upsample()(wave)), wave, atol=0.02)
    constant = torch.full((1, 2, 40), 0.3)
    assert torch.allclose(Lowpass()(Upsample()(constant)), constant, atol=1e-5)


def test_an_activation_makes_less_alias_than_without_the_filters() -> None:
    """The square of a tone at 0.35 of the rate lies at 0.7 and folds back to 0.3 where nothing is filtered; twelve
    taps are a gentle filter."""
    activation = Activation(1)
    torch.nn.init.constant_(activation.act.alpha, 0.5)
    wave = torch.sin(2 * torch.pi * 0.35 * torch.arange(400))[None, None]
    with torch.no_grad():
        folded = [torch.fft.rfft(y[0, 0, 100:300]).abs()[60] for y in (activation(wave), activation.act(wave))]
    assert folded[0] < 0.35 * folded[1]


def test_published_front_end_gives_86_frames_a_second() -> None:
    front = bigvgan_front_end()
    assert front(torch.randn(1, 22_050)).shape == (1, 80, 86)
    assert front(torch.randn(1, 15 * 22_050)).shape[-1] == 1291


def test_slaney_filters_have_equal_areas_and_htk_equal_heights() -> None:
    slaney, htk = mel_filters(22_050, 1024, 80, scale="slaney"), mel_filters(22_050, 1024, 80)
    areas = slaney[30:].sum(1) * 22_050 / 1024
    assert abs(areas - 1).max() < 0.1 and htk[30:].max(1).min() > 0.7
    assert (slaney.sum(1) > 0).all()


def test_edges_are_mirrored_only_where_asked() -> None:
    wave = torch.ones(1, 2560)
    plain, mirrored = (LogMel(reflect=reflect)(wave)[0, 0] for reflect in (False, True))
    assert mirrored[0] == pytest.approx(float(mirrored[5]), abs=1e-3) and abs(plain[0] - plain[5]) > 0.02
