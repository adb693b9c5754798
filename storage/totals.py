"""Totals: how much was drawn, by one member in all their time and by each of a server lately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select

from generation.job import JobStatus
from storage.database import Database
from storage.tables import ImageRow, JobRow
from storage.uninterrupted import uninterrupted

LATELY = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What came of a member's jobs: how many are done, and their work in credits, relaxed ones too."""

    user_id: int
    jobs: int
    work: int


@uninterrupted
class Totals:
    """Sums over jobs that are done."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_member(self, user_id: int, guild_id: int | None) -> Total:
        """All that the member ever drew there; `guild_id` None: in direct messages."""
        done = (JobRow.user_id == user_id, JobRow.guild_id == guild_id, JobRow.status == JobStatus.DONE)
        async with self._database.reading() as session:
            found = await session.execute(select(func.count(), func.coalesce(func.sum(JobRow.cost), 0)).where(*done))
            jobs, work = found.one()
        return Total(user_id=user_id, jobs=int(jobs), work=int(work))

    async def kept(self, user_id: int, guild_id: int | None) -> int:
        """How many of the pictures that the member drew there are still there."""
        pictures = (
            select(func.count())
            .select_from(ImageRow)
            .join(JobRow, JobRow.id == ImageRow.job_id)
            .where(JobRow.user_id == user_id, JobRow.guild_id == guild_id, JobRow.status == JobStatus.DONE)
        )
        async with self._database.reading() as session:
            return await session.scalar(pictures) or 0

    async def most(self, guild_id: int, *, limit: int) -> Sequence[Total]:
        """Those who drew most in the server within `LATELY`, by work, the first of them first."""
        since = self._database.now() - LATELY
        work = func.sum(JobRow.cost)
        ranking = (
            select(JobRow.user_id, func.count(), work)
            .where(JobRow.status == JobStatus.DONE, JobRow.finished_at >= since, JobRow.guild_id == guild_id)
            .group_by(JobRow.user_id)
            .order_by(work.desc(), JobRow.user_id)
            .limit(limit)
        )
        async with self._database.reading() as session:
            rows = await session.execute(ranking)
            return [Total(user_id=user_id, jobs=int(jobs), work=int(sum_)) for user_id, jobs, sum_ in rows]
