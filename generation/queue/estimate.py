"""How long it will take: speeds learned from the batches that ran, and a forecast for every job that waits."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from generation.catalogue import Catalogue
from generation.engine.protocol import WorkerInfo
from generation.errors import UnknownName
from generation.queue.policy import FairQueue, QueuedJob

# How much of an average the newest batch makes: five batches forget a change of half the speed.
NEWEST = 0.3
# Before anything is measured: seconds for one 1024×1024 picture of full SDXL at its default steps, by kind of device.
# Rough on purpose; the first batch of a model takes their place.
PRIOR_SECONDS = {"cuda": 8.0, "mps": 90.0, "cpu": 900.0}
# And for bringing full SDXL's weights from disk to the device.
PRIOR_LOAD_SECONDS = 20.0
FULL_NATIVE_SIZE = 1024
FULL_CROSS_ATTENTION_DIM = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a waiting person may be told: 1-based place in line, seconds until it starts, seconds that it then takes.

    `paused`: nothing of this begins before moderators say so; places and times are as if they said so now.
    """

    position: int
    wait_seconds: float
    work_seconds: float
    paused: bool = False


class Speeds:
    """Seconds per unit of work, by device and model; a unit is one native-size picture at the default steps.

    An exponentially weighted average of what was measured, or a rough prior before the first batch.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._painting: dict[tuple[str, str], float] = {}
        self._loading: dict[tuple[str, str], float] = {}

    def learn_painting(self, device: str, model: str, *, work: float, seconds: float) -> None:
        """A batch of so much work took so long, weights at hand."""
        if work > 0:
            _learn(self._painting, (device, model), seconds / work)

    def learn_loading(self, device: str, model: str, *, seconds: float) -> None:
        """A worker that held another model took so long before it could paint with this one."""
        _learn(self._loading, (device, model), seconds)

    def painting_seconds(self, device: str, model: str, *, work: float) -> float:
        """How long so much work will take with the weights at hand."""
        measured = self._painting.get((device, model))
        return work * (self._prior(device, model) if measured is None else measured)

    def loading_seconds(self, device: str, model: str) -> float:
        """How long a change to this model will take."""
        measured = self._loading.get((device, model))
        return PRIOR_LOAD_SECONDS * self._share_of_full(model) if measured is None else measured

    def batch_seconds(self, worker: WorkerInfo, batch: Sequence[QueuedJob]) -> float:
        """How long a worker will take for a batch, given what it holds."""
        model = batch[0].model
        seconds = self.painting_seconds(worker.device, model, work=sum(job.work for job in batch))
        return seconds if worker.model == model else seconds + self.loading_seconds(worker.device, model)

    def _prior(self, device: str, model: str) -> float:
        # "auto" is a worker that has not said yet what it found: most machines that serve have a GPU.
        full = PRIOR_SECONDS.get(device.partition(":")[0], PRIOR_SECONDS["cuda"])
        try:
            native_size = self._catalogue.model(model).native_size
        except UnknownName:
            native_size = FULL_NATIVE_SIZE
        return full * (native_size / FULL_NATIVE_SIZE) ** 2 * self._share_of_full(model)

    def _share_of_full(self, model: str) -> float:
        """The width of the text features tells a small model from the full one."""
        try:
            return self._catalogue.model(model).cross_attention_dim / FULL_CROSS_ATTENTION_DIM
        except UnknownName:
            return 1.0


def forecast(queue: FairQueue, workers: Sequence[tuple[WorkerInfo, float]], speeds: Speeds) -> dict[int, Outlook]:
    """When each waiting job will run, if nothing else is ordered: what picks by whoever is idle first would do.

    Of several that are idle at once the first is taken here, and really the one that suits best (`FairQueue.place`).

    `workers` are those that can work, each with the seconds until it is idle; at least one. Jobs of one batch start
    together. Takes some 20 µs a job.
    """
    return {job.id: outlook for batch in look_ahead(queue.copy(), workers, speeds) for job, outlook in batch}


def look_ahead(
    queue: FairQueue, workers: Sequence[tuple[WorkerInfo, float]], speeds: Speeds
) -> Iterator[Sequence[tuple[QueuedJob, Outlook]]]:
    """The same, batch by batch as they will be begun. Picks from the queue that it is given, which is to be a copy."""
    idle = [(seconds, index, worker) for index, (worker, seconds) in enumerate(workers)]
    heapq.heapify(idle)
    position = 0
    while batch := queue.pick(idle[0][2]):
        start, index, worker = idle[0]
        seconds = speeds.batch_seconds(worker, batch)
        yield [
            (job, Outlook(position=place, wait_seconds=start, work_seconds=seconds))
            for place, job in enumerate(batch, start=position + 1)
        ]
        position += len(batch)
        if (worker.model, worker.loras) != (batch[0].model, batch[0].loras):
            worker = dataclasses.replace(worker, model=batch[0].model, loras=batch[0].loras)
        heapq.heapreplace(idle, (start + seconds, index, worker))


def _learn(averages: dict[tuple[str, str], float], key: tuple[str, str], value: float) -> None:
    known = averages.get(key)
    averages[key] = value if known is None else known + NEWEST * (value - known)
