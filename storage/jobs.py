"""Jobs: ordered, leased, ended, delivered. Each verb is one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from generation.engine.protocol import Picture
from generation.errors import WorkerLost
from generation.job import MAX_ATTEMPTS, UNFINISHED, Job, JobStatus, NewJob, Priority
from generation.queue.store import JobStore
from generation.safety import PICTURE_BLOCKED
from storage import ledger
from storage.bans import check_ban
from storage.blocked_pictures import ACTION, blocked_details
from storage.database import Database
from storage.deletion import Deletion
from storage.errors import FilesUnwritable
from storage.file_needs import AT_ONCE
from storage.files import Files
from storage.guilds import remember_guild
from storage.job_rows import become, end, job_of, job_row, lock_job, lock_jobs, note_moved
from storage.moderator_log import write_down
from storage.ordering import check_room, count_jobs, of_keys, with_parents_that_are_there
from storage.relaxing import RelaxLimits, check_relaxed
from storage.tables import ImageRow, JobRow
from storage.uninterrupted import uninterrupted
from storage.users import lock_user

PART = 100  # jobs that are made of their rows in one go, where there may be very many


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCounts:
    """How many unfinished jobs a member has."""

    queued: int
    running: int


@uninterrupted
class Jobs(JobStore):
    """Durable jobs. What `generation.queue.store.JobStore` promises, and ordering and delivery for the bot.

    A job's credits move in the same transaction as its status: held by `order`, settled by `finish`, given back by
    whatever else ends it.
    """

    def __init__(self, database: Database, files: Files, deletion: Deletion) -> None:
        self._database = database
        self._files = files
        self._deletion = deletion

    # Ordering and delivery ----------------------------------------------------------------------------------------

    async def order(
        self, new: NewJob, *, allowance: int | None, max_queued: int, request_key: str | None = None
    ) -> Job:
        """Hold the price and queue the job. When this returns, both are durable.

        `allowance` is what the member may spend per UTC day unless a moderator set their own; None: no limit.
        `max_queued` is how many unfinished jobs a member may have. `request_key` (up to 100 characters) makes the order
        idempotent: the same key again gives the first job, and nothing is charged.
        Raises what `check_ban` does, `TooManyJobs` or `OutOfCredits`; then nothing has changed.
        """
        keys = None if request_key is None else [request_key]
        [job] = await self.order_many([new], allowance=allowance, max_queued=max_queued, request_keys=keys)
        return job

    async def order_many(
        self,
        new: Sequence[NewJob],
        *,
        allowance: int | None,
        max_queued: int,
        relax: RelaxLimits | None = None,
        request_keys: Sequence[str] | None = None,
        answer_token: str | None = None,
    ) -> Sequence[Job]:
        """Order several jobs of one member at once: all of them or, if one cannot be taken, none.

        As `order`, with a key for each; the same keys again give the first jobs. `answer_token` (up to 500 characters)
        is what the answer to the order of a single job can be changed with. Raises what `check_ban` does,
        `TooManyJobs`, `TooManyNewJobs`, with `relax` what `check_relaxed` does, or `OutOfCredits` (for all together);
        then nothing has changed.
        """
        user_id, guild_id = new[0].user_id, new[0].guild_id
        keys: Sequence[str | None] = request_keys or [None] * len(new)
        async with self._database.writing() as session:
            now = self._database.now()
            await lock_user(session, user_id, now)
            await remember_guild(session, guild_id, now)
            if request_keys is not None and (first := await of_keys(session, request_keys)):
                return first
            # A ban calls off what its person has ordered: no order may come after it that was asked for before.
            await check_ban(session, user_id, guild_id, now=now)
            await check_room(session, user_id, guild_id, wanted=len(new), max_queued=max_queued)
            if relax is not None:
                relaxed = sum(job.priority is Priority.RELAX for job in new)
                await check_relaxed(session, user_id, guild_id, wanted=relaxed, limits=relax, now=now)
            new = await with_parents_that_are_there(session, new)
            rows = [job_row(job, request_key=key, now=now) for job, key in zip(new, keys, strict=True)]
            if answer_token is not None:
                [row] = rows
                row.answer_token = answer_token
            session.add_all(rows)
            await session.flush()  # gives them the ids that their holds refer to
            for row in rows:
                note_moved(row)
            await ledger.hold(session, rows, allowance=allowance, now=now)
            return [job_of(row) for row in rows]

    async def check_order(
        self,
        new: Sequence[NewJob],
        *,
        allowance: int | None,
        max_queued: int,
        relax: RelaxLimits | None = None,
    ) -> int | None:
        """Whether these jobs would be taken now: the credits that would be left, None for no limit.

        Raises what `order_many` would.
        """
        user_id, guild_id, price = new[0].user_id, new[0].guild_id, sum(job.price for job in new)
        async with self._database.reading() as session:
            now = self._database.now()
            await check_ban(session, user_id, guild_id, now=now)
            await check_room(session, user_id, guild_id, wanted=len(new), max_queued=max_queued)
            if relax is not None:
                relaxed = sum(job.priority is Priority.RELAX for job in new)
                await check_relaxed(session, user_id, guild_id, wanted=relaxed, limits=relax, now=now)
            at_hand = await ledger.afford(session, user_id, guild_id, price, allowance=allowance, now=now)
        return None if at_hand.available is None else at_hand.available - price

    async def set_message(self, job_id: int, message_id: int) -> None:
        """Remember which message shows the job's status."""
        async with self._database.writing() as session:
            row = await lock_job(session, job_id)
            if row is not None:
                row.message_id = message_id

    async def answer_token(self, job_id: int) -> str | None:
        """What the answer to the job's order can be changed with; None once the job is delivered, or if it had none."""
        async with self._database.reading() as session:
            return await session.scalar(select(JobRow.answer_token).where(JobRow.id == job_id))

    async def delivered(self, job_id: int) -> None:
        """The person has seen how the job ended. The first time counts; an unfinished job is left as it is."""
        async with self._database.writing() as session:
            row = await lock_job(session, job_id)
            if row is not None and row.status.terminal and row.delivered_at is None:
                row.delivered_at = self._database.now()
                row.answer_token = None

    async def undelivered(self) -> Sequence[Job]:
        """Ended jobs that nobody was told about, in the order in which they ended."""
        return await self._read(
            select(JobRow)
            .where(JobRow.delivered_at.is_(None), JobRow.finished_at.is_not(None))
            .order_by(JobRow.finished_at, JobRow.id)
        )

    async def of_user(self, user_id: int, *, guild_id: int | None, statuses: Collection[JobStatus]) -> Sequence[Job]:
        """The member's jobs in those statuses, oldest first. `guild_id` None: those ordered in direct messages."""
        return await self._read(
            select(JobRow)
            .where(JobRow.user_id == user_id, JobRow.guild_id == guild_id, JobRow.status.in_(statuses))
            .order_by(JobRow.created_at, JobRow.id)
        )

    async def of_guild(self, guild_id: int, *, statuses: Collection[JobStatus]) -> Sequence[Job]:
        """All jobs of a server in those statuses, oldest first."""
        return await self._read(
            select(JobRow)
            .where(JobRow.status.in_(statuses), JobRow.guild_id == guild_id)
            .order_by(JobRow.created_at, JobRow.id)
        )

    async def counts(self, user_id: int, guild_id: int | None) -> JobCounts:
        """How many jobs of the member wait or run."""
        async with self._database.reading() as session:
            counts = await count_jobs(session, user_id, guild_id, UNFINISHED)
        return JobCounts(queued=counts.get(JobStatus.QUEUED, 0), running=counts.get(JobStatus.RUNNING, 0))

    # What the queue reads -------------------------------------------------------------------------------------------

    async def waiting(self) -> Sequence[Job]:
        # There may be very many: between two parts of them the event loop does other things.
        queued = select(JobRow).where(JobRow.status == JobStatus.QUEUED).order_by(JobRow.created_at, JobRow.id)
        jobs: list[Job] = []
        async with self._database.reading() as session:
            rows = await session.stream_scalars(queued.execution_options(yield_per=PART))
            async for some in rows.partitions():
                jobs += [job_of(row) for row in some]
        return jobs

    async def waiting_ids(self) -> Collection[int]:
        async with self._database.reading() as session:
            return set(await session.scalars(select(JobRow.id).where(JobRow.status == JobStatus.QUEUED)))

    async def undelivered_ids(self) -> Collection[int]:
        async with self._database.reading() as session:
            untold = select(JobRow.id).where(JobRow.delivered_at.is_(None), JobRow.finished_at.is_not(None))
            return set(await session.scalars(untold))

    async def running(self) -> Sequence[Job]:
        return await self._read(select(JobRow).where(JobRow.status == JobStatus.RUNNING).order_by(JobRow.id))

    async def those(self, job_ids: Collection[int]) -> Sequence[Job]:
        ids, found = sorted(job_ids), list[Job]()
        for start in range(0, len(ids), AT_ONCE):
            some = JobRow.id.in_(ids[start : start + AT_ONCE])
            found += await self._read(select(JobRow).where(some).order_by(JobRow.id))
        return found

    async def get(self, job_id: int) -> Job | None:
        async with self._database.reading() as session:
            row = await session.get(JobRow, job_id)
            return None if row is None else job_of(row)

    async def source(self, digest: str) -> bytes | None:
        return await self._files.read(digest)

    # Leases -----------------------------------------------------------------------------------------------------------

    async def lease(self, job_ids: Sequence[int], *, worker: str, seconds: float) -> Sequence[Job]:
        async with self._database.writing() as session:
            # Who holds one of them is leasing it, calling it off, or noting its message: this program goes on with the
            # others meanwhile.
            rows = await lock_jobs(session, JobRow.id.in_(job_ids), JobRow.status == JobStatus.QUEUED, skip_locked=True)
            now = self._database.now()
            until = now + timedelta(seconds=seconds)
            leased = {
                row.id: job_of(row)
                for row in rows
                if become(row, JobStatus.RUNNING, now=now, worker=worker, lease_until=until)
            }
        return [leased[job_id] for job_id in job_ids if job_id in leased]

    async def renew(self, job_ids: Sequence[int], *, worker: str, seconds: float) -> None:
        async with self._database.writing() as session:
            rows = await _leased_to(session, worker, job_ids)
            until = self._database.now() + timedelta(seconds=seconds)
            for row in rows:
                row.lease_until = until

    async def hand_back(self, job_ids: Sequence[int], *, worker: str) -> None:
        async with self._database.writing() as session:
            for row in await _leased_to(session, worker, job_ids):
                if become(row, JobStatus.QUEUED, now=self._database.now()):
                    row.attempt -= 1

    async def retry(self, job_id: int, *, worker: str) -> bool:
        async with self._database.writing() as session:
            rows = await _leased_to(session, worker, [job_id])
            return bool(rows) and become(rows[0], JobStatus.QUEUED, now=self._database.now())

    async def take_back_expired(self, now: datetime) -> Sequence[Job]:
        return await self._take_back(JobRow.lease_until < now)

    async def take_back_from(self, instance: str) -> Sequence[Job]:
        """At the start of the program of that name: what its workers were running when it died, as it is now.

        Each job is queued again, or failed with a refund after its last attempt. Workers are named `instance/device`.
        """
        prefix = f"{instance}/"
        # Not LIKE: SQLite's is blind to case, and names may hold its wildcards.
        return await self._take_back(func.substr(JobRow.worker, 1, len(prefix)) == prefix)

    # Endings ----------------------------------------------------------------------------------------------------------

    async def finish(
        self, job_id: int, *, worker: str, pictures: Sequence[Picture], spoiler: bool = False
    ) -> Job | None:
        """See `JobStore.finish`. Files come first: one that no row names after a crash does no harm.

        Raises `FilesUnwritable`, and `ValueError` unless there is a picture for each recipe of the job.
        """
        digests = await asyncio.gather(*(self._files.write(picture.png) for picture in pictures))
        async with self._database.writing() as session:
            now = self._database.now()
            rows = await _leased_to(session, worker, [job_id])
            if not rows or not await end(session, rows[0], JobStatus.DONE, now=now):
                return None
            row = rows[0]
            row.spoiler = row.spoiler or spoiler
            session.add_all(
                ImageRow(
                    job_id=row.id,
                    index=index,
                    user_id=row.user_id,
                    guild_id=row.guild_id,
                    recipe=recipe,
                    parent_image_id=row.parent_image_id,
                    digest=digest,
                    width=picture.width,
                    height=picture.height,
                    created_at=now,
                )
                for index, (recipe, picture, digest) in enumerate(zip(row.recipes, pictures, digests, strict=True))
            )
            job = job_of(row)
        # A picture with the same bytes may have been deleted since, before the rows could be seen that need its file
        # now: see `Deletion.drop_files`. A disk that is full just then has had the file before.
        with suppress(FilesUnwritable):
            await asyncio.gather(*(self._files.write(picture.png) for picture in pictures))
        await self._drop_sources(job)
        return job

    async def block(self, job_id: int, *, worker: str, score: float) -> bool:
        async with self._database.writing() as session:
            now = self._database.now()
            rows = await _leased_to(session, worker, [job_id])
            if not rows or not await end(session, rows[0], JobStatus.FAILED, now=now, error=PICTURE_BLOCKED):
                return False
            row = rows[0]
            if row.guild_id is not None:  # direct messages have no moderators
                details = blocked_details(row.id, row.channel_id, score)
                await write_down(session, row.guild_id, None, ACTION, row.user_id, details, now=now)
            job = job_of(row)
        await self._drop_sources(job)
        return True

    async def fail(self, job_id: int, *, error: str, worker: str | None = None) -> bool:
        async with self._database.writing() as session:
            row = await lock_job(session, job_id)
            if row is None or (worker is not None and row.worker != worker):
                return False
            if not await end(session, row, JobStatus.FAILED, now=self._database.now(), error=error):
                return False
            job = job_of(row)
        await self._drop_sources(job)
        return True

    async def cancel(self, job_id: int, *, by: int | None = None) -> bool:
        async with self._database.writing() as session:
            now = self._database.now()
            row = await lock_job(session, job_id)
            if row is None or not await end(session, row, JobStatus.CANCELLED, now=now):
                return False
            if by is not None and row.guild_id is not None:
                await write_down(session, row.guild_id, by, "job.cancel", row.user_id, {"job": row.id}, now=now)
            job = job_of(row)
        await self._drop_sources(job)
        return True

    async def _take_back(self, lost: ColumnElement[bool]) -> Sequence[Job]:
        async with self._database.writing() as session:
            now = self._database.now()
            rows = await lock_jobs(session, JobRow.status == JobStatus.RUNNING, lost)
            for row in rows:
                if row.attempt < MAX_ATTEMPTS:
                    become(row, JobStatus.QUEUED, now=now)
                else:
                    await end(session, row, JobStatus.FAILED, now=now, error=WorkerLost.key)
            jobs = [job_of(row) for row in rows]
        await self._drop_sources(*(job for job in jobs if job.status.terminal))
        log = structlog.get_logger(__name__)
        for job in jobs:
            log.warning("job_taken_back", job_id=job.id, user_id=job.user_id, attempt=job.attempt, status=job.status)
        return jobs

    async def _drop_sources(self, *ended: Job) -> None:
        """Nothing is kept of a picture that was deleted while these jobs were to start from it."""
        await self._deletion.drop_left(
            {digest for job in ended for recipe in job.recipes for digest in recipe.stored_files}
        )

    async def _read(self, query: Select[JobRow]) -> Sequence[Job]:
        async with self._database.reading() as session:
            return [job_of(row) for row in await session.scalars(query)]


async def _leased_to(session: AsyncSession, worker: str, job_ids: Collection[int]) -> Sequence[JobRow]:
    """Those of the jobs that this worker runs, locked."""
    return await lock_jobs(session, JobRow.id.in_(job_ids), JobRow.status == JobStatus.RUNNING, JobRow.worker == worker)
