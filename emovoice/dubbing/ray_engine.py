"""The same requests on a Ray cluster: Ray Data actors, one model in each.

Results carry their key, so that one which a lost actor gives twice counts once; what is lost with an actor is spoken
by another. Files are written where the dub was started, not on the cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from emovoice.dubbing.extras import need
from emovoice.dubbing.speak import Request, Speaker, Taken
from emovoice.errors import ModelError


class _Actor:
    """A worker of the cluster: loads one model and speaks rows of requests."""

    def __init__(self, model: str, device: str) -> None:
        import torch

        torch.set_num_threads(1)
        self._speaker = Speaker.load(model, device)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        taken = self._speaker.say(row["request"])
        return {"key": taken.key, "record": taken.record, "samples": taken.samples, "rate": taken.rate}


class Ray:
    """Speakers on a cluster: "ray" for the one of the environment or a new local one, "ray://host:port" for another.

    Raises:
        ModelError: the package is missing, or the cluster cannot be reached or gave up.
    """

    def __init__(self, address: str, model: str, device: str, workers: int | None) -> None:
        self._ray = need("ray", "ray", "the engine 'ray'")
        self._data = need("ray.data", "ray", "the engine 'ray'")
        self._model, self._device, self._workers = model, device, workers
        self._started = not self._ray.is_initialized()
        if self._started:
            try:
                self._ray.init(address=None if address == "ray" else address, log_to_driver=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise ModelError(f"the Ray cluster cannot be reached: {error}", field="engine", value=address,
                                 remedy="Is it running, and the address right?") from error
        self._data.DataContext.get_current().enable_progress_bars = False

    def speak(self, requests: Sequence[Request]) -> Iterator[Taken]:
        if not requests:
            return
        count = min(len(requests), self._workers or max(1, int(self._ray.cluster_resources().get("CPU", 1))))
        # A block for each request: what is lost with an actor is no more than the take at hand.
        rows = self._data.from_items([{"request": request} for request in requests], override_num_blocks=len(requests))
        taken = rows.map(_Actor, fn_constructor_args=(self._model, self._device), concurrency=count, num_cpus=1,
                         max_restarts=-1, max_task_retries=-1)
        try:
            for row in taken.iter_rows():
                samples = np.asarray(row["samples"], np.float32)
                yield Taken(row["key"], _plain(row["record"]), samples, int(row["rate"]))
        except self._ray.exceptions.RayError as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(f"the Ray cluster gave up: {reason}", field="engine", value="ray",
                             remedy="Run again; finished takes are kept.") from error

    def close(self) -> None:
        if self._started:
            self._ray.shutdown()


def _plain(value: Any) -> Any:
    """Arrow's lists and numbers as Python's, so that a record is the same wherever its take was spoken."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value
