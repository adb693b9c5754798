"""What an order is held against in its transaction: whether it was taken before, and what of it is still there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from generation.job import UNFINISHED, Job, JobStatus, NewJob
from storage.errors import TooManyJobs, TooManyNewJobs
from storage.job_rows import job_of
from storage.tables import ImageRow, JobRow


async def of_keys(session: AsyncSession, request_keys: Sequence[str]) -> Sequence[Job]:
    """The jobs that were ordered under these keys, in their order."""
    rows = await session.scalars(select(JobRow).where(JobRow.request_key.in_(request_keys)))
    found = {row.request_key: job_of(row) for row in rows}
    return [found[key] for key in request_keys if key in found]


async def with_parents_that_are_there(session: AsyncSession, new: Sequence[NewJob]) -> Sequence[NewJob]:
    """The jobs as they are, but without a parent that was deleted since somebody looked; the others stay till the end.

    Without its file such a job fails when its turn comes, and its price is given back.
    """
    wanted = {job.parent_image_id for job in new} - {None}
    if not wanted:
        return new
    held = select(ImageRow.id).where(ImageRow.id.in_(wanted)).with_for_update(read=True, key_share=True)
    there = set(await session.scalars(held))
    return [job if job.parent_image_id in there else replace(job, parent_image_id=None) for job in new]


async def check_room(
    session: AsyncSession, user_id: int, guild_id: int | None, *, wanted: int, max_queued: int
) -> None:
    """Raises `TooManyJobs` or `TooManyNewJobs` unless the member may have so many more unfinished jobs."""
    unfinished = sum((await count_jobs(session, user_id, guild_id, UNFINISHED)).values())
    if unfinished >= max_queued:
        raise TooManyJobs(queued=unfinished, limit=max_queued)
    if unfinished + wanted > max_queued:
        raise TooManyNewJobs(wanted=wanted, queued=unfinished, limit=max_queued)


async def count_jobs(
    session: AsyncSession, user_id: int, guild_id: int | None, statuses: Collection[JobStatus]
) -> dict[JobStatus, int]:
    """How many jobs in those statuses the member has in that server (None: in direct messages); none: no entry."""
    rows = await session.execute(
        select(JobRow.status, func.count())
        .where(JobRow.user_id == user_id, JobRow.guild_id == guild_id, JobRow.status.in_(statuses))
        .group_by(JobRow.status)
    )
    return dict(rows.all())
