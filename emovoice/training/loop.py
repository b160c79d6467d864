"""One training loop for all parts: time budget, warm-up and cosine, EMA, resumable, curves to a file."""
from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

Losses = dict[str, Tensor]
_SAVE_EVERY_S = 120.0


@dataclass(frozen=True)
class Budget:
    """`minutes` of training in all, over as many sessions as it takes; the schedule is a function of the time spent."""

    minutes: float
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    ema: float = 0.998
    clip: float = 1.0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    bf16: bool | None = None  # None: on CUDA only; on CPUs without AMX whole steps measured slower, not faster


class Ema:
    """Moving average of parameters; what is shipped."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.shadow = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the model; early on faster, so that the start is forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for key, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.shadow[key].lerp_(value, 1 - decay)
            else:
                self.shadow[key].copy_(value)


class Run:
    """A model in training, kept in `folder`: `state.pt` (resume), `curves.jsonl`, and the EMA weights on request."""

    def __init__(self, folder: Path, model: nn.Module, budget: Budget, device: str = "cpu") -> None:
        self.folder, self.budget, self.device = folder, budget, torch.device(device)
        self.bf16 = self.device.type == "cuda" if budget.bf16 is None else budget.bf16
        self.model = model.to(self.device)
        self.ema = Ema(self.model, budget.ema)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), budget.learning_rate, budget.betas,
                                           weight_decay=budget.weight_decay)
        self.step, self.seconds = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def autocast(self) -> Any:
        """bf16 where the budget says so."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def rate(self) -> float:
        """Learning rate now."""
        progress = min(self.seconds / (60 * self.budget.minutes), 1.0)
        warm = min(1.0, (self.step + 1) / self.budget.warmup_steps)
        return self.budget.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))

    def go(self, batches: Iterable[Any], losses: Callable[[Any], Losses], check: Callable[[], dict[str, float]] | None = None,
           after: Callable[[], None] | None = None) -> None:
        """Train until the budget is spent. The loss is the sum of what `losses` returns; keys starting with _ are only
        logged. `check` is run and logged at every save; `after` after every step."""
        stream: Iterator[Any] = iter(batches)
        last_save, smooth = time.monotonic(), {}
        bar = tqdm(total=round(60 * self.budget.minutes), initial=round(self.seconds), unit="s", mininterval=10)
        self.model.train()
        while self.seconds < 60 * self.budget.minutes:
            start = time.monotonic()
            parts = self._step(next(stream), losses)
            if after:
                after()
            for key, value in parts.items():
                smooth[key] = 0.98 * smooth.get(key, value) + 0.02 * value
            spent = time.monotonic() - start
            self.seconds += spent
            bar.update(round(self.seconds) - bar.n)
            bar.set_postfix({"step": self.step} | {k: round(v, 3) for k, v in smooth.items()}, refresh=False)
            if time.monotonic() - last_save > _SAVE_EVERY_S or self.seconds >= 60 * self.budget.minutes:
                self._log(smooth | (self._checked(check) if check else {}))
                self.save()
                last_save = time.monotonic()

    def _step(self, batch: Any, losses: Callable[[Any], Losses]) -> dict[str, float]:
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        with self.autocast():
            parts = losses(batch)
        total = torch.stack([v.float() for k, v in parts.items() if not k.startswith("_")]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.budget.clip)
        if torch.isfinite(norm):
            self.optimiser.step()
            self.ema.update(self.step)
        self.step += 1
        return {k: float(v.detach()) for k, v in parts.items()}

    def _checked(self, check: Callable[[], dict[str, float]]) -> dict[str, float]:
        self.model.eval()
        with torch.no_grad(), self.autocast():
            result = check()
        self.model.train()
        return result

    def _log(self, values: dict[str, float]) -> None:
        row = {"step": self.step, "minutes": round(self.seconds / 60, 2)} | {k: round(v, 5) for k, v in values.items()}
        with (self.folder / "curves.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def save(self) -> None:
        """Write the resumable state, beside and then renamed."""
        state = {"model": self.model.state_dict(), "ema": self.ema.shadow, "optimiser": self.optimiser.state_dict(),
                 "step": self.step, "seconds": self.seconds}
        torch.save(state, self.folder / "state.partial")
        (self.folder / "state.partial").rename(self.folder / "state.pt")

    def _resume(self) -> None:
        path = self.folder / "state.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.ema.shadow = state["ema"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]


def ema_weights(folder: Path) -> dict[str, Tensor]:
    """The averaged weights of a run."""
    return torch.load(folder / "state.pt", map_location="cpu", weights_only=True)["ema"]
