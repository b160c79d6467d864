"""The training loop on a tiny model: resumed runs go on as if nothing had happened, and what is written can be read."""

import json
import math
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emovoice.training import loop
from emovoice.training.loop import Budget, Ema, Losses, Run, ema_weights

BUDGET = Budget(1.0, 0.05, warmup_steps=4, bf16=False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time goes on by one second with every look at it."""
    seconds = count()
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(seconds)))


def model(seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(3, 2)


def batches(seed: int = 1) -> Iterator[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(8, 3, generator=draw)


def losses_of(run: Run) -> Callable[[Tensor], Losses]:
    """How far the model is from doubling the first two of three numbers."""

    def losses(x: Tensor) -> Losses:
        wrong = F.mse_loss(run.model(x), 2 * x[:, :2])
        return {"wrong": wrong, "_tenth": 0.1 * wrong.detach()}

    return losses


def weights(run: Run) -> list[Tensor]:
    return [*run.model.state_dict().values(), *run.ema.shadow.values()]


def step(run: Run, stream: Iterator[Tensor], times: int) -> None:
    for _ in range(times):
        run._step(next(stream), losses_of(run))


# ---- resuming -------------------------------------------------------------------------------------------


def test_a_resumed_run_has_the_same_weights_and_goes_on_the_same_way(tmp_path: Path) -> None:
    whole, stream = Run(tmp_path / "a", model(), BUDGET), batches()
    step(whole, stream, 10)
    whole.save()
    resumed = Run(tmp_path / "a", model(seed=5), BUDGET)
    assert resumed.step == 10 and resumed.seconds == whole.seconds
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))
    following = [next(stream) for _ in range(10)]
    for run in (whole, resumed):
        step(run, iter(following), 10)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))
    assert not torch.equal(ema_weights(tmp_path / "a")["weight"], whole.ema.shadow["weight"]), "those of step 10"


@pytest.mark.usefixtures("clock")
def test_a_longer_budget_continues_a_finished_run(tmp_path: Path) -> None:
    first = Run(tmp_path, model(), BUDGET)
    first.go(batches(), losses_of(first))
    assert first.seconds >= 60
    again = Run(tmp_path, model(), BUDGET)
    again.go(batches(), losses_of(again))
    assert again.step == first.step, "the budget was spent already"
    longer = Run(tmp_path, model(), Budget(2.0, 0.05, bf16=False))
    longer.go(batches(), losses_of(longer))
    assert longer.step > first.step and 120 <= longer.seconds < 125


@pytest.mark.parametrize("rest", [b"", b"half a state"])
def test_an_interrupted_write_leaves_the_state_before(tmp_path: Path, rest: bytes) -> None:
    run = Run(tmp_path, model(), BUDGET)
    step(run, batches(), 3)
    run.save()
    (tmp_path / "state.partial").write_bytes(rest)
    resumed = Run(tmp_path, model(seed=5), BUDGET)
    assert resumed.step == 3
    resumed.save()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.pt"]


def test_an_interrupted_first_write_is_a_fresh_start(tmp_path: Path) -> None:
    (tmp_path / "state.partial").write_bytes(b"half a state")
    assert Run(tmp_path, model(), BUDGET).step == 0


# ---- curves -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("clock")
def test_curves_are_written_and_fall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY_S", 15.0)
    run = Run(tmp_path, model(), BUDGET)
    modes: list[bool] = []

    def check() -> dict[str, float]:
        modes.append(run.model.training)
        return {"held": 0.5}

    run.go(batches(), losses_of(run), check)
    rows = [json.loads(line) for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    assert len(rows) == len(modes) >= 3 and not any(modes) and run.model.training
    assert all(set(row) == {"step", "minutes", "wrong", "_tenth", "held"} for row in rows)
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    assert rows[-1]["wrong"] < rows[0]["wrong"] and rows[-1]["step"] == run.step
    assert rows[-1]["_tenth"] == pytest.approx(0.1 * rows[-1]["wrong"], abs=2e-5)
    assert ema_weights(tmp_path).keys() == run.model.state_dict().keys()


@pytest.mark.usefixtures("clock")
def test_what_comes_after_a_step_is_called_after_every_step(tmp_path: Path) -> None:
    run, seen = Run(tmp_path, model(), BUDGET), []
    run.go(batches(), losses_of(run), after=lambda: seen.append(run.step))
    assert seen == list(range(1, run.step + 1))


# ---- schedule ---------------------------------------------------------------------------------------------


def test_the_rate_warms_up_and_falls_to_a_fiftieth(tmp_path: Path) -> None:
    run = Run(tmp_path, model(), BUDGET)
    warm = []
    for run.step in range(6):
        warm.append(run.rate())
    assert warm == pytest.approx([0.0125, 0.025, 0.0375, 0.05, 0.05, 0.05])
    rates = []
    for run.seconds in range(0, 61):
        rates.append(run.rate())
    assert rates == sorted(rates, reverse=True)
    assert rates[30] == pytest.approx(0.05 * (0.02 + 0.98 / 2)) and rates[60] == pytest.approx(0.001)
    run.seconds = 1e6
    assert run.rate() == pytest.approx(0.001)


def test_the_rate_reaches_the_optimiser(tmp_path: Path) -> None:
    run = Run(tmp_path, model(), BUDGET)
    step(run, batches(), 2)
    assert run.optimiser.param_groups[0]["lr"] == pytest.approx(0.025)


# ---- single steps -----------------------------------------------------------------------------------------


def test_losses_that_are_only_logged_do_not_teach(tmp_path: Path) -> None:
    runs = [Run(tmp_path / name, model(), BUDGET) for name in "ab"]
    x = next(batches())
    runs[0]._step(x, lambda x: {"a": runs[0].model(x).pow(2).mean()})
    runs[1]._step(x, lambda x: {"a": runs[1].model(x).pow(2).mean(), "_b": 100 * runs[1].model(x).sum()})
    assert all(torch.equal(a, b) for a, b in zip(weights(runs[0]), weights(runs[1]), strict=True))


def test_a_step_with_a_broken_gradient_is_left_out(tmp_path: Path) -> None:
    run = Run(tmp_path, model(), BUDGET)
    before = [value.clone() for value in weights(run)]
    parts = run._step(next(batches()), lambda x: {"a": run.model(x).sum() * math.inf})
    assert math.isinf(parts["a"]) or math.isnan(parts["a"])
    assert run.step == 1 and all(torch.equal(a, b) for a, b in zip(before, weights(run), strict=True))


def test_the_average_follows_the_model() -> None:
    net = model()
    ema = Ema(net, 0.9)
    with torch.no_grad():
        net.weight.fill_(1.0)
    for at in range(100):
        ema.update(at)
    assert torch.allclose(ema.shadow["weight"], torch.ones(2, 3), atol=1e-3)
