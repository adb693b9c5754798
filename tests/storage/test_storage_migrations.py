"""A database is made, brought up to date, and refused when it is of another time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import create_async_engine
from storage_databases import SERVER, Databases, execute

from storage.database import REVISION
from storage.errors import StorageOutdated, StorageUnavailable
from storage.migrations import migrate
from storage.storage import open_storage
from storage.tables import Table


def schema(connection: Connection) -> dict[str, Any]:
    """All that the database itself can tell about our tables, CHECKs and the conditions of partial indexes too."""
    inspector = inspect(connection)
    return {
        table: {
            "columns": [{**column, "type": str(column["type"])} for column in inspector.get_columns(table)],
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": sorted(inspector.get_foreign_keys(table), key=str),
            "unique": sorted(inspector.get_unique_constraints(table), key=str),
            "checks": sorted(inspector.get_check_constraints(table), key=str),
            "indexes": {
                str(index["name"]): (
                    index["column_names"],
                    bool(index["unique"]),
                    {option: str(value) for option, value in index.get("dialect_options", {}).items()},
                )
                for index in inspector.get_indexes(table)
            },
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


async def test_what_the_migrations_build_is_what_the_tables_say(databases: Databases) -> None:
    migrated = databases.empty()
    migrate(migrated)
    engine = create_async_engine(migrated)
    async with engine.connect() as connection:
        context = await connection.run_sync(lambda sync: MigrationContext.configure(sync, opts={"compare_type": True}))
        assert await connection.run_sync(lambda _: compare_metadata(context, Table.metadata)) == []
        by_migrations = await connection.run_sync(schema)
    await engine.dispose()

    engine = create_async_engine(databases.empty())
    async with engine.begin() as connection:
        await connection.run_sync(Table.metadata.create_all)
        by_tables = await connection.run_sync(schema)
    await engine.dispose()

    assert set(by_migrations) == {
        *(
            "users",
            "guilds",
            "jobs",
            "images",
            "credit_entries",
            "allowances",
            "settings",
            "moderator_log",
            "confirmations",
            "role_allowances",
            "bans",
            "blocked_words",
            "favourites",
            "showings",
            "deleted_files",
        )
    }
    assert by_migrations == by_tables


def test_the_revision_that_the_program_wants_is_the_newest() -> None:
    config = Config()
    config.set_main_option("script_location", "storage:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


async def test_migrating_again_changes_nothing_and_works_while_a_loop_runs(
    databases: Databases, tmp_path: Path
) -> None:
    database = databases.empty()
    migrate(database)
    async with open_storage(database=database, files=tmp_path) as storage:
        await storage.settings.set("guild", 1, "style", "ink")
        migrate(database)
        assert await storage.settings.get("guild", 1, "style") == "ink"


async def test_a_database_without_tables_is_refused(databases: Databases, tmp_path: Path) -> None:
    with pytest.raises(StorageOutdated) as refusal:
        async with open_storage(database=databases.empty(), files=tmp_path):
            pass
    assert refusal.value.fields == {"found": "", "wanted": REVISION}


async def test_a_database_of_a_newer_program_is_refused_and_left_alone(databases: Databases, tmp_path: Path) -> None:
    database = databases.empty()
    migrate(database)
    await execute(database, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageOutdated) as refusal:
        migrate(database)
    assert refusal.value.fields == {"found": "9999", "wanted": REVISION}
    with pytest.raises(StorageOutdated) as refusal:
        async with open_storage(database=database, files=tmp_path):
            pass
    assert refusal.value.fields == {"found": "9999", "wanted": REVISION}


async def test_a_migration_that_fails_half_way_is_undone(databases: Databases) -> None:
    database = databases.empty()
    await execute(database, "CREATE TABLE moderator_log (id INTEGER)")  # in the way of the last of the tables
    with pytest.raises(StorageUnavailable):
        migrate(database)
    await execute(database, "DROP TABLE moderator_log")
    migrate(database)


def test_the_folder_of_a_sqlite_file_is_made(tmp_path: Path) -> None:
    migrate(f"sqlite+aiosqlite:///{tmp_path}/not/yet/there.sqlite3")
    assert (tmp_path / "not/yet/there.sqlite3").is_file()


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ("nonsense", "not a database URL"),
        ("sqlite:///limner.sqlite3", "must begin with"),
        ("postgresql+asyncpg://limner:swordfish@127.0.0.1:1/limner", "onnect"),
        ("sqlite+aiosqlite:////proc/nowhere/limner.sqlite3", "nowhere"),
    ],
    ids=["no URL", "no driver", "no server", "no folder"],  # a test's name must not hold a password
)
async def test_a_database_that_cannot_be_had_is_said_plainly(database: str, said: str, tmp_path: Path) -> None:
    threads = set(threading.enumerate())
    with pytest.raises(StorageUnavailable) as refusal:
        migrate(database)
    assert said in str(refusal.value.fields["detail"])
    assert "swordfish" not in str(refusal.value)
    with pytest.raises(StorageUnavailable) as refusal:
        async with open_storage(database=database, files=tmp_path):
            pass
    assert "swordfish" not in str(refusal.value)
    assert set(threading.enumerate()) <= threads  # none that would complain when the event loop is gone


@pytest.mark.skipif(not SERVER, reason="LIMNER_TEST_POSTGRES is not set")
def test_a_postgresql_database_that_is_not_there_is_said_plainly() -> None:
    with pytest.raises(StorageUnavailable) as refusal:
        migrate(SERVER.rsplit("/", 1)[0] + "/no_such_database")
    assert "no_such_database" in str(refusal.value.fields["detail"])
