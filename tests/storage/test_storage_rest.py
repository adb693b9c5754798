"""Settings, the moderator log, users and guilds, and what holds for all verbs."""

from __future__ import annotations

import inspect
from dataclasses import fields
from datetime import datetime
from typing import get_type_hints

import pytest
from sqlalchemy import delete, text
from sqlalchemy.exc import IntegrityError, StatementError
from storage_samples import ANNA, BEN, HARBOUR, ORCHARD, WORKER, Clock, leased, ordered, pictures

from storage.database import Database, create_engine
from storage.storage import Storage
from storage.tables import CreditEntryRow, EntryKind, JobRow, UserRow


async def test_settings_are_kept_per_scope_and_key(storage: Storage) -> None:
    value = {"name": "ink", "weights": [1, 2.5, None, True], "ä": "🎨"}
    await storage.settings.set("guild", HARBOUR, "style", "first")
    await storage.settings.set("guild", HARBOUR, "style", value)
    await storage.settings.set("user", HARBOUR, "style", 0)
    assert await storage.settings.get("guild", HARBOUR, "style") == value
    assert await storage.settings.get("user", HARBOUR, "style") == 0
    assert await storage.settings.get("guild", HARBOUR, "model") is None
    await storage.settings.set("guild", HARBOUR, "style", None)
    await storage.settings.set("guild", HARBOUR, "style", None)
    assert await storage.settings.get("guild", HARBOUR, "style") is None


async def test_the_moderator_log_tells_the_latest_first(storage: Storage, clock: Clock) -> None:
    for number in range(1, 5):
        clock.tick(minutes=1)
        await storage.credits.grant(ANNA, HARBOUR, number, by=BEN)
    await storage.credits.set_default(ORCHARD, 7, by=BEN)
    await storage.credits.set_default(ORCHARD, 8)  # by nobody in particular
    latest = await storage.moderator_log.latest(HARBOUR, 2)
    assert [entry.details for entry in latest] == [{"credits": 4}, {"credits": 3}]
    assert (latest[0].moderator_id, latest[0].action, latest[0].target_id) == (BEN, "quota.grant", ANNA)
    assert latest[0].created_at == clock()
    [other] = await storage.moderator_log.latest(ORCHARD, 10)
    assert (other.action, other.target_id, other.details) == ("quota.default", None, {"credits": 7})


async def test_people_become_known_by_what_they_do(storage: Storage, clock: Clock) -> None:
    assert await storage.users.known_since(ANNA) is None
    first = clock()
    await ordered(storage)
    clock.tick(days=1)
    await ordered(storage)
    assert await storage.users.known_since(ANNA) == first
    assert await storage.users.count() == 1


async def test_times_without_a_zone_are_refused(storage: Storage, clock: Clock) -> None:
    with pytest.raises(StatementError, match="not an aware datetime"):
        await storage.retention.forget_pictures(datetime(2026, 3, 14))  # noqa: DTZ001


async def test_the_database_itself_refuses_a_second_charge_and_a_second_ending(
    database: str, storage: Storage, clock: Clock
) -> None:
    job = await leased(storage, clock)
    await storage.jobs.finish(job.id, worker=WORKER, pictures=pictures())
    entry = {"user_id": ANNA, "guild_id": HARBOUR, "job_id": job.id, "day": clock().date(), "allowance_revision": 0}
    async with Database.open(database) as opened:
        for kind, part in ((EntryKind.HOLD, -2), (EntryKind.REFUND, 2), (EntryKind.SETTLE, 0)):
            with pytest.raises(IntegrityError):
                async with opened.writing() as session:
                    session.add(
                        CreditEntryRow(kind=kind, allowance_part=part, granted_part=0, created_at=clock(), **entry)
                    )


async def test_a_transaction_that_raises_leaves_nothing(database: str, storage: Storage, clock: Clock) -> None:
    async def break_off(opened: Database) -> None:
        async with opened.writing() as session:
            session.add(UserRow(id=ANNA, created_at=clock()))
            await session.flush()
            raise ZeroDivisionError

    async with Database.open(database) as opened:
        with pytest.raises(ZeroDivisionError):
            await break_off(opened)
    assert await storage.users.known_since(ANNA) is None


async def test_the_id_of_a_job_that_was_deleted_is_never_given_away_again(database: str, storage: Storage) -> None:
    for _ in range(2):  # as a later "delete" would do it
        job = await ordered(storage)
        async with Database.open(database) as opened, opened.writing() as session:
            await session.execute(delete(CreditEntryRow))
            await session.execute(delete(JobRow))
    assert (await ordered(storage)).id == job.id + 1 == 3


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
async def test_sqlite_is_set_to_be_durable_and_to_check_references(database: str) -> None:
    engine = create_engine(database)
    async with engine.connect() as connection:
        found = [
            await connection.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    await engine.dispose()
    assert found == ["wal", 2, 1, 30_000]


def test_every_verb_is_uninterrupted() -> None:
    kinds = get_type_hints(Storage)
    assert set(kinds) == {field.name for field in fields(Storage)}
    for name, kind in kinds.items():
        verbs = {verb: method for verb, method in vars(kind).items() if inspect.iscoroutinefunction(method)}
        assert verbs
        # The work of files is in threads, which nobody can cancel; wake-ups leave no transaction open, and may be lost.
        if name not in ("files", "wakeups"):
            assert all(hasattr(method, "__wrapped__") for verb, method in verbs.items() if verb[0] != "_")
