"""Two databases side by side, one with few jobs and one with very many: how long each verb takes on either.

Step by step the same is done on both, so that whatever else the machine does slows both alike. Of many turns the lower
quartiles are compared: others' work only ever adds. A turn leaves as many jobs waiting as it found. What is timed:

- *enqueue*: the order made durable, the job in the queue, and the first words about its place;
- *pick*: a batch chosen for a worker, and its jobs leased (turns count where both sides' batches are of one size);
- *settle*: the jobs of that batch finished, pictures and all, and noted as told.
"""

from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bot.bench_plans import say
from generation.catalogue import Catalogue, ModelSpec
from generation.clock import SystemClock
from generation.engine.protocol import Picture, WorkerInfo, WorkerState
from generation.job import Job
from generation.queue.estimate import Speeds
from generation.queue.outlooks import Outlooks
from generation.queue.policy import FairQueue, QueuedJob
from storage.made_up import made_up_job, make_up
from storage.migrations import migrate
from storage.relaxing import RelaxLimits
from storage.storage import Storage, open_storage

VERBS = ("enqueue", "pick", "settle")
WORKER = "bench/cuda:0"
MODEL = "sdxl"
CATALOGUE = Catalogue(models={MODEL: ModelSpec(name=MODEL, source="/", max_batch=4)}, default_model=MODEL)
LEASE_SECONDS = 300.0
ALLOWANCE = 10_000_000
LIMITS = RelaxLimits(per_day=10_000_000, waiting=10_000_000)
PICTURE = Picture(png=b"\x89PNG" + bytes(50_000), width=1024, height=1024)


@dataclass(slots=True)
class Side:
    """One database with its queue, and the seconds that each verb took on it, turn by turn."""

    jobs: int
    storage: Storage
    queue: FairQueue
    outlooks: Outlooks
    members: Sequence[int]
    heavy: Sequence[int]
    load_seconds: float
    ordered: int = 0
    seconds: dict[str, list[float]] = field(default_factory=lambda: {verb: [] for verb in VERBS})
    pick_seconds: list[float] = field(default_factory=list)  # of the queue's part of `pick`

    def whose_turn(self) -> int:
        """Who orders next: one of those with a long past, or else the next of all members."""
        if self.ordered % 5 == 0:
            return self.heavy[self.ordered // 5 % len(self.heavy)]
        return self.members[self.ordered % len(self.members)]

    def milliseconds(self, verb: str) -> float:
        """The lower quartile."""
        return 1000 * sorted(self.seconds[verb])[len(self.seconds[verb]) // 4]


@asynccontextmanager
async def open_side(database: str, folder: Path, *, jobs: int) -> AsyncIterator[Side]:
    """So many jobs that have ended and as many that wait, on an empty database that is migrated here."""
    migrate(database)
    clock = SystemClock()
    heavy = await make_up(database, ended=jobs, waiting=jobs, model=MODEL, now=clock.now())
    async with open_storage(database=database, files=folder) as storage:
        queue = FairQueue()
        started = time.perf_counter()
        for job in await storage.jobs.waiting():
            queue.add(QueuedJob.of(job, CATALOGUE))
        loaded = time.perf_counter() - started
        info = WorkerInfo(name=WORKER, device="cuda:0", state=WorkerState.BUSY, model=MODEL)
        outlooks = Outlooks(queue=queue, running=[], workers=lambda: [info], speeds=Speeds(CATALOGUE), clock=clock)
        outlooks.catch_up()  # as the dispatcher does, piece by piece, beside its work
        yield Side(
            jobs=jobs,
            storage=storage,
            queue=queue,
            outlooks=outlooks,
            members=sorted({job.user_id for job in queue.waiting()}),
            heavy=heavy,
            load_seconds=loaded,
        )


async def take_turns(sides: Sequence[Side], *, turns: int, warm_up: int) -> None:
    """Do the same on all sides, `turns` times after as many times as it takes to warm up."""
    for turn in range(warm_up + turns):
        if turn == warm_up:
            for side in sides:
                side.seconds = {verb: [] for verb in VERBS}
                side.pick_seconds = []
        if turn % 50 == 0:
            say(f"turn {turn} of {warm_up + turns}")
        gc.collect(0)
        # Whoever comes first in one turn comes last in the next.
        sizes = await _turn(sides if turn % 2 else sides[::-1])
        if len(sizes) > 1 and len(sides[0].pick_seconds) > 1:
            for side in sides:
                side.seconds["pick"].pop()
                side.pick_seconds.pop()


async def _turn(sides: Sequence[Side]) -> set[int]:
    """How many jobs the batches had."""
    for side in sides:
        await _enqueue(side)
    batches = [await _pick(side) for side in sides]
    for place in range(max(map(len, batches))):
        for side, batch in zip(sides, batches, strict=True):
            if place < len(batch):
                await _settle(side, batch[place])
                if place > 0:
                    await _enqueue(side)
    return {len(batch) for batch in batches}


async def _enqueue(side: Side) -> None:
    jobs = side.storage.jobs
    number = side.ordered
    new = made_up_job(number, side.whose_turn(), model=MODEL)
    started = time.perf_counter()
    [job] = await jobs.order_many(
        [new], allowance=ALLOWANCE, max_queued=ALLOWANCE, relax=LIMITS, request_keys=[f"bench-{number}"]
    )
    side.queue.add(QueuedJob.of(job, CATALOGUE))
    side.outlooks.forget()
    side.outlooks.of(job.id)
    await jobs.set_message(job.id, 3 * 10**17 + number)
    side.seconds["enqueue"].append(time.perf_counter() - started)
    side.ordered += 1


async def _pick(side: Side) -> Sequence[Job]:
    info = WorkerInfo(name=WORKER, device="cuda:0", state=WorkerState.IDLE, model=MODEL, loras=())
    started = time.perf_counter()
    batch = side.queue.pick(info)
    side.pick_seconds.append(time.perf_counter() - started)
    leased = await side.storage.jobs.lease([job.id for job in batch], worker=WORKER, seconds=LEASE_SECONDS)
    side.outlooks.forget()
    side.seconds["pick"].append(time.perf_counter() - started)
    return leased


async def _settle(side: Side, job: Job) -> None:
    jobs = side.storage.jobs
    started = time.perf_counter()
    await jobs.finish(job.id, worker=WORKER, pictures=[PICTURE])
    side.outlooks.forget()
    await jobs.delivered(job.id)
    side.seconds["settle"].append(time.perf_counter() - started)
