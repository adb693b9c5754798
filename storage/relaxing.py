"""How many relaxed jobs a member may order: they cost no credits, so they are limited in number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from sqlalchemy import ColumnElement, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession

from generation.job import UNFINISHED, JobStatus
from storage.errors import TooManyRelaxedToday, TooManyRelaxedWaiting
from storage.tables import RELAXED, JobRow


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaxLimits:
    """For each member of each server: relaxed jobs of one UTC day, and of those unfinished at the same time."""

    per_day: int
    waiting: int


async def check_relaxed(
    session: AsyncSession, user_id: int, guild_id: int | None, *, wanted: int, limits: RelaxLimits, now: datetime
) -> None:
    """Raises `TooManyRelaxedToday` or `TooManyRelaxedWaiting` unless the member may order so many more.

    What failed or was called off does not count. Where something is ordered, the member's row must be locked.
    """
    if not wanted:
        return
    day = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    # The number of the class is spelled as in the index and not sent as a value: only then is the index used.
    of_member = (
        JobRow.user_id == user_id,
        JobRow.guild_id == guild_id,
        JobRow.priority == literal_column(str(RELAXED)),
    )
    ordered = await _count(
        session, [*of_member, JobRow.created_at >= day, JobRow.status.in_((*UNFINISHED, JobStatus.DONE))]
    )
    if ordered + wanted > limits.per_day:
        renews_at = day + timedelta(days=1)
        raise TooManyRelaxedToday(wanted=wanted, ordered=ordered, limit=limits.per_day, renews_at=renews_at)
    waiting = await _count(session, [*of_member, JobRow.status.in_(UNFINISHED)])
    if waiting + wanted > limits.waiting:
        raise TooManyRelaxedWaiting(wanted=wanted, waiting=waiting, limit=limits.waiting)


async def _count(session: AsyncSession, conditions: Sequence[ColumnElement[bool]]) -> int:
    return await session.scalar(select(func.count()).select_from(JobRow).where(*conditions)) or 0
