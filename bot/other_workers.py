"""The workers of other bots on the same queue, as those bots last said: waiting times are reckoned with them too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from generation.clock import Clock
from generation.engine.protocol import WorkerInfo, WorkerState

TOLD_EVERY = 5.0  # seconds
FORGOTTEN_AFTER = 4 * TOLD_EVERY  # their bot has ended, or is not heard


class OtherWorkers:
    """Remembers them for a while. All on one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: dict[str, tuple[float, WorkerInfo]] = {}  # by name, which names the bot too

    def hear(self, workers: Iterable[WorkerInfo]) -> None:
        """What another bot said."""
        now = self._clock.monotonic()
        self._heard.update({worker.name: (now, worker) for worker in workers})

    def now(self) -> Sequence[WorkerInfo]:
        """Those that were heard of lately. Whether one is idle nobody knows: it takes its turn."""
        since = self._clock.monotonic() - FORGOTTEN_AFTER
        self._heard = {name: heard for name, heard in self._heard.items() if heard[0] >= since}
        return [worker for _, worker in self._heard.values()]


def write_workers(workers: Sequence[WorkerInfo]) -> str:
    """Those that live, as other bots are told them: ASCII."""
    living = [worker for worker in workers if worker.state is not WorkerState.DEAD]
    return json.dumps({"workers": [[worker.name, worker.device, worker.model, worker.loras] for worker in living]})


def read_workers(told: Mapping[str, Any]) -> Sequence[WorkerInfo]:
    """Raises `ValueError` or `TypeError` for what another version of us has told."""
    return [
        WorkerInfo(
            name=str(name),
            device=str(device),
            state=WorkerState.IDLE,
            model=None if model is None else str(model),
            loras=tuple(map(str, loras)),
        )
        for name, device, model, loras in told.get("workers", ())
    ]
