"""How leased jobs end, as the store decides, and what follows from that: told, or queued again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import structlog

from generation.catalogue import Catalogue
from generation.engine.protocol import Picture
from generation.errors import LimnerError, PictureUnchecked
from generation.job import MAX_ATTEMPTS, Job, JobStatus
from generation.queue.listener import QueueListener
from generation.queue.policy import FairQueue, QueuedJob
from generation.queue.running import RunningBatch
from generation.queue.store import JobStore
from generation.queue.trouble import Trouble
from generation.safety import SafetyPolicy, Verdict, highest

# Called on the event loop with a job whose pictures were blocked, and their highest score. As a listener's methods.
OnBlocked: TypeAlias = Callable[[Job, float], None]


class Settling:
    """Settles the jobs of a batch: done, failed, to be tried again, handed back. Trouble with the store is survived.

    `safety` None: no image classifier is configured, and pictures are what they are.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        queue: FairQueue,
        catalogue: Catalogue,
        listener: QueueListener,
        trouble: Trouble,
        safety: SafetyPolicy | None = None,
        on_blocked: OnBlocked | None = None,
    ) -> None:
        self._store = store
        self._queue = queue
        self._catalogue = catalogue
        self._listener = listener
        self._trouble = trouble
        self._safety = safety
        self._on_blocked = on_blocked
        self._log = structlog.get_logger(__name__)

    async def finish(self, running: RunningBatch, job: Job, pictures: Sequence[Picture]) -> None:
        """The job is painted: deliver it, or not if the image classifier saw what must not be seen."""
        try:
            verdict = self._verdict(job, pictures)
        except PictureUnchecked as error:
            self._log.error("pictures_unchecked", job_id=job.id, worker=running.worker.name, error=str(error))
            await self.try_again(running, error, only=job)
            return
        with self._trouble.survive("job_not_finished", job.id) as attempt:
            if verdict is Verdict.BLOCK:
                await self._block(running, job, highest([picture.score for picture in pictures]))
                return
            spoiler = verdict is Verdict.SPOILER
            done = await self._store.finish(job.id, worker=running.worker.name, pictures=pictures, spoiler=spoiler)
            if done is None:
                await self._take_up(job.id)
            else:
                self._trouble.over()
                self._listener.job_ended(done)
        if attempt.error is not None:
            await self.try_again(running, attempt.error, only=job)

    def _verdict(self, job: Job, pictures: Sequence[Picture]) -> Verdict:
        if self._safety is None:
            return Verdict.DELIVER
        scores = [picture.score for picture in pictures]
        verdict = self._safety.verdict(scores, age_restricted=job.age_restricted)
        if verdict is not Verdict.DELIVER:
            self._log.warning(
                "pictures_flagged", job_id=job.id, user_id=job.user_id, score=highest(scores), verdict=verdict.value
            )
        return verdict

    async def _block(self, running: RunningBatch, job: Job, score: float) -> None:
        """End the job without its pictures. If its owner has called it off meanwhile, there is nobody to tell."""
        if await self._store.block(job.id, worker=running.worker.name, score=score):
            self._trouble.over()
            if self._on_blocked is not None:
                self._on_blocked(job, score)
            await self._follow(job.id)
        else:
            await self._take_up(job.id)

    async def fail(self, running: RunningBatch, job: Job, *, error: str) -> None:
        """The job can never be painted; `error` is the key that it is stored with."""
        if await self._store.fail(job.id, error=error, worker=running.worker.name):
            await self._follow(job.id)
        else:
            await self._take_up(job.id)

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

    async def _take_up(self, job_id: int) -> None:
        """A job is not ours any more. If its lease ran out it waits again, and nobody else lets it wait here.

        Whoever ended it has told so.
        """
        job = await self._store.get(job_id)
        if job is not None and job.status is JobStatus.QUEUED:
            self._queue.give_back(QueuedJob.of(job, self._catalogue))

    async def _follow(self, job_id: int) -> None:
        """Do what a job's status asks for now that it was settled. Of a cancelled one, `Dispatcher.cancel` tells."""
        job = await self._store.get(job_id)
        if job is None:
            return
        if job.status is JobStatus.QUEUED:
            self._queue.give_back(QueuedJob.of(job, self._catalogue))
        elif job.status in (JobStatus.DONE, JobStatus.FAILED):
            self._listener.job_ended(job)
