"""Guilds: the servers of which something is remembered."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.inserting import insert_new
from storage.tables import GuildRow
from storage.uninterrupted import uninterrupted


@uninterrupted
class Guilds:
    """Servers by their Discord id. They become known by what is done there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known_since(self, guild_id: int) -> datetime | None:
        """When something of this server was first remembered, or None."""
        async with self._database.reading() as session:
            return await session.scalar(select(GuildRow.created_at).where(GuildRow.id == guild_id))

    async def count(self) -> int:
        """How many servers are known."""
        async with self._database.reading() as session:
            return await session.scalar(select(func.count()).select_from(GuildRow)) or 0


async def remember_guild(session: AsyncSession, guild_id: int | None, now: datetime) -> None:
    """Make sure that the server has a row. None (a direct message) has none."""
    if guild_id is not None:
        await insert_new(session, GuildRow, id=guild_id, created_at=now)


async def lock_guild(session: AsyncSession, guild_id: int, now: datetime) -> None:
    """Make sure that the server has a row, and hold it until the transaction ends: its rules change one by one.

    It does not stop rows that only refer to it.
    """
    await remember_guild(session, guild_id, now)
    await session.scalar(select(GuildRow.id).where(GuildRow.id == guild_id).with_for_update(key_share=True))
