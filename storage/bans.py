"""Bans: who may not order in a server, why, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.errors import Banned, BannedForGood
from storage.guilds import remember_guild
from storage.inserting import insert_or_replace
from storage.kept import settings_changed
from storage.moderator_log import write_down
from storage.tables import BanRow
from storage.uninterrupted import uninterrupted
from storage.users import lock_user


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """One person's ban in one server, with the moderator's reason. `until` None is for good."""

    guild_id: int
    user_id: int
    moderator_id: int
    reason: str
    until: datetime | None
    created_at: datetime


@uninterrupted
class Bans:
    """Bans that are in force. One that has run out is as good as gone.

    Each change is in the moderator log, in the same transaction; `by` is the moderator.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ban(self, user_id: int, guild_id: int, *, reason: str, lasting: timedelta | None, by: int) -> Ban:
        """Ban a person for that long from now (None: for good), in place of the ban that they may have."""
        async with self._database.writing() as session:
            now = self._database.now()
            await lock_user(session, user_id, now)
            await remember_guild(session, guild_id, now)
            until = None if lasting is None else now + lasting
            ban = Ban(guild_id=guild_id, user_id=user_id, moderator_id=by, reason=reason, until=until, created_at=now)
            values = {field.name: getattr(ban, field.name) for field in fields(Ban)}
            settings_changed(session)
            await insert_or_replace(session, BanRow, values, key=("guild_id", "user_id"))
            details = {"reason": reason, "until": None if until is None else until.isoformat()}
            await write_down(session, guild_id, by, "ban.set", user_id, details, now=now)
        return ban

    async def unban(self, user_id: int, guild_id: int, *, by: int) -> bool:
        """End a ban before its time. False: there is none in force."""
        async with self._database.writing() as session:
            now = self._database.now()
            await lock_user(session, user_id, now)
            row = await session.scalar(select(BanRow).where(*_of(user_id, guild_id), _in_force(now)))
            if row is None:
                return False
            settings_changed(session)
            await session.delete(row)
            await write_down(session, guild_id, by, "ban.end", user_id, {"reason": row.reason}, now=now)
        return True

    async def check(self, user_id: int, guild_id: int | None) -> None:
        """Raises `Banned` or `BannedForGood` where there is a ban in force."""
        if guild_id is None:
            return
        ban = await self._database.kept.of(("ban", user_id, guild_id), lambda: self._read(user_id, guild_id))
        if ban is not None:
            _enforce(ban, now=self._database.now())

    async def in_server(self, guild_id: int) -> Sequence[Ban]:
        """All bans of that server, the newest first."""
        async with self._database.reading() as session:
            rows = await session.scalars(
                select(BanRow)
                .where(BanRow.guild_id == guild_id, _in_force(self._database.now()))
                .order_by(BanRow.created_at.desc(), BanRow.user_id)
            )
            return [_ban_of(row) for row in rows]

    async def _read(self, user_id: int, guild_id: int) -> Ban | None:
        async with self._database.reading() as session:
            row = await session.scalar(select(BanRow).where(*_of(user_id, guild_id)))
            return None if row is None else _ban_of(row)


async def check_ban(session: AsyncSession, user_id: int, guild_id: int | None, *, now: datetime) -> None:
    """As `Bans.check`. With the person locked (`lock_user`) nobody can ban them before the transaction ends."""
    if guild_id is None:
        return
    ban = await session.scalar(select(BanRow).where(*_of(user_id, guild_id), _in_force(now)))
    if ban is not None:
        _enforce(_ban_of(ban), now=now)


def _enforce(ban: Ban, *, now: datetime) -> None:
    if ban.until is None:
        raise BannedForGood(reason=ban.reason)
    if ban.until > now:
        raise Banned(until=ban.until, reason=ban.reason)


def _of(user_id: int, guild_id: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return BanRow.user_id == user_id, BanRow.guild_id == guild_id


def _in_force(now: datetime) -> ColumnElement[bool]:
    return or_(BanRow.until.is_(None), BanRow.until > now)


def _ban_of(row: BanRow) -> Ban:
    return Ban(**{field.name: getattr(row, field.name) for field in fields(Ban)})
