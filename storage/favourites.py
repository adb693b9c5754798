"""Favourites: which pictures a person likes."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.inserting import insert_new
from storage.tables import FavouriteRow, ImageRow
from storage.uninterrupted import uninterrupted
from storage.users import lock_user


@uninterrupted
class Favourites:
    """Pictures that people like. A favourite goes with its picture."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def toggle(self, user_id: int, image_id: int) -> bool | None:
        """Make the picture a favourite of that person, or no favourite any more.

        True: it is one now; False: it was; None: there is no such picture.
        """
        async with self._database.writing() as session:
            now = self._database.now()
            await lock_user(session, user_id, now)
            favourite = await session.get(FavouriteRow, (user_id, image_id))
            if favourite is not None:
                await session.delete(favourite)
                return False
            if not await _hold_image(session, image_id):
                return None
            await insert_new(session, FavouriteRow, user_id=user_id, image_id=image_id, created_at=now)
            return True


async def _hold_image(session: AsyncSession, image_id: int) -> bool:
    """Whether there is that picture; if so, it stays until the transaction ends."""
    held = select(ImageRow.id).where(ImageRow.id == image_id).with_for_update(read=True, key_share=True)
    return await session.scalar(held) is not None
