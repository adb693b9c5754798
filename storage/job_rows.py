"""Rows of jobs inside a transaction: locked, changed by the rules of `generation.job`, and turned into values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import object_session

from generation.job import Job, JobStatus, NewJob, may_become
from storage import ledger
from storage.database import MOVED
from storage.tables import JobRow


def job_row(new: NewJob, *, request_key: str | None, now: datetime) -> JobRow:
    """The row of an order that is queued now."""
    ordered = {field.name: getattr(new, field.name) for field in fields(NewJob)}
    return JobRow(**ordered, status=JobStatus.QUEUED, attempt=0, created_at=now, request_key=request_key)


def job_of(row: JobRow) -> Job:
    """The row as the value that leaves storage: columns and fields have the same names."""
    return Job(**{field.name: getattr(row, field.name) for field in fields(Job)})


async def lock_job(session: AsyncSession, job_id: int) -> JobRow | None:
    """One job, held until the transaction ends."""
    rows = await lock_jobs(session, JobRow.id == job_id)
    return rows[0] if rows else None


async def lock_jobs(
    session: AsyncSession, *conditions: ColumnElement[bool], skip_locked: bool = False
) -> Sequence[JobRow]:
    """The jobs that meet all conditions once they are held: by rising id, so that two transactions cannot deadlock.

    `skip_locked`: those that another transaction holds are left out, and nobody is waited for.
    """
    held = select(JobRow).where(*conditions).order_by(JobRow.id)
    return (await session.scalars(held.with_for_update(key_share=True, skip_locked=skip_locked))).all()


def become(
    row: JobRow, wanted: JobStatus, *, now: datetime, worker: str | None = None, lease_until: datetime | None = None
) -> bool:
    """Change a locked job's status, and the columns that follow from it: the only place that does.

    False, and nothing is changed, where `generation.job` does not allow it. `worker` and `lease_until` go with
    `RUNNING` alone. Endings must also move credits: use `end`.
    """
    if not may_become(row.status, wanted):
        return False
    row.status = wanted
    note_moved(row)
    row.worker = worker
    row.lease_until = lease_until
    if wanted is JobStatus.RUNNING:
        row.attempt += 1
        row.started_at = now
    elif wanted is JobStatus.QUEUED:
        row.started_at = None
    else:
        row.finished_at = now
    return True


def note_moved(row: JobRow) -> None:
    """A job is new or has another status: other programs on the same database hear of it when that is committed."""
    session = object_session(row)
    if session is not None:
        session.info.setdefault(MOVED, []).append(row)


async def end(
    session: AsyncSession, row: JobRow, wanted: JobStatus, *, now: datetime, error: str | None = None
) -> bool:
    """End a locked job and move its credits: settled if it is done, given back otherwise. False: it may not end so."""
    if not become(row, wanted, now=now):
        return False
    row.error = error
    if wanted is JobStatus.DONE:
        await ledger.settle(session, row, now=now)
    else:
        await ledger.refund(session, row, now=now)
    return True
