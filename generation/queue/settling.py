"""How leased jobs end, as the store decides, and what follows from that: told, or queued again."""

from __future__ import annotations

from collections.abc import Sequence

from generation.catalogue import Catalogue
from generation.engine.protocol import Picture
from generation.errors import LimnerError
from generation.job import MAX_ATTEMPTS, Job, JobStatus
from generation.queue.listener import QueueListener
from generation.queue.policy import FairQueue, QueuedJob
from generation.queue.running import RunningBatch
from generation.queue.store import JobStore
from generation.queue.trouble import Trouble


class Settling:
    """Settles the jobs of a batch: done, failed, to be tried again, handed back. Trouble with the store is survived."""

    def __init__(
        self, *, store: JobStore, queue: FairQueue, catalogue: Catalogue, listener: QueueListener, trouble: Trouble
    ) -> None:
        self._store = store
        self._queue = queue
        self._catalogue = catalogue
        self._listener = listener
        self._trouble = trouble

    async def finish(self, running: RunningBatch, job: Job, pictures: Sequence[Picture]) -> None:
        """The job is painted."""
        with self._trouble.survive("job_not_finished", job.id) as attempt:
            done = await self._store.finish(job.id, worker=running.worker.name, pictures=pictures)
            if done is not None:
                self._trouble.over()
                self._listener.job_ended(done)
        if attempt.error is not None:
            await self.try_again(running, attempt.error, only=job)

    async def fail(self, running: RunningBatch, job: Job, *, error: str) -> None:
        """The job can never be painted; `error` is the key that it is stored with."""
        if await self._store.fail(job.id, error=error, worker=running.worker.name):
            await self._follow(job.id)

    async def try_again(
        self, running: RunningBatch, error: Exception, *, useless: bool = False, only: Job | None = None
    ) -> None:
        """Back to the queue, where each job will run alone; or failed, after its last attempt or if that is useless."""
        key = error.key if isinstance(error, LimnerError) else LimnerError.key
        for job in running.wanted_jobs() if only is None else (only,):
            with self._trouble.survive("job_not_returned", job.id):
                if useless or job.attempt >= MAX_ATTEMPTS:
                    await self._store.fail(job.id, error=key, worker=running.worker.name)
                else:
                    await self._store.retry(job.id, worker=running.worker.name)
                # Also if nothing changed: what raised may have been durable all the same.
                await self._follow(job.id)

    async def hand_back(self, running: RunningBatch) -> None:
        """Let the batch's jobs wait again as if they had not been picked."""
        with self._trouble.survive("batch_not_handed_back", *running.ids):
            await self._store.hand_back(running.ids, worker=running.worker.name)
        for job_id in running.ids:
            self._queue.give_back(running.picked[job_id])

    async def _follow(self, job_id: int) -> None:
        """Do what a job's status asks for now that it was settled. Of a cancelled one, `Dispatcher.cancel` tells."""
        job = await self._store.get(job_id)
        if job is None:
            return
        if job.status is JobStatus.QUEUED:
            self._queue.give_back(QueuedJob.of(job, self._catalogue))
        elif job.status in (JobStatus.DONE, JobStatus.FAILED):
            self._listener.job_ended(job)
