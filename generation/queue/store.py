"""What the queue needs to have remembered. `storage/jobs.py` implements it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from generation.engine.protocol import Picture
from generation.job import Job


class JobStore(Protocol):
    """Durable jobs. Each method is one transaction; times are aware UTC.

    A status changes only as `generation.job` allows. Methods that end or take back a lease name the worker: if the job
    is no longer leased to it (it was cancelled, or the lease ran out and another took it), nothing changes and False
    (of `finish`: None) comes back.
    """

    async def waiting(self) -> Sequence[Job]:
        """All queued jobs, oldest first."""

    async def waiting_ids(self) -> Collection[int]:
        """The ids of all queued jobs, in no order: cheap, to be compared with what one believes."""

    async def undelivered_ids(self) -> Collection[int]:
        """The ids of all ended jobs whose people were not told yet, in no order.

        Cheap, and few, unless a program that would tell them is away.
        """

    async def running(self) -> Sequence[Job]:
        """All jobs that a worker of any program is leased."""

    async def get(self, job_id: int) -> Job | None:
        """One job, or None."""

    async def those(self, job_ids: Collection[int]) -> Sequence[Job]:
        """These jobs as they are now, by rising id; those that are not there are left out."""

    async def lease(self, job_ids: Sequence[int], *, worker: str, seconds: float) -> Sequence[Job]:
        """Queued → running, `attempt` + 1, for so long from the write on, however long that had to wait.

        What was really leased comes back. The rest was cancelled meanwhile, or leased by another program, or is being
        changed by one in this moment: it may wait yet.
        """

    async def renew(self, job_ids: Sequence[int], *, worker: str, seconds: float) -> None:
        """Let the lease of running jobs end so many seconds after the write."""

    async def hand_back(self, job_ids: Sequence[int], *, worker: str) -> None:
        """Running → queued without counting the attempt: the program stops in good order."""

    async def retry(self, job_id: int, *, worker: str) -> bool:
        """Running → queued after a failed attempt (the attempt counts)."""

    async def finish(
        self, job_id: int, *, worker: str, pictures: Sequence[Picture], spoiler: bool = False
    ) -> Job | None:
        """Running → done: pictures kept and credits settled in one transaction. The job as it is then.

        `spoiler`: from now on the job's pictures are shown behind one, whatever was ordered. None: not ours any more.
        """

    async def block(self, job_id: int, *, worker: str, score: float) -> bool:
        """Running → failed with `generation.safety.PICTURE_BLOCKED`, for pictures that must not be seen.

        Credits are given back and the server's moderators find it in their log, in the same transaction. The pictures
        are not kept. `score` is the one that decided.
        """

    async def fail(self, job_id: int, *, error: str, worker: str | None = None) -> bool:
        """Queued or running → failed with an error key; credits given back in the same transaction."""

    async def cancel(self, job_id: int, *, by: int | None = None) -> bool:
        """Queued or running → cancelled; credits given back in the same transaction. False: it had already ended.

        `by` is the moderator who called it off; None: its owner did.
        """

    async def take_back_expired(self, now: datetime) -> Sequence[Job]:
        """Running jobs whose lease ran out → queued, or failed with a refund after the last one. As they are now."""

    async def source(self, digest: str) -> bytes | None:
        """The bytes of a stored picture by its SHA-256 (hex), or None if it is gone."""
