"""The schema's history, and the one way to bring a database up to date.

A new step is a file in `versions/`, written by hand, whose number `storage.database.REVISION` then names; a test
compares what all steps build with `storage.tables`, on both databases. Each step is one transaction, on SQLite too.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, text

from storage.database import REVISION, create_engine, explained, revision_of, try_file
from storage.errors import StorageOutdated

_LOCK = 0x4C494D4E4552  # "LIMNER": any number will do, if no other program on that server uses it


def migrate(database: str) -> None:
    """Bring the database at this URL to `storage.database.REVISION`; make it first, where it is a SQLite file.

    Blocks; may be called with or without an event loop running (it works in a thread of its own). Nothing happens if
    the database is up to date, and two processes that do this at once do it one after the other.
    Raises `StorageUnavailable`, or `StorageOutdated` for a database of a newer program.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="migrate") as thread:
        found = thread.submit(lambda: asyncio.run(_migrate(database))).result()
    if found != REVISION:
        structlog.get_logger(__name__).info("database_migrated", found=found, now=REVISION)


async def _migrate(database: str) -> str:
    """The revision that was found."""
    engine = create_engine(database)
    try:
        with explained(engine):
            _make_room(engine.url)
            try_file(engine.url)
            async with engine.execution_options(writes=True).begin() as connection:
                if engine.dialect.name == "postgresql":  # SQLite's transaction is alone as it is
                    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                found = await revision_of(connection)
                try:
                    await connection.run_sync(_upgrade)
                except CommandError as error:
                    raise StorageOutdated(found=found, wanted=REVISION) from error
                return found
    finally:
        await engine.dispose()


def _make_room(url: URL) -> None:
    """SQLite makes its file, but not the folder around it."""
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "storage:migrations")
    config.attributes["connection"] = connection  # for `env.py`
    command.upgrade(config, "head")
