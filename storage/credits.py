"""Credits: what a member has, and what moderators set and give."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from storage import ledger
from storage.database import Database
from storage.guilds import lock_guild, remember_guild
from storage.inserting import insert_or_replace
from storage.kept import settings_changed
from storage.ledger import Balance
from storage.moderator_log import write_down
from storage.settings import read_setting, write_setting
from storage.tables import AllowanceRow, RoleAllowanceRow
from storage.uninterrupted import uninterrupted
from storage.users import lock_user

__all__ = ["Balance", "Credits"]

_DEFAULT_KEY = "allowance"  # the server's own default, among its settings


@uninterrupted
class Credits:
    """Balances and allowances of members. A member is a person in one server, or (`guild_id` None) in messages to us.

    An allowance is per UTC day. Holds, settlements and refunds are not here: they belong to a job's transactions.
    `by` is the moderator who changes something in a server: that goes into the moderator log in the same transaction.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def balance(self, user_id: int, guild_id: int | None, *, allowance: int | None) -> Balance:
        """What the member may spend now. `allowance` holds unless a moderator set their own; None: no limit."""
        async with self._database.reading() as session:
            return await ledger.balance(session, user_id, guild_id, allowance=allowance, now=self._database.now())

    async def set_allowance(self, user_id: int, guild_id: int | None, credits: int, *, by: int | None = None) -> None:
        """From now until the day ends the member may spend exactly `credits` (0 or more), and so many each day after.

        Granted credits are not touched and come on top.
        """
        if credits < 0:
            raise ValueError(f"an allowance is 0 or more, not {credits}")
        await self._begin_to_count_anew(user_id, guild_id, credits, by=by)

    async def clear_allowance(self, user_id: int, guild_id: int | None, *, by: int | None = None) -> None:
        """Back to the server's default, with today's spending forgotten."""
        await self._begin_to_count_anew(user_id, guild_id, None, by=by)

    async def grant(self, user_id: int, guild_id: int | None, credits: int, *, by: int | None = None) -> int:
        """Give credits (1 or more) on top of the allowance, which do not lapse; the granted balance after it."""
        if credits < 1:
            raise ValueError(f"a grant is 1 or more, not {credits}")
        async with self._database.writing() as session:
            now = self._database.now()
            await lock_user(session, user_id, now)
            await remember_guild(session, guild_id, now)
            await _write_down(session, guild_id, by, "quota.grant", user_id, {"credits": credits}, now=now)
            return await ledger.grant(session, user_id, guild_id, credits, now=now)

    async def set_default(self, guild_id: int, credits: int | None, *, by: int | None = None) -> None:
        """The allowance of members of this server who have none of their own; None: the configuration's again."""
        if credits is not None and credits < 0:
            raise ValueError(f"an allowance is 0 or more, not {credits}")
        async with self._database.writing() as session:
            await write_setting(session, "guild", guild_id, _DEFAULT_KEY, credits)
            await _write_down(
                session, guild_id, by, "quota.default", None, {"credits": credits}, now=self._database.now()
            )

    async def default(self, guild_id: int | None) -> int | None:
        """What `set_default` set for this server, or None. Direct messages have none."""
        if guild_id is None:
            return None
        return await self._database.kept.of(("default", guild_id), lambda: self._read_default(guild_id))

    async def set_role(self, guild_id: int, role_id: int, credits: int | None, *, by: int | None = None) -> None:
        """What those with this role may spend a day; None: as everyone else."""
        if credits is not None and credits < 0:
            raise ValueError(f"an allowance is 0 or more, not {credits}")
        async with self._database.writing() as session:
            now = self._database.now()
            await lock_guild(session, guild_id, now)
            settings_changed(session)
            if credits is None:
                row_of_role = await session.get(RoleAllowanceRow, (guild_id, role_id))
                if row_of_role is None:
                    return
                await session.delete(row_of_role)
            else:
                row = {"guild_id": guild_id, "role_id": role_id, "credits": credits}
                await insert_or_replace(session, RoleAllowanceRow, row, key=("guild_id", "role_id"))
            await _write_down(session, guild_id, by, "quota.role", role_id, {"credits": credits}, now=now)

    async def of_roles(self, guild_id: int) -> Mapping[int, int]:
        """The allowances that `set_role` set in this server, by role."""
        return await self._database.kept.of(("roles", guild_id), lambda: self._read_roles(guild_id))

    async def of_members(self, guild_id: int) -> Mapping[int, int]:
        """The allowances that `set_allowance` set in this server, by member."""
        async with self._database.reading() as session:
            own = AllowanceRow.guild_id == guild_id, AllowanceRow.credits.is_not(None)
            rows = await session.scalars(select(AllowanceRow).where(*own).order_by(AllowanceRow.user_id))
            return {row.user_id: row.credits for row in rows if row.credits is not None}

    async def _read_default(self, guild_id: int) -> int | None:
        async with self._database.reading() as session:
            value = await read_setting(session, "guild", guild_id, _DEFAULT_KEY)
        return None if value is None else int(value)

    async def _read_roles(self, guild_id: int) -> Mapping[int, int]:
        async with self._database.reading() as session:
            rows = await session.scalars(select(RoleAllowanceRow).where(RoleAllowanceRow.guild_id == guild_id))
            return {row.role_id: row.credits for row in rows}

    async def _begin_to_count_anew(
        self, user_id: int, guild_id: int | None, credits: int | None, *, by: int | None
    ) -> None:
        async with self._database.writing() as session:
            now = self._database.now()
            await lock_user(session, user_id, now)
            await remember_guild(session, guild_id, now)
            row = await ledger.allowance_row(session, user_id, guild_id)
            if row is None:
                row = AllowanceRow(user_id=user_id, guild_id=guild_id, revision=0)
                session.add(row)
            row.credits = credits
            row.revision += 1
            action, details = ("quota.reset", {}) if credits is None else ("quota.set", {"credits": credits})
            await _write_down(session, guild_id, by, action, user_id, details, now=now)


async def _write_down(
    session: AsyncSession,
    guild_id: int | None,
    by: int | None,
    action: str,
    user_id: int | None,
    details: Mapping[str, int | None],
    *,
    now: datetime,
) -> None:
    if guild_id is not None and by is not None:
        await write_down(session, guild_id, by, action, user_id, details, now=now)
