"""The books: whether each job's credits moved as the job ended, once. For drills, and for whoever doubts a balance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from generation.job import Job, JobStatus
from storage.database import Database
from storage.job_rows import job_of
from storage.tables import CreditEntryRow, ImageRow, JobRow
from storage.uninterrupted import uninterrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One job and what the ledger says about it.

    `taken` are the credits that its owner is without because of it, by the ledger; `pictures` how many are kept.
    `request_key` is what it was ordered under.
    """

    job: Job
    taken: int
    pictures: int
    request_key: str | None

    @property
    def drift(self) -> int:
        """Credits that were taken and should not have been; below zero: that should have been taken and were not."""
        due = self.job.price if self.job.status not in (JobStatus.FAILED, JobStatus.CANCELLED) else 0
        return self.taken - due


@uninterrupted
class Books:
    """Reads jobs and ledger side by side, in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accounts(self) -> Sequence[Account]:
        """Every job that was ever ordered, oldest first."""
        taken = (
            select(
                CreditEntryRow.job_id,
                (-func.sum(CreditEntryRow.allowance_part + CreditEntryRow.granted_part)).label("taken"),
            )
            .group_by(CreditEntryRow.job_id)
            .subquery()
        )
        pictures = select(ImageRow.job_id, func.count().label("pictures")).group_by(ImageRow.job_id).subquery()
        query = (
            select(JobRow, taken.c.taken, pictures.c.pictures)
            .outerjoin(taken, taken.c.job_id == JobRow.id)
            .outerjoin(pictures, pictures.c.job_id == JobRow.id)
            .order_by(JobRow.id)
        )
        async with self._database.reading() as session:
            return [
                Account(job=job_of(row), taken=int(credits or 0), pictures=count or 0, request_key=row.request_key)
                for row, credits, count in await session.execute(query)
            ]
