"""Confirmations: what people were asked before several jobs are ordered at once, until they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete

from storage.database import Database
from storage.guilds import remember_guild
from storage.tables import ConfirmationRow
from storage.uninterrupted import uninterrupted
from storage.users import lock_user


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """A question to one person: shall these jobs be ordered?

    `requests` holds what would be typed for each job, in order; `picture` is what all of them start from, as JSON, or
    None. `cost` is what the person was told, in credits for all of them. `guild_id` is None in a direct message.
    """

    id: int
    user_id: int
    guild_id: int | None
    channel_id: int
    requests: tuple[str, ...]
    picture: Mapping[str, Any] | None
    cost: int
    expires_at: datetime


@uninterrupted
class Confirmations:
    """Open questions. One that has expired is as good as gone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(
        self,
        *,
        user_id: int,
        guild_id: int | None,
        channel_id: int,
        requests: Sequence[str],
        cost: int,
        lifetime: timedelta,
        picture: Mapping[str, Any] | None = None,
    ) -> Confirmation:
        """Remember a question for that long, and forget all that have expired."""
        async with self._database.writing() as session:
            now = self._database.now()
            await session.execute(delete(ConfirmationRow).where(ConfirmationRow.expires_at <= now))
            await lock_user(session, user_id, now)
            await remember_guild(session, guild_id, now)
            row = ConfirmationRow(
                user_id=user_id,
                guild_id=guild_id,
                channel_id=channel_id,
                requests=list(requests),
                picture=None if picture is None else dict(picture),
                cost=cost,
                expires_at=now + lifetime,
            )
            session.add(row)
            await session.flush()
            return _confirmation_of(row)

    async def get(self, confirmation_id: int) -> Confirmation | None:
        """The question, or None if it was answered or has expired."""
        async with self._database.reading() as session:
            row = await session.get(ConfirmationRow, confirmation_id)
            if row is None or row.expires_at <= self._database.now():
                return None
            return _confirmation_of(row)

    async def answered(self, confirmation_id: int) -> bool:
        """Forget the question. False: it was forgotten already."""
        async with self._database.writing() as session:
            row = await session.get(ConfirmationRow, confirmation_id)
            if row is None:
                return False
            await session.delete(row)
            return True


def _confirmation_of(row: ConfirmationRow) -> Confirmation:
    values = {field.name: getattr(row, field.name) for field in fields(Confirmation)}
    return Confirmation(**{**values, "requests": tuple(row.requests)})
