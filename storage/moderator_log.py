"""The moderator log: who did what to whom, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.guilds import remember_guild
from storage.tables import ModeratorLogRow
from storage.uninterrupted import uninterrupted

WORDS_REFUSED = "words.refused"  # Limner refused a prompt of `target_id`; `prompt` is its beginning, until forgotten
_NEWEST_FIRST = ModeratorLogRow.id.desc()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What a moderator did, or Limner itself (`moderator_id` None).

    `target_id` is the person (or other Discord thing) that it was done to, or None.
    """

    moderator_id: int | None
    action: str
    target_id: int | None
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry(Deed):
    """A deed in the log of a server."""

    id: int
    guild_id: int
    created_at: datetime


@uninterrupted
class ModeratorLog:
    """Actions of moderators, per server. Entries are added by the verbs that they tell of (`write_down`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, guild_id: int, action: str, *, target_id: int | None, details: Mapping[str, Any]) -> None:
        """Write down what Limner did by itself."""
        async with self._database.writing() as session:
            await write_down(session, guild_id, None, action, target_id, details, now=self._database.now())

    async def latest(self, guild_id: int, limit: int) -> Sequence[LogEntry]:
        """The last `limit` actions in this server, newest first."""
        return await self.older(guild_id, None, limit)

    async def older(self, guild_id: int, before: int | None, limit: int) -> Sequence[LogEntry]:
        """Up to `limit` actions in this server before the entry of that id, newest first; None: the last ones."""
        query = select(ModeratorLogRow).where(ModeratorLogRow.guild_id == guild_id)
        if before is not None:
            query = query.where(ModeratorLogRow.id < before)
        async with self._database.reading() as session:
            return [_entry_of(row) for row in await session.scalars(query.order_by(_NEWEST_FIRST).limit(limit))]

    async def newer(self, guild_id: int, after: int, limit: int) -> Sequence[LogEntry]:
        """Up to `limit` actions in this server right after the entry of that id, newest first."""
        query = select(ModeratorLogRow).where(ModeratorLogRow.guild_id == guild_id, ModeratorLogRow.id > after)
        async with self._database.reading() as session:
            rows = await session.scalars(query.order_by(ModeratorLogRow.id).limit(limit))
            return [_entry_of(row) for row in rows][::-1]

    async def count(self, guild_id: int) -> int:
        """How many actions in this server are in the log."""
        query = select(func.count()).select_from(ModeratorLogRow).where(ModeratorLogRow.guild_id == guild_id)
        async with self._database.reading() as session:
            return await session.scalar(query) or 0


def _entry_of(row: ModeratorLogRow) -> LogEntry:
    return LogEntry(
        id=row.id,
        guild_id=row.guild_id,
        moderator_id=row.moderator_id,
        action=row.action,
        target_id=row.target_id,
        details=row.details,
        created_at=row.created_at,
    )


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
