"""Workers that draw by the clock alone: batches take their time, and nothing is painted.

They are no better than real ones: the same work does not always take the same time, each batch costs something beside
its work, another model has to be loaded first and other LoRAs switched to. The queue is not told any of that; it learns
from what it sees.
"""

from __future__ import annotations

import dataclasses
import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bot.simulation.arrivals import Arrival
from bot.simulation.policies import Policy
from generation.engine.protocol import WorkerInfo, WorkerState
from generation.queue.queued import QueuedJob


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTimes:
    """Seconds for one native picture at the default steps, of a batch beside that, for another model and other LoRAs.

    Of the models that a worker had last it keeps `models_held`, and loads none of these again. `spread` is how much a
    batch may take longer or shorter: one standard deviation, as a share.
    """

    picture_seconds: float
    batch_seconds: float
    load_seconds: float
    lora_switch_seconds: float = 0.0
    models_held: int = 1
    spread: float = 0.08

    def painting(self, batch: Sequence[QueuedJob], *, stretch: float = 1.0) -> float:
        """For a batch whose weights are at hand."""
        return self.batch_seconds + self.picture_seconds * sum(job.work for job in batch) * stretch

    def loading(self, *, loads_model: bool, switches_loras: bool) -> float:
        """Before that, for what is not at hand."""
        return (self.load_seconds if loads_model else 0.0) + (self.lora_switch_seconds if switches_loras else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a day went: when each job began and was ready, and how long it was until a worker could, when it came."""

    began: dict[int, float] = field(default_factory=dict)
    ready: dict[int, float] = field(default_factory=dict)
    held_up: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """A worker as it was before its batch, and from when until when that runs; an idle one has none.

    `loading` is how long it loads a model and switches to other LoRAs first, if it does.
    """

    worker: WorkerInfo
    batch: tuple[QueuedJob, ...] = ()
    began: float = 0.0
    loading: float = 0.0
    loads_model: bool = False
    switches_loras: bool = False
    ends: float = 0.0

    def afterwards(self) -> WorkerInfo:
        """The worker as it will be after the batch."""
        if not self.batch:
            return self.worker
        return dataclasses.replace(self.worker, model=self.batch[0].model, loras=self.batch[0].loras)


def work_through(
    arrivals: Sequence[Arrival],
    queue: Policy,
    times: ServiceTimes,
    *,
    seed: int,
    held: str,
    workers: int = 1,
    on_arrival: Callable[[QueuedJob, float, Sequence[Working]], None] = lambda *_: None,
    on_batch: Callable[[Working], None] = lambda _: None,
) -> Run:
    """Let so many workers, which all hold that model at first, serve a day in the order of that queue.

    `on_arrival` is called when a job waits, with the time and the workers; `on_batch` when a batch is ready.
    """
    chance = random.Random(seed)
    run, coming = Run(), iter(arrivals)
    fleet = [Working(worker=_worker(index, held)) for index in range(workers)]
    kept = [[held] for _ in range(workers)]  # models, the last one at the end
    idle = {each.worker.name: index for index, each in enumerate(fleet)}
    busy: list[tuple[float, int]] = []  # heap of when they are ready
    arrival = next(coming, None)
    while arrival is not None or busy or len(queue):
        if busy and (arrival is None or busy[0][0] <= arrival.time):
            time, index = heapq.heappop(busy)
            on_batch(fleet[index])
            run.ready.update((job.id, time) for job in fleet[index].batch)
            fleet[index] = Working(worker=fleet[index].afterwards())
            idle[fleet[index].worker.name] = index
        else:
            assert arrival is not None
            time, job = arrival.time, arrival.job
            queue.add(job)
            run.held_up[job.id] = 0.0 if idle else busy[0][0] - time
            on_arrival(job, time, fleet)
            arrival = next(coming, None)
        while idle:
            worker = queue.place([fleet[index].worker for index in sorted(idle.values())])
            batch = queue.pick(worker)
            if not batch:
                break
            index = idle.pop(worker.name)
            fleet[index] = working = _begin(worker, batch, time, kept[index], times, chance)
            heapq.heappush(busy, (working.ends, index))
            run.began.update((job.id, time) for job in batch)
    return run


def _begin(
    worker: WorkerInfo,
    batch: tuple[QueuedJob, ...],
    time: float,
    kept: list[str],
    times: ServiceTimes,
    chance: random.Random,
) -> Working:
    """Let a worker begin with a batch; what it has kept of models is brought up to date."""
    model, loras = batch[0].model, batch[0].loras
    loads_model = model not in kept
    kept[:] = [*(each for each in kept if each != model), model][-times.models_held :]
    # Another model comes without any LoRA.
    switches_loras = bool(loras) if model != worker.model else loras != worker.loras
    loading = times.loading(loads_model=loads_model, switches_loras=switches_loras)
    return Working(
        worker=worker,
        batch=batch,
        began=time,
        loading=loading,
        loads_model=loads_model,
        switches_loras=switches_loras,
        ends=time + loading + times.painting(batch, stretch=chance.lognormvariate(0, times.spread)),
    )


def _worker(index: int, held: str) -> WorkerInfo:
    device = f"cuda:{index}"
    return WorkerInfo(name=f"bench/{device}", device=device, state=WorkerState.IDLE, model=held)
