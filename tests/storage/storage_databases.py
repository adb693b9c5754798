"""Databases for the tests of storage: SQLite files, and databases on the server that LIMNER_TEST_POSTGRES names."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from storage.migrations import migrate
from storage.tables import Table

SERVER = os.environ.get("LIMNER_TEST_POSTGRES", "")
KINDS = ["sqlite", "postgresql"] if SERVER else ["sqlite"]
PATIENCE = 60.0  # seconds; what takes longer is stuck


def wait_for(work: Coroutine[Any, Any, None]) -> None:
    """Run it on a loop of its own: fixtures that live longer than a test have none."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, work).result()


async def execute(url: str, *statements: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")  # PostgreSQL makes databases in no other way
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


async def left_alone(url: str) -> None:
    """Wait until nobody is connected: a server takes its time to see that a program has gone, or was killed.

    Until then it keeps that program's locks, and may yet end what it was asked for.
    """
    if not url.startswith("postgresql"):
        return
    engine = create_async_engine(SERVER, isolation_level="AUTOCOMMIT")
    others = text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name AND backend_type = 'client backend'")
    async with asyncio.timeout(PATIENCE), engine.connect() as connection:
        name = make_url(url).database
        while await connection.scalar(others, {"name": name}):  # noqa: ASYNC110 – the server tells nobody
            await asyncio.sleep(0.01)
    await engine.dispose()


class Databases:
    """Hands out databases of one kind: empty ones, and migrated ones without rows."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self._folder = folder
        self._name = f"limner_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
        self._count = 0
        self._migrated: str | None = None

    def empty(self) -> str:
        """A database without any table."""
        self._count += 1
        name = f"{self._name}_{self._count}"
        if self.kind == "sqlite":
            return f"sqlite+aiosqlite:///{self._folder}/{name}.sqlite3"
        drop = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
        wait_for(execute(SERVER, drop, f"CREATE DATABASE {name}"))
        return make_url(SERVER).set(database=name).render_as_string(hide_password=False)

    def migrated(self) -> str:
        """A database with tables and no rows. On PostgreSQL always the same one: emptying is quicker than making."""
        if self._migrated is None:
            self._migrated = self.empty()
            migrate(self._migrated)
        elif self.kind == "postgresql":
            names = ", ".join(Table.metadata.tables)
            wait_for(execute(self._migrated, f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
        if self.kind == "sqlite":
            copy = self.empty()
            shutil.copyfile(str(make_url(self._migrated).database), str(make_url(copy).database))
            return copy
        return self._migrated
