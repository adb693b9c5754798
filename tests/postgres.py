"""A database of their own for tests that are about PostgreSQL, on the server that LIMNER_TEST_POSTGRES names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from storage.migrations import migrate

SERVER = os.environ.get("LIMNER_TEST_POSTGRES", "")
needs_postgres = pytest.mark.skipif(not SERVER, reason="LIMNER_TEST_POSTGRES names no server: tests/with_postgres.sh")


def make_database() -> str:
    """The URL of a new database with tables and no rows."""
    name = f"limner_{uuid4().hex}"
    _in_a_loop(execute(SERVER, f"CREATE DATABASE {name}"))
    url = make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    with ThreadPoolExecutor(max_workers=1) as thread:  # migrations have an event loop of their own
        thread.submit(migrate, url).result()
    return url


def drop_database(url: str) -> None:
    """Whoever is connected to it yet loses the connection."""
    _in_a_loop(execute(SERVER, f"DROP DATABASE {make_url(url).database} WITH (FORCE)"))


async def execute(url: str, statement: str) -> None:
    """One statement, committed."""
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


def _in_a_loop(work: Coroutine[Any, Any, None]) -> None:
    """On a loop of its own: the test's may be at work, or not there yet."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, work).result()
