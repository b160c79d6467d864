"""The same requests on a Ray cluster: Ray Data actors, one model in each.

Results carry their key, so that one which a lost actor gives twice counts once; what is lost with an actor is spoken
by another. Files are written where the dub was started, not on the cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from emovoice.dubbing.extras import need
from emovoice.dubbing.plan import Policy
from emovoice.dubbing.speak import Request, Speaker, Taken
from emovoice.errors import ModelError
from emovoice.voice import TIMBRE_SIZE, Voice


class _Actor:
    """A worker of the cluster: loads one model and speaks rows of requests."""

    def __init__(self, model: str, device: str) -> None:
        import torch

        torch.set_num_threads(1)
        self._speaker = Speaker.load(model, device)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        taken = self._speaker.say(as_request(row))
        samples = np.asarray(taken.samples, "<f4").tobytes()
        return {"key": taken.key, "record": json.dumps(taken.record), "samples": samples, "rate": taken.rate}


def as_row(request: Request) -> dict[str, Any]:
    """A request as text and bytes: the same columns in every row, whatever is in it."""
    plain = {name: value for name, value in vars(request).items() if name not in ("voice", "policy")}
    voice = request.voice
    plain |= {"accent": voice.accent, "voice_name": voice.name, "policy": asdict(request.policy)}
    vectors = np.concatenate([voice.timbre, voice.emotion]).astype("<f4").tobytes()
    return {"request": json.dumps(plain), "voice": vectors}


def as_request(row: Mapping[str, Any]) -> Request:
    """The inverse of `as_row`."""
    plain = json.loads(row["request"])
    vectors = np.frombuffer(row["voice"], "<f4")
    voice = Voice(plain.pop("voice_name"), vectors[:TIMBRE_SIZE], vectors[TIMBRE_SIZE:], accent=plain.pop("accent"))
    plain["weights"] = tuple(plain["weights"])
    return Request(voice=voice, policy=Policy(**plain.pop("policy")), **plain)


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
        """Takes as they come, in any order. Raises ModelError where the cluster gives up."""
        if not requests:
            return
        count = min(len(requests), self._workers or max(1, int(self._ray.cluster_resources().get("CPU", 1))))
        # A block for each request: what is lost with an actor is no more than the take at hand.
        rows = self._data.from_items([as_row(request) for request in requests], override_num_blocks=len(requests))
        # Ray Data restarts actors and repeats their tasks by itself.
        taken = rows.map(_Actor, fn_constructor_args=(self._model, self._device), num_cpus=1,
                         compute=self._data.ActorPoolStrategy(size=count))
        try:
            for row in taken.iter_rows():
                samples = np.frombuffer(row["samples"], "<f4").astype(np.float32)
                yield Taken(row["key"], json.loads(row["record"]), samples, int(row["rate"]))
        except self._ray.exceptions.RayError as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(f"the Ray cluster gave up: {reason}", field="engine", value="ray",
                             remedy="Run again; finished takes are kept.") from error

    def close(self) -> None:
        if self._started:
            self._ray.shutdown()

