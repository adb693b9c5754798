"""Guilds: the servers of which something is remembered."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.inserting import insert_new
from storage.tables import GuildRow


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
