"""Users: the people of whom something is remembered."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.inserting import insert_new
from storage.tables import UserRow
from storage.uninterrupted import uninterrupted


@uninterrupted
class Users:
    """People by their Discord id. They become known by what they do; nothing else about them is kept."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known_since(self, user_id: int) -> datetime | None:
        """When something of this person was first remembered, or None."""
        async with self._database.reading() as session:
            return await session.scalar(select(UserRow.created_at).where(UserRow.id == user_id))

    async def count(self) -> int:
        """How many people are known."""
        async with self._database.reading() as session:
            return await session.scalar(select(func.count()).select_from(UserRow)) or 0


async def lock_user(session: AsyncSession, user_id: int, now: datetime) -> None:
    """Make sure that the person has a row, and hold it until the transaction ends.

    Whatever is decided by a person's balance or number of jobs is decided with this lock held, so that two orders of
    one person happen one after the other (on SQLite they do anyhow). It does not stop rows that only refer to it.
    """
    lock = select(UserRow.id).where(UserRow.id == user_id).with_for_update(key_share=True)
    if await session.scalar(lock) is None:
        await insert_new(session, UserRow, id=user_id, created_at=now)
        await session.scalar(lock)  # two may have come to insert it, and one of them did
