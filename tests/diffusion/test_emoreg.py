"""The score network: both shapes, what it is told matters, guidance, loss, and the way to noise and back."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffusion.emoreg import Comb, EmoReg, EmoRegConfig, Known, stacked
from diffusion.schedule import Schedule

SMALL = EmoRegConfig(mels=12, dim=16, depth=3, conditions=8, timbre_dim=4, emotion_dim=6, phones=5, mults=(1, 2))
KINDS = [SMALL, replace(SMALL, network="unet", dim=8)]


def model(config: EmoRegConfig = SMALL) -> EmoReg:
    torch.manual_seed(0)
    made = EmoReg(config).eval()
    made.means.copy_(torch.randn(5, 12) - 5)
    return made


def known(net: EmoReg, batch: int = 2, frames: int = 21, moving: bool = False) -> Known:
    draw = torch.Generator().manual_seed(1)
    posteriors = torch.randn(batch, frames, 5, generator=draw).softmax(-1)
    emotion = torch.randn(batch, frames if moving else 1, 6, generator=draw)
    timbre = torch.nn.functional.normalize(torch.randn(batch, 4, generator=draw), dim=-1)
    pitch = 100 + 200 * torch.rand(batch, frames, generator=draw)
    pitch[:, ::5] = 0
    return Known(net.content(posteriors), pitch, torch.rand(batch, frames, generator=draw), timbre, emotion)


def noise(frames: int = 21, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 12, frames, generator=torch.Generator().manual_seed(2))


def test_diffvc_is_reachable() -> None:
    with torch.device("meta"):
        big = EmoReg(EmoRegConfig(mels=80, network="unet", dim=256, conditions=128))
    parameters = sum(p.numel() for p in big.parameters()) / 1e6
    assert 110 < parameters < 120, "118 M with DiffVC's own encoder of references"


def test_the_shipped_one_is_small() -> None:
    parameters = sum(p.numel() for p in EmoReg(EmoRegConfig()).parameters())
    assert 2 * parameters < 20e6, "bytes in half precision"


@pytest.mark.parametrize("config", KINDS)
@pytest.mark.parametrize("frames", [1, 21, 32])
def test_any_number_of_frames(config: EmoRegConfig, frames: int) -> None:
    net = model(config)
    mel = net.sample(known(net, frames=frames), noise(frames), steps=2)
    assert mel.shape == (2, 12, frames) and torch.isfinite(mel).all()


@pytest.mark.parametrize("config", KINDS)
@pytest.mark.parametrize("part", ["mean", "pitch_hz", "level", "timbre", "emotion"])
def test_everything_it_is_told_matters(config: EmoRegConfig, part: str) -> None:
    net = model(config)
    told = known(net)
    other = replace(told, **{part: getattr(told, part).flip(0) + 0.1})
    assert not torch.allclose(net.network(noise(), torch.full((2,), 0.5), told),
                              net.network(noise(), torch.full((2,), 0.5), other), atol=1e-4)


@pytest.mark.parametrize("config", KINDS)
def test_an_emotion_that_stays_may_be_given_once_or_for_every_frame(config: EmoRegConfig) -> None:
    net = model(config)
    once = known(net)
    often = replace(once, emotion=once.emotion.expand(-1, 21, -1))
    assert torch.allclose(net.sample(once, noise(), steps=2), net.sample(often, noise(), steps=2), atol=1e-4)


def test_an_emotion_that_moves_is_heard_where_it_moves() -> None:
    net = model()
    still = known(net, frames=60, moving=True)
    still = replace(still, emotion=still.emotion[:, :1].expand(-1, 60, -1))
    late = still.emotion.clone()
    late[:, 50:] += 1
    t = torch.full((2,), 0.5)
    difference = (net.network(noise(60), t, still) - net.network(noise(60), t, replace(still, emotion=late))).abs()
    assert difference[..., :20].max() < 1e-5 < difference[..., 50:].max()


def test_a_row_of_a_batch_is_what_it_is_alone() -> None:
    net = model()
    told = known(net)
    alone = [Known(*(getattr(told, name)[i : i + 1] for name in ("mean", "pitch_hz", "level", "timbre", "emotion")))
             for i in range(2)]
    assert torch.allclose(stacked(*alone).mean, told.mean)
    both = net.sample(told, noise(), steps=3)
    assert torch.allclose(both[1:], net.sample(alone[1], noise()[1:], steps=3), atol=1e-4)


def test_guidance_of_one_changes_nothing_and_others_do() -> None:
    net = model()
    told = known(net)
    plain = net.estimate(noise(), 0.5, told)
    by_hand = {}
    for name, hidden in (("none", {"timbre": True, "emotion": True}), ("timbre", {"emotion": True}), ("both", {})):
        by_hand[name] = net.estimate(noise(), 0.5, told.without(**hidden))
    assert torch.equal(plain, by_hand["both"])
    for of_timbre, of_emotion in ((1.0, 2.0), (1.5, 1.0), (0.5, 3.0)):
        expected = (by_hand["none"] + of_timbre * (by_hand["timbre"] - by_hand["none"])
                    + of_emotion * (by_hand["both"] - by_hand["timbre"]))
        assert torch.allclose(net.estimate(noise(), 0.5, told, (of_timbre, of_emotion)), expected, atol=1e-4)


def test_content_is_the_mean_of_the_phone_and_in_doubt_a_mixture() -> None:
    net = model()
    certain = torch.eye(5)[None, [0, 3]]
    assert torch.allclose(net.denormalise(net.content(certain))[0].T, net.means[[0, 3]], atol=1e-5)
    doubt = torch.tensor([[[0.5, 0, 0, 0.5, 0]]])
    assert torch.allclose(net.denormalise(net.content(doubt))[0, :, 0], net.means[[0, 3]].mean(0), atol=1e-5)


def test_loss_is_nothing_for_who_knows_and_counts_only_frames_of_the_mask() -> None:
    net = model()
    told = known(net)
    mel = torch.randn(2, 12, 21) - 5
    mask = torch.ones(2, 21, dtype=torch.bool)
    mask[1, 10:] = False
    y0 = net.normalise(mel) - told.mean

    class Oracle(torch.nn.Module):
        """Solves y = alpha y_0 + sigma eps for v, but for frames outside the mask, where it is far off."""

        def forward(self, x: torch.Tensor, t: torch.Tensor, given: Known) -> torch.Tensor:
            alpha, sigma = Schedule().marginal(t)
            eps = (x - given.mean - alpha * y0) / sigma
            return alpha * eps - sigma * y0 + 99 * ~mask[:, None]

    net.network = Oracle()
    losses = net.loss(mel, told, mask)
    assert set(losses) == {"score", "mel"} and all(float(loss) < 1e-3 for loss in losses.values())


def test_timbre_and_emotion_are_hidden_each_by_itself() -> None:
    net = EmoReg(replace(SMALL, drop_timbre=0.3, drop_emotion=0.6))
    told = known(net, batch=4000, frames=1)
    hidden = net._with_some_hidden(told)
    timbre, emotion = (hidden.timbre == 0).all(-1), (hidden.emotion == 0).all(-1)[:, 0]
    assert float(timbre.float().mean()) == pytest.approx(0.3, abs=0.03)
    assert float(emotion.float().mean()) == pytest.approx(0.6, abs=0.03)
    assert float((timbre & emotion).float().mean()) == pytest.approx(0.18, abs=0.03)


@pytest.mark.parametrize("config", KINDS)
def test_loss_falls_on_one_batch(config: EmoRegConfig) -> None:
    net = model(config).train()
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    told, mask = known(net, 8, 8), torch.ones(8, 8, dtype=torch.bool)
    mel = net.denormalise(told.mean + 2 * torch.sin(torch.arange(8) / 3)).detach()
    losses = []
    for _ in range(40):
        loss = torch.stack(list(net.loss(mel, told, mask).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_noise_of_a_mel_leads_back_to_it() -> None:
    net = model()
    told = known(net)
    mel = net.denormalise(told.mean + 0.5 * torch.randn(2, 12, 21, generator=torch.Generator().manual_seed(5)))
    back = net.sample(told, net.noise_of(mel, told, 40), "dpm", 40)
    assert (back - mel).abs().mean() < 0.1 * mel.std()


def test_a_seed_decides_the_noise_of_the_sde() -> None:
    net = model()
    told = known(net)
    one, again, other = (net.sample(told, noise(), "ml", 4, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_harmonics_lie_where_they_should() -> None:
    comb = Comb(100)
    image = comb(torch.tensor([[200.0, 0.0, 100.0]]))[0]
    assert image[:, 1].abs().max() == 0
    centre_hz = comb.points.mean(1)
    near = (centre_hz % 200 - 100).abs() > 80
    low = centre_hz < 1000
    assert image[near & low & (centre_hz > 150), 0].mean() > image[~near & low, 0].mean() + 0.5


@pytest.mark.parametrize("wrong", [{"network": "magic"}, {"solver": "guess"}, {"guidance": (1.0,)}])
def test_a_configuration_that_describes_nothing(wrong: dict) -> None:
    with pytest.raises(ValueError, match="no such"):
        EmoReg(replace(SMALL, **wrong))
