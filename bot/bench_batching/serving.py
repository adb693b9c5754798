"""One worker serves orders that come at random, in seconds that were measured, by a clock that is only counted."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from generation.engine.protocol import WorkerInfo, WorkerState
from generation.job import Priority
from generation.queue.gathering import Gathering
from generation.queue.policy import FairQueue, QueuedJob
from generation.queue.settings import QueueSettings

PEOPLE = 40
# How many pictures people order, as in the eight orders that are really painted.
PICTURES = (4, 1, 2, 1, 3, 1, 2, 2)
SIDE = 1024
WORKER = WorkerInfo(name="bench", device="cpu", state=WorkerState.IDLE, model="bench")
NEVER = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An order of so many pictures at that second."""

    time: float
    user_id: int
    pictures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """How that went: images a second from the first order to the last picture; seconds that half of the orders, and 99
    of 100, took at most; pictures in a forward pass in the mean, of those that an order is drawn in."""

    throughput: float
    p50: float
    p99: float
    in_a_pass: float


class BatchSeconds:
    """What a batch takes by its number of pictures: as measured, and between two sizes on the line between them."""

    def __init__(self, measured: Mapping[int, float]) -> None:
        """At least two sizes, of which the largest is as many as share a forward pass."""
        self._points = sorted(measured.items())
        self.most = self._points[-1][0]

    def __call__(self, pictures: int) -> float:
        (low, before), (high, after) = next(
            (pair for pair in pairwise(self._points) if pictures <= pair[1][0]), self._points[-2:]
        )
        return before + (after - before) * (pictures - low) / (high - low)


def arrivals_at(images_per_second: float, *, orders: int, seed: int) -> list[Arrival]:
    """A Poisson process of orders, with so many pictures a second in the mean; the same seed, the same moments."""
    chance = random.Random(seed)
    rate = images_per_second * len(PICTURES) / sum(PICTURES)
    time, arrivals = 0.0, []
    for _ in range(orders):
        time += chance.expovariate(rate)
        arrivals.append(Arrival(time=time, user_id=chance.randrange(PEOPLE), pictures=chance.choice(PICTURES)))
    return arrivals


def serve_in_batches(
    arrivals: Sequence[Arrival], seconds: BatchSeconds, *, together: bool = True, wait: float = 0.0
) -> Served:
    """As the queue does it. All orders are of one batch key; not `together`, each has a batch by itself."""
    clock, queue = _Counted(), FairQueue()
    gathering = Gathering(queue=queue, settings=QueueSettings(batch_wait_seconds=wait), clock=clock)
    ready: dict[int, float] = {}
    sizes: list[int] = []
    coming = deque(enumerate(arrivals))
    free = 0.0
    while coming or len(queue):
        left = gathering.seconds_left(WORKER) if len(queue) else NEVER
        begins = max(free, clock.seconds + left)
        if coming and coming[0][1].time <= begins:
            job_id, arrival = coming.popleft()
            clock.seconds = max(clock.seconds, arrival.time)
            queue.add(_job(job_id, arrival, seconds.most, alone=not together))
            gathering.came(job_id)
            continue
        clock.seconds = begins
        batch = queue.pick(WORKER)
        pictures = sum(arrivals[job.id].pictures for job in batch)
        free = begins + seconds(pictures)
        ready |= {job.id: free for job in batch}
        sizes += [pictures] * len(batch)
    return _outcome(arrivals, ready, sizes)


def serve_joining(arrivals: Sequence[Arrival], seconds: BatchSeconds, *, steps: int) -> Served:
    """Whoever is next joins at the next step if there is room, and leaves after their last; first come, first served.

    A step takes its share of a batch of as many pictures as are in it: nothing is counted for what joining itself
    would cost.
    """
    ready: dict[int, float] = {}
    sizes: list[int] = []
    coming = deque(enumerate(arrivals))
    inside: dict[int, int] = {}  # order → steps that are left
    time = 0.0
    while coming or inside:
        if not inside:
            time = max(time, coming[0][1].time)
        pictures = sum(arrivals[order].pictures for order in inside)
        while coming and coming[0][1].time <= time and pictures + coming[0][1].pictures <= seconds.most:
            order, arrival = coming.popleft()
            inside[order] = steps
            pictures += arrival.pictures
        time += seconds(pictures) / steps
        for order in list(inside):
            inside[order] -= 1
            if inside[order] == 0:
                del inside[order]
                ready[order] = time
                sizes.append(pictures)
    return _outcome(arrivals, ready, sizes)


class _Counted:
    """The seconds of the simulation."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


def _job(job_id: int, arrival: Arrival, most: int, *, alone: bool) -> QueuedJob:
    return QueuedJob(
        id=job_id,
        user_id=arrival.user_id,
        priority=Priority.FAST,
        cost=arrival.pictures,
        model="bench",
        loras=(),
        batch_key="all alike",
        pixels=arrival.pictures * SIDE**2,
        room=most * SIDE**2,
        work=float(arrival.pictures),
        alone=alone,
    )


def _outcome(arrivals: Sequence[Arrival], ready: Mapping[int, float], sizes: Sequence[int]) -> Served:
    latencies = sorted(ready[order] - arrival.time for order, arrival in enumerate(arrivals))
    seconds = max(ready.values()) - arrivals[0].time
    return Served(
        throughput=sum(arrival.pictures for arrival in arrivals) / seconds,
        p50=latencies[len(latencies) // 2],
        p99=latencies[len(latencies) * 99 // 100],
        in_a_pass=sum(sizes) / len(sizes),
    )
