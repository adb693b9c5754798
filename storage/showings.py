"""Showings: the messages that show pictures beside the message of their job, so that they can be taken back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.file_needs import AT_ONCE
from storage.inserting import insert_new
from storage.job_rows import lock_jobs
from storage.tables import JobRow, ShowingRow
from storage.uninterrupted import uninterrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """A message that shows one picture of a job, or (`image_id` None) all of them."""

    channel_id: int
    message_id: int
    job_id: int
    image_id: int | None = None


@uninterrupted
class Showings:
    """Messages with pictures, from when they are sent until they are removed. A job remembers its own message."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def remember(self, showing: Showing) -> None:
        """A message was sent. Twice is once."""
        async with self._database.writing() as session:
            await insert_new(
                session, ShowingRow, **{field.name: getattr(showing, field.name) for field in fields(Showing)}
            )

    async def of_job(self, job_id: int) -> Sequence[Showing]:
        """All messages with pictures of that job, its own among them, as far as they are known, oldest first."""
        async with self._database.reading() as session:
            return await showings_of(session, [job_id])

    async def forget(self, message_id: int) -> None:
        """The message is not there any more."""
        async with self._database.writing() as session:
            await session.execute(delete(ShowingRow).where(ShowingRow.message_id == message_id))
            for job in await lock_jobs(session, JobRow.message_id == message_id):
                job.message_id = None


async def showings_of(session: AsyncSession, job_ids: Collection[int]) -> list[Showing]:
    """All messages with pictures of these jobs, oldest first: Discord's ids rise with time."""
    wanted, found = sorted(job_ids), list[Showing]()
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        jobs = await session.execute(
            select(JobRow.id, JobRow.channel_id, JobRow.message_id).where(
                JobRow.id.in_(some), JobRow.message_id.is_not(None)
            )
        )
        found += [
            Showing(channel_id=channel, message_id=message, job_id=job) for job, channel, message in jobs if message
        ]
        rows = await session.scalars(select(ShowingRow).where(ShowingRow.job_id.in_(some)))
        found += [Showing(**{field.name: getattr(row, field.name) for field in fields(Showing)}) for row in rows]
    return sorted(found, key=lambda showing: showing.message_id)
