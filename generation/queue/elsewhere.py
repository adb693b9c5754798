"""What other programs on the same store do to its jobs: our queue is kept like the store's.

Each program has a queue of its own with all jobs that wait. It is told which jobs moved, and looks for itself what
became of them; whatever it was not told of, it finds by comparing every few seconds. So nothing depends on a message
that may be lost, and the order in which messages come does not matter. A job that another program draws counts as
served here too: everybody's turn is the same in all programs, as far as they hear of each other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from generation.catalogue import Catalogue
from generation.job import Job, JobStatus
from generation.queue.policy import FairQueue, QueuedJob
from generation.queue.running import RunningBatch
from generation.queue.settings import QueueSettings
from generation.queue.store import JobStore
from generation.queue.trouble import Trouble
from generation.queue.waiting import comes_within

# Where very many wait, comparing takes long: it shall not take more than this part of the program's time.
COMPARING = 0.1


@dataclass(slots=True)
class _Gone:
    """A job that left our queue and that we do not draw. `charged`: it counts as served to its owner here."""

    charged: bool
    told_attempt: int | None = None


class Elsewhere:
    """Follows the jobs of a store that others change too. `queue` and `running` are the dispatcher's own.

    `shared`: other programs may work with the store, and not all that they do is heard of.
    `drop(job_id)`: nobody wants this job's pictures from us any more. `told(job)`: another program has changed it, or
    it has ended and is not delivered yet; it may be called more than once with the same. `moved()`: our queue is
    another now.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        queue: FairQueue,
        running: Sequence[RunningBatch],
        catalogue: Catalogue,
        settings: QueueSettings,
        trouble: Trouble,
        instance: str,
        shared: bool,
        drop: Callable[[int], None],
        told: Callable[[Job], None],
        moved: Callable[[], None],
    ) -> None:
        self._store = store
        self._queue = queue
        self._running = running
        self._catalogue = catalogue
        self._settings = settings
        self._trouble = trouble
        self._ours = f"{instance}/"
        self._drop = drop
        self._told = told
        self._moved = moved
        self._shared = shared
        self._gone: dict[int, _Gone] = {}
        self._heard: set[int] = set()
        self._undelivered: frozenset[int] = frozenset()  # at the last comparison
        self._compare = False
        self._wake = asyncio.Event()

    def hear(self, job_ids: Iterable[int]) -> None:
        """These jobs may have moved. Returns at once."""
        self._heard.update(job_ids)
        self._wake.set()

    def hear_nothing(self) -> None:
        """There may have been news that we were not told."""
        self._compare = self._shared
        self._wake.set()

    def missed(self, batch: RunningBatch, job_ids: Collection[int]) -> None:
        """Picked, and not leased: somebody else has them, or their owners called them off. We shall see."""
        for job_id in job_ids:
            del batch.picked[job_id]
            self._gone[job_id] = _Gone(charged=True)
        self.hear(job_ids)

    async def run(self, over: asyncio.Event) -> None:
        """Until the event: look at what moved, and compare all that waits every `QueueSettings.compare_seconds`."""
        compare_at = time.perf_counter() + self._settings.compare_seconds
        while not over.is_set():
            self._wake.clear()
            began, compared = time.perf_counter(), self._compare
            with self._trouble.survive("jobs_not_followed") as attempt:
                await self._catch_up()
            if attempt.error is not None:
                await comes_within(self._trouble.rest_seconds(), over)
                self.hear_nothing()
                continue
            now = time.perf_counter()
            if compared:
                compare_at = now + max(self._settings.compare_seconds, (now - began) / COMPARING)
            if not self._shared:
                await self._wake.wait()
            elif not await comes_within(max(0.0, compare_at - now), self._wake):
                self._compare = True

    async def _catch_up(self) -> None:
        if self._compare:
            self._compare = False
            await self._find_differences()
        heard, self._heard = self._heard, set()
        if not heard:
            return
        try:
            jobs = await self._store.those(heard)
        except BaseException:
            self._heard |= heard
            raise
        for job in jobs:
            self._look_at(job)
        self._moved()

    async def _find_differences(self) -> None:
        """What is believed here and is not so. Each such job is then looked at by itself."""
        waiting = set(await self._store.waiting_ids())
        believed = {job.id for job in self._queue.waiting()}
        # What we draw was perhaps called off elsewhere, or its lease is another's.
        self._heard |= (waiting ^ believed) | self._picked()
        self._heard.update(self._gone)
        self._heard.update(job.id for job in await self._store.running() if not self._is_ours(job))
        # What another program took and ended while nobody looked neither waits nor runs. Each end is told once so.
        undelivered = frozenset(await self._store.undelivered_ids())
        self._heard |= undelivered - self._undelivered
        self._undelivered = undelivered

    def _look_at(self, job: Job) -> None:
        """The job as it was a moment ago. What we ourselves did to it meanwhile counts more."""
        picked = self._picked()
        if job.status is JobStatus.QUEUED:
            if job.id in picked:
                return
            gone, queued = self._gone.pop(job.id, None), QueuedJob.of(job, self._catalogue)
            if gone is not None and gone.charged:
                self._queue.give_back(queued)
            else:
                self._queue.add(queued)
        elif job.status is JobStatus.RUNNING:
            if self._is_ours(job):
                return
            if job.id in picked:
                if not self._has_lost(job):
                    return
                self._drop(job.id)  # our lease ran out: what we draw will not be taken
            gone = self._gone.setdefault(job.id, _Gone(charged=False))
            gone.charged = self._queue.serve(job.id) or gone.charged
            if gone.told_attempt != job.attempt:
                gone.told_attempt = job.attempt
                self._told(job)
        else:
            self._gone.pop(job.id, None)
            if job.id in picked and job.status is JobStatus.DONE:
                # It is ours, and being settled; or our lease ran out and another program was faster. That shows when
                # our batch is over, and is looked at then: with whatever is heard next, or at the next comparison.
                if self._shared:
                    self._heard.add(job.id)
                return
            self._drop(job.id)
            self._told(job)

    def _has_lost(self, job: Job) -> bool:
        """Whether another program drew the job after we began to. Not if we ask for the lease in this moment and may
        get it yet, nor if we have got it since somebody saw the job there: nobody else would draw it then."""
        leases = [batch.jobs.get(job.id) for batch in self._running if job.id in batch.picked]
        return all(lease is not None and lease.attempt < job.attempt for lease in leases)

    def _picked(self) -> set[int]:
        return {job_id for batch in self._running for job_id in batch.picked}

    def _is_ours(self, job: Job) -> bool:
        return job.worker is not None and job.worker.startswith(self._ours)
