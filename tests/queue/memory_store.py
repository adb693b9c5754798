"""A job store in memory: what `JobStore` means, without a database. It can be told to fail."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from generation.clock import Clock
from generation.engine.protocol import Picture
from generation.errors import WorkerLost
from generation.job import MAX_ATTEMPTS, Job, JobStatus, NewJob, may_become
from generation.safety import PICTURE_BLOCKED


class MemoryStore:
    """Implements `JobStore`.

    `settled` counts how often each job was paid for, `pictures` holds what was kept, `blocked` the scores of those that
    were not. An exception in `failures[verb]` is raised by the next call of that verb, before anything is done, or
    after it is done for `f"after {verb}"`.
    """

    def __init__(self, clock: Clock) -> None:
        self.jobs: dict[int, Job] = {}
        self.pictures: dict[int, Sequence[Picture]] = {}
        self.settled: Counter[int] = Counter()
        self.refunded: Counter[int] = Counter()
        self.blocked: dict[int, float] = {}
        self.sources: dict[str, bytes] = {}
        self.failures: dict[str, list[Exception]] = {}
        self.renewals = 0
        self._clock = clock

    def order(self, new: NewJob) -> Job:
        """What the bot does before it submits."""
        fields: dict[str, Any] = {field.name: getattr(new, field.name) for field in dataclasses.fields(new)}
        job = Job(**fields, id=len(self.jobs) + 1, status=JobStatus.QUEUED, created_at=self._clock.now())
        self.jobs[job.id] = job
        return job

    async def waiting(self) -> Sequence[Job]:
        await self._enter("waiting")
        return [job for job in self.jobs.values() if job.status is JobStatus.QUEUED]

    async def waiting_ids(self) -> Collection[int]:
        return {job.id for job in await self.waiting()}

    async def undelivered_ids(self) -> Collection[int]:
        await self._enter("undelivered_ids")
        return {job.id for job in self.jobs.values() if job.status.terminal and job.delivered_at is None}

    async def running(self) -> Sequence[Job]:
        await self._enter("running")
        return [job for job in self.jobs.values() if job.status is JobStatus.RUNNING]

    async def those(self, job_ids: Collection[int]) -> Sequence[Job]:
        await self._enter("those")
        return [self.jobs[job_id] for job_id in sorted(job_ids) if job_id in self.jobs]

    async def get(self, job_id: int) -> Job | None:
        await self._enter("get")
        return self.jobs.get(job_id)

    async def lease(self, job_ids: Sequence[int], *, worker: str, seconds: float) -> Sequence[Job]:
        await self._enter("lease")
        until = self._clock.now() + timedelta(seconds=seconds)
        leased = [
            self._become(job_id, JobStatus.RUNNING, worker=worker, until=until, attempts=1)
            for job_id in job_ids
            if self.jobs[job_id].status is JobStatus.QUEUED
        ]
        self._fail("after lease")
        return leased

    async def renew(self, job_ids: Sequence[int], *, worker: str, seconds: float) -> None:
        await self._enter("renew")
        until = self._clock.now() + timedelta(seconds=seconds)
        self.renewals += 1
        for job_id in job_ids:
            if self._leased_to(job_id, worker):
                self.jobs[job_id] = dataclasses.replace(self.jobs[job_id], lease_until=until)

    async def hand_back(self, job_ids: Sequence[int], *, worker: str) -> None:
        await self._enter("hand_back")
        for job_id in job_ids:
            if self._leased_to(job_id, worker):
                self._become(job_id, JobStatus.QUEUED, attempts=-1)

    async def retry(self, job_id: int, *, worker: str) -> bool:
        await self._enter("retry")
        if not self._leased_to(job_id, worker):
            return False
        self._become(job_id, JobStatus.QUEUED)
        return True

    async def finish(
        self, job_id: int, *, worker: str, pictures: Sequence[Picture], spoiler: bool = False
    ) -> Job | None:
        await self._enter("finish")
        if not self._leased_to(job_id, worker):
            return None
        assert len(pictures) == len(self.jobs[job_id].recipes)
        self.pictures[job_id] = pictures
        self.settled[job_id] += 1
        self._become(job_id, JobStatus.DONE)
        if spoiler:
            self.jobs[job_id] = dataclasses.replace(self.jobs[job_id], spoiler=True)
        self._fail("after finish")
        return self.jobs[job_id]

    async def block(self, job_id: int, *, worker: str, score: float) -> bool:
        await self._enter("block")
        if not self._leased_to(job_id, worker):
            return False
        self._become(job_id, JobStatus.FAILED, error=PICTURE_BLOCKED)
        self.refunded[job_id] += 1
        self.blocked[job_id] = score
        self._fail("after block")
        return True

    async def fail(self, job_id: int, *, error: str, worker: str | None = None) -> bool:
        await self._enter("fail")
        if worker is not None and not self._leased_to(job_id, worker):
            return False
        if not may_become(self.jobs[job_id].status, JobStatus.FAILED):
            return False
        self._become(job_id, JobStatus.FAILED, error=error)
        self.refunded[job_id] += 1
        return True

    async def cancel(self, job_id: int, *, by: int | None = None) -> bool:
        await self._enter("cancel")
        if job_id not in self.jobs or not may_become(self.jobs[job_id].status, JobStatus.CANCELLED):
            return False
        self._become(job_id, JobStatus.CANCELLED)
        self.refunded[job_id] += 1
        return True

    async def take_back_expired(self, now: datetime) -> Sequence[Job]:
        await self._enter("take_back_expired")
        expired = [job for job in self.jobs.values() if job.lease_until is not None and job.lease_until < now]
        for job in expired:
            if job.attempt >= MAX_ATTEMPTS:
                self._become(job.id, JobStatus.FAILED, error=WorkerLost.key)
                self.refunded[job.id] += 1
            else:
                self._become(job.id, JobStatus.QUEUED)
        return [self.jobs[job.id] for job in expired]

    async def source(self, digest: str) -> bytes | None:
        await self._enter("source")
        return self.sources.get(digest)

    async def _enter(self, verb: str) -> None:
        await asyncio.sleep(0.002)  # as a database would, let others go on meanwhile
        self._fail(verb)

    def _fail(self, verb: str) -> None:
        if self.failures.get(verb):
            raise self.failures[verb].pop(0)

    def _leased_to(self, job_id: int, worker: str) -> bool:
        job = self.jobs[job_id]
        return job.status is JobStatus.RUNNING and job.worker == worker

    def _become(
        self,
        job_id: int,
        status: JobStatus,
        *,
        worker: str | None = None,
        until: datetime | None = None,
        attempts: int = 0,
        error: str | None = None,
    ) -> Job:
        job = self.jobs[job_id]
        assert may_become(job.status, status)
        self.jobs[job_id] = dataclasses.replace(
            job, status=status, worker=worker, lease_until=until, attempt=job.attempt + attempts, error=error
        )
        return self.jobs[job_id]
