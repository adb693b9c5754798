"""What else a queue could do, to be compared with: first come first served, and turns by job. Both as `FairQueue` is
asked: they batch, and they serve fast jobs before relaxed ones. What workers hold is nothing to them."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from typing import Protocol

from generation.engine.protocol import WorkerInfo
from generation.job import Priority
from generation.queue.queued import QueuedJob


class Policy(Protocol):
    """What the simulated machine asks of a queue."""

    def __len__(self) -> int: ...

    def add(self, job: QueuedJob) -> None: ...

    def place(self, idle: Sequence[WorkerInfo]) -> WorkerInfo: ...

    def pick(self, worker: WorkerInfo) -> tuple[QueuedJob, ...]: ...


class _AnyWorker:
    """Whichever is the first that is idle."""

    def place(self, idle: Sequence[WorkerInfo]) -> WorkerInfo:
        return idle[0]


class WithoutAffinity(_AnyWorker):
    """A queue that is not told what the workers hold, to show what it saves by knowing."""

    def __init__(self, queue: Policy) -> None:
        self._queue = queue

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, job: QueuedJob) -> None:
        self._queue.add(job)

    def pick(self, worker: WorkerInfo) -> tuple[QueuedJob, ...]:
        return self._queue.pick(dataclasses.replace(worker, model=None, loras=()))


class FirstComeFirstServed(_AnyWorker):
    """In the order of the jobs' ids, in which they also have to come."""

    def __init__(self) -> None:
        self._lanes: dict[Priority, dict[int, QueuedJob]] = {priority: {} for priority in Priority}
        # The same jobs by what shares a forward pass: nobody looks through a whole backlog for company.
        self._alike: dict[tuple[Priority, Hashable], dict[int, QueuedJob]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def add(self, job: QueuedJob) -> None:
        self._lanes[job.priority][job.id] = job
        self._alike.setdefault((job.priority, job.batch_key), {})[job.id] = job

    def pick(self, worker: WorkerInfo) -> tuple[QueuedJob, ...]:
        for priority, lane in self._lanes.items():
            if lane:
                head = next(iter(lane.values()))
                alike = self._alike[priority, head.batch_key]
                batch = _batch(alike.values())
                for job in batch:
                    del lane[job.id], alike[job.id]
                return batch
        return ()


class RoundRobin(_AnyWorker):
    """Everybody in turn, one job each, whatever it costs."""

    def __init__(self) -> None:
        self._lanes: dict[Priority, OrderedDict[int, list[QueuedJob]]] = {
            priority: OrderedDict() for priority in Priority
        }

    def __len__(self) -> int:
        return sum(len(line) for lane in self._lanes.values() for line in lane.values())

    def add(self, job: QueuedJob) -> None:
        self._lanes[job.priority].setdefault(job.user_id, []).append(job)

    def pick(self, worker: WorkerInfo) -> tuple[QueuedJob, ...]:
        for lane in self._lanes.values():
            if lane:
                batch = _batch(line[0] for line in lane.values())
                for job in batch:
                    line = lane.pop(job.user_id)
                    if line[1:]:
                        lane[job.user_id] = line[1:]
                return batch
        return ()


def _batch(in_turn: Iterable[QueuedJob]) -> tuple[QueuedJob, ...]:
    """The first job, and those after it that share its forward pass."""
    batch: list[QueuedJob] = []
    room = 0
    for job in in_turn:
        if not batch:
            room = job.room
        elif job.batch_key != batch[0].batch_key or job.pixels > room:
            continue
        batch.append(job)
        room -= job.pixels
        if room <= 0:
            break
    return tuple(batch)
