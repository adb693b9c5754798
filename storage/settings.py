"""Settings: small JSON values of servers and of persons."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.inserting import insert_or_replace
from storage.kept import settings_changed
from storage.tables import SettingRow
from storage.uninterrupted import uninterrupted

Scope = Literal["guild", "user"]


@uninterrupted
class Settings:
    """JSON values by scope (a server or a person), its Discord id, and a key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, scope: Scope, scope_id: int, key: str) -> Any:
        """The value, which must not be changed, or None if it was never set."""
        return await self._database.kept.of((scope, scope_id, key), lambda: self._read(scope, scope_id, key))

    async def set(self, scope: Scope, scope_id: int, key: str, value: Any) -> None:
        """Set a JSON-ready value; None takes the setting away."""
        async with self._database.writing() as session:
            await write_setting(session, scope, scope_id, key, value)

    async def _read(self, scope: Scope, scope_id: int, key: str) -> Any:
        async with self._database.reading() as session:
            return await read_setting(session, scope, scope_id, key)


async def read_setting(session: AsyncSession, scope: Scope, scope_id: int, key: str) -> Any:
    return await session.scalar(
        select(SettingRow.value).where(
            SettingRow.scope == scope, SettingRow.scope_id == scope_id, SettingRow.key == key
        )
    )


async def write_setting(session: AsyncSession, scope: Scope, scope_id: int, key: str, value: Any) -> None:
    settings_changed(session)
    if value is None:
        await session.execute(
            delete(SettingRow).where(SettingRow.scope == scope, SettingRow.scope_id == scope_id, SettingRow.key == key)
        )
        return
    await insert_or_replace(
        session,
        SettingRow,
        {"scope": scope, "scope_id": scope_id, "key": key, "value": value},
        key=("scope", "scope_id", "key"),
    )
