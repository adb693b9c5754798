"""Insert-or-leave and insert-or-replace, which SQLAlchemy spells once per database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from storage.tables import Table


async def insert_new(session: AsyncSession, table: type[Table], **values: Any) -> None:
    """Insert a row unless one with its key is there already."""
    await session.execute(_insert(session, table).values(**values).on_conflict_do_nothing())


async def insert_all_new(session: AsyncSession, table: type[Table], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, at least one, but for those whose keys are there already."""
    await session.execute(_insert(session, table).values(list(rows)).on_conflict_do_nothing())


async def insert_or_replace(
    session: AsyncSession, table: type[Table], values: Mapping[str, Any], *, key: Collection[str]
) -> None:
    """Insert a row, or give the row that has the same `key` columns these values."""
    insert = _insert(session, table).values(dict(values))
    replaced = {name: value for name, value in values.items() if name not in key}
    await session.execute(insert.on_conflict_do_update(index_elements=list(key), set_=replaced))


def _insert(session: AsyncSession, table: type[Table]) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if session.get_bind().dialect.name == "sqlite" else postgresql.insert(table)
