"""The moderator log: who did what to whom, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.guilds import remember_guild
from storage.tables import ModeratorLogRow
from storage.uninterrupted import uninterrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One action of a moderator, or of Limner itself (`moderator_id` None).

    `target_id` is the person (or other Discord thing) that it was done to, or None.
    """

    id: int
    guild_id: int
    moderator_id: int | None
    action: str
    target_id: int | None
    details: Mapping[str, Any]
    created_at: datetime


@uninterrupted
class ModeratorLog:
    """Actions of moderators, per server. Entries are only added, by the verbs that they tell of (`write_down`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, guild_id: int, action: str, *, target_id: int | None, details: Mapping[str, Any]) -> None:
        """Write down what Limner did by itself."""
        async with self._database.writing() as session:
            await write_down(session, guild_id, None, action, target_id, details, now=self._database.now())

    async def latest(self, guild_id: int, limit: int) -> Sequence[LogEntry]:
        """The last `limit` actions in this server, newest first."""
        async with self._database.reading() as session:
            rows = await session.scalars(
                select(ModeratorLogRow)
                .where(ModeratorLogRow.guild_id == guild_id)
                .order_by(ModeratorLogRow.id.desc())
                .limit(limit)
            )
            return [
                LogEntry(
                    id=row.id,
                    guild_id=row.guild_id,
                    moderator_id=row.moderator_id,
                    action=row.action,
                    target_id=row.target_id,
                    details=row.details,
                    created_at=row.created_at,
                )
                for row in rows
            ]


async def write_down(
    session: AsyncSession,
    guild_id: int,
    moderator_id: int | None,
    action: str,
    target_id: int | None,
    details: Mapping[str, Any],
    *,
    now: datetime,
) -> None:
    """Add an entry in the transaction of what it tells of: neither is there alone. `details` are JSON-ready."""
    await remember_guild(session, guild_id, now)
    session.add(
        ModeratorLogRow(
            guild_id=guild_id,
            moderator_id=moderator_id,
            action=action,
            target_id=target_id,
            details=dict(details),
            created_at=now,
        )
    )
