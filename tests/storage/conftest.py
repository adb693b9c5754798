"""Each test of storage runs on SQLite, and on PostgreSQL too where LIMNER_TEST_POSTGRES names a server to make
databases on (see `tests/with_postgres.sh`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from storage_databases import KINDS, Databases
from storage_samples import Clock

from storage.storage import Storage, open_storage


@pytest.fixture(scope="session", params=KINDS)
def databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Databases:
    return Databases(request.param, tmp_path_factory.mktemp("databases"))


@pytest.fixture
def database(databases: Databases) -> str:
    return databases.migrated()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def storage(database: str, tmp_path: Path, clock: Clock) -> AsyncIterator[Storage]:
    async with open_storage(database=database, files=tmp_path / "files", clock=clock) as opened:
        yield opened
