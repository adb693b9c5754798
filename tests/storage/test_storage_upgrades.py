"""A database of any earlier program is brought up to date with everything in it, and is then worked with."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filled_databases import ADDED, ANNA, BEN, HARBOUR, MORE_IMAGES, fill, revisions, rows
from sqlalchemy import text
from storage_databases import Databases
from storage_samples import order

from generation.job import JobKind, JobStatus
from storage.database import create_engine
from storage.migrations import migrate
from storage.storage import open_storage


def noon() -> datetime:
    return datetime(2026, 3, 14, 12, tzinfo=UTC)


def test_every_revision_has_a_filled_database() -> None:
    assert list(ADDED) == revisions()


@pytest.mark.parametrize("revision", revisions())
async def test_every_table_of_a_filled_database_holds_something(databases: Databases, revision: str) -> None:
    database = databases.empty()
    await fill(database, revision)
    assert [table for table, found in (await rows(database)).items() if not found] == []


@pytest.mark.parametrize("revision", revisions())
async def test_nothing_is_lost_on_the_way_up(databases: Databases, revision: str) -> None:
    database = databases.empty()
    await fill(database, revision)
    before = await rows(database)
    migrate(database)
    after = await rows(database)
    for table, found in before.items():
        kept = [{column: row[column] for column in old} for row, old in zip(after[table], found, strict=True)]
        assert kept == found, table
    if "sqlite" in database:  # PostgreSQL never lets a reference lead nowhere
        engine = create_engine(database)
        async with engine.connect() as connection:
            assert (await connection.execute(text("PRAGMA foreign_key_check"))).all() == []
            assert await connection.scalar(text("PRAGMA integrity_check")) == "ok"
        await engine.dispose()


@pytest.mark.parametrize("revision", revisions())
async def test_the_program_goes_on_with_what_it_finds(databases: Databases, tmp_path: Path, revision: str) -> None:
    database = databases.empty()
    await fill(database, revision)
    migrate(database)
    async with open_storage(database=database, files=tmp_path, clock=noon) as storage:
        done, waiting, running = [await storage.jobs.get(number) for number in (1, 2, 3)]
        assert done is not None
        assert (done.kind, done.status, done.style, done.user_id) == (JobKind.IMAGINE, JobStatus.DONE, "ink", ANNA)
        assert [recipe.seed for recipe in done.recipes] == [7, 8]
        assert (done.delivered_at, done.age_restricted) == (datetime(2026, 3, 14, 4, tzinfo=UTC), False)
        assert waiting is not None
        assert running is not None
        assert [job.id for job in await storage.jobs.waiting()] == [2]
        assert {job.id for job in await storage.jobs.undelivered()} == {4, 6}
        # The lease of the running one is of another time: it is taken back, and what it cost is still held.
        [back] = await storage.jobs.take_back_expired(noon())
        assert (back.id, back.status, back.attempt) == (3, JobStatus.QUEUED, 2)

        image = await storage.images.get(1)
        assert image is not None
        assert (image.recipe, image.digest) == (done.recipes[0], "c0" * 32)
        assert await storage.settings.get("user", ANNA, "defaults") == {"style": "ink"}
        assert await storage.credits.default(HARBOUR) == 40

        anna = await storage.credits.balance(ANNA, HARBOUR, allowance=40)
        assert (anna.allowance, anna.granted, anna.available) == (50, 10, 57)  # 3 spent or held of the day's
        new = await storage.jobs.order(order(user_id=ANNA, guild_id=HARBOUR), allowance=40, max_queued=100)
        assert new.id > 6
        assert await storage.jobs.cancel(2)
        again = await storage.credits.balance(ANNA, HARBOUR, allowance=40)
        assert again.available == 57 - new.cost + 1
        assert (await storage.credits.balance(BEN, None, allowance=5)).available == 4


async def test_every_old_image_is_found_by_its_recipe(databases: Databases) -> None:
    database = databases.empty()
    await fill(database, "0001")
    migrate(database)
    images = (await rows(database))["images"]
    assert len(images) == MORE_IMAGES + 3
    for image in images:
        assert image["recipe_digest"] == hashlib.sha256(image["recipe"].encode()).hexdigest()


async def test_what_is_half_way_up_is_whole_or_untouched(databases: Databases) -> None:
    """A migration that meets something in its way leaves a filled database as it was."""
    database = databases.empty()
    await fill(database, "0001")
    engine = create_engine(database)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE favourites (id INTEGER PRIMARY KEY)"))
    before = await rows(database)
    with pytest.raises(Exception, match="favourites"):
        migrate(database)
    assert await rows(database) == before
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE favourites"))
    await engine.dispose()
    migrate(database)
