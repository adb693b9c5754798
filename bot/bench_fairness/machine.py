"""A machine that draws by the clock alone: batches take their time, and nothing is painted.

It is no better than real ones: the same work does not always take the same time, each batch costs something beside its
work, and another model has to be loaded first. The queue is not told any of that; it learns from what it sees.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bot.bench_fairness.day import MODELS, Arrival
from bot.bench_fairness.policies import Policy
from generation.engine.protocol import WorkerInfo, WorkerState
from generation.queue.policy import QueuedJob

# Seconds for one native picture at the default steps, of a batch beside that, and for another model.
PICTURE_SECONDS = 1.5
BATCH_SECONDS = 0.5
LOAD_SECONDS = 4.0
# How much a batch may take longer or shorter: one standard deviation, as a share.
SPREAD = 0.08


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a day went: when each job began and was ready, and how long a running batch had yet to go when it came."""

    began: dict[int, float] = field(default_factory=dict)
    ready: dict[int, float] = field(default_factory=dict)
    held_up: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What somebody could know when a job has just come in: the worker, and since when it has been busy with what."""

    time: float
    worker: WorkerInfo
    batch: tuple[QueuedJob, ...]
    batch_began: float

    def next_worker(self) -> WorkerInfo:
        """The worker as it will be after the batch."""
        if not self.batch:
            return self.worker
        return dataclasses.replace(self.worker, model=self.batch[0].model, loras=self.batch[0].loras)


def alone_seconds(job: QueuedJob) -> float:
    """What the machine takes for a job that is drawn by itself."""
    return BATCH_SECONDS + PICTURE_SECONDS * job.work


def work_through(
    arrivals: Sequence[Arrival],
    queue: Policy,
    *,
    seed: int,
    on_arrival: Callable[[QueuedJob, Moment], None] = lambda job, moment: None,
    on_batch: Callable[[WorkerInfo, tuple[QueuedJob, ...], float, float], None] = lambda *_: None,
) -> Run:
    """Let one worker serve a day in the order of that queue.

    `on_arrival` is called when a job waits, `on_batch` when one is ready, with the worker as it was before, the
    batch, and the seconds of painting and of loading.
    """
    chance = random.Random(seed)
    run, coming = Run(), iter(arrivals)
    worker = WorkerInfo(name="bench/cuda:0", device="cuda:0", state=WorkerState.IDLE, model=MODELS[0])
    batch: tuple[QueuedJob, ...] = ()
    began, ends = 0.0, 0.0
    arrival = next(coming, None)
    while arrival is not None or batch or len(queue):
        if batch and (arrival is None or ends <= arrival.time):
            loading = LOAD_SECONDS if batch[0].model != worker.model else 0.0
            on_batch(worker, batch, ends - began - loading, loading)
            worker = Moment(time=ends, worker=worker, batch=batch, batch_began=began).next_worker()
            run.ready.update((job.id, ends) for job in batch)
            time, batch = ends, ()
        else:
            assert arrival is not None
            time, job = arrival.time, arrival.job
            queue.add(job)
            run.held_up[job.id] = ends - time if batch else 0.0
            on_arrival(job, Moment(time=time, worker=worker, batch=batch, batch_began=began))
            arrival = next(coming, None)
        if not batch and (batch := queue.pick(worker)):
            began = time
            run.began.update((job.id, began) for job in batch)
            loading = LOAD_SECONDS if batch[0].model != worker.model else 0.0
            work = PICTURE_SECONDS * sum(job.work for job in batch)
            ends = began + loading + BATCH_SECONDS + work * chance.lognormvariate(0, SPREAD)
    return run
