"""Programs that share a database tell each other what they did, and no two have one name or one shard."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from database_door import door_to
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from storage_databases import PATIENCE, Databases, left_alone
from storage_samples import WORKER, Clock, order, ordered, pictures

from generation.errors import LimnerError
from storage import presence as storage_presence
from storage import wakeups as storage_wakeups
from storage.database import create_engine
from storage.errors import InstanceTaken, ShardCountsDiffer, ShardsUndivided, ShardTaken, StorageUnavailable
from storage.presence import Presence
from storage.storage import Storage, open_storage
from storage.wakeups import Wakeups

ROOT = Path(__file__).parent.parent.parent
GUILD, MODERATOR = 1, 3
HERE = Presence(instance="here", shard_ids=(0, 1), shard_count=3)
THERE = Presence(instance="there", shard_ids=(2,), shard_count=3)


class Ear:
    """Implements `Hearer` by writing everything down."""

    def __init__(self) -> None:
        self.moved: list[int] = []
        self.told: list[str] = []
        self.gaps = 0
        self.news = asyncio.Event()

    def jobs_moved(self, job_ids: Collection[int] | None) -> None:
        if job_ids is None:
            self.gaps += 1
        else:
            self.moved += job_ids
        self.news.set()

    def was_told(self, text: str) -> None:
        self.told.append(text)
        self.news.set()

    async def until(self, *, moved: int = 0, told: int = 0, gaps: int = 0) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.moved) < moved or len(self.told) < told or self.gaps < gaps:
                await self.news.wait()
                self.news.clear()


@asynccontextmanager
async def heard(wakeups: Wakeups, ear: Ear) -> AsyncIterator[asyncio.Task[None]]:
    """Listen while the block lasts, however it ends: who listens on would keep its place from the next test."""
    listening = asyncio.create_task(wakeups.listen(ear))
    try:
        yield listening
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


@pytest.fixture(autouse=True)
def _postgres_only(databases: Databases) -> None:
    if databases.kind != "postgresql":
        pytest.skip("SQLite is one program's")


@pytest.fixture(autouse=True)
async def _patient(_postgres_only: None, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No place is another test's yet, and none is refused, or a connection given up, because the server is slow."""
    monkeypatch.setattr(storage_presence, "_TRIES", round(PATIENCE / storage_presence._AGAIN))
    for limit in ("_CONNECT_SECONDS", "_PING_SECONDS"):
        monkeypatch.setattr(storage_wakeups, limit, PATIENCE)
    await left_alone(database)


@pytest.fixture
async def second(database: str, tmp_path: Path, clock: Clock) -> AsyncIterator[Storage]:
    async with open_storage(database=database, files=tmp_path / "files", clock=clock) as opened:
        yield opened


async def test_every_move_of_a_job_is_heard_elsewhere_and_not_by_whoever_made_it(
    storage: Storage, second: Storage
) -> None:
    async with storage.wakeups.attending(HERE), second.wakeups.attending(THERE), asyncio.TaskGroup() as tasks:
        here, there = Ear(), Ear()
        listening = [
            tasks.create_task(storage.wakeups.listen(here)),
            tasks.create_task(second.wakeups.listen(there)),
        ]
        one, two, three = [(await ordered(storage)).id for _ in range(3)]
        await storage.jobs.lease([one, two], worker=WORKER, seconds=60)
        await storage.jobs.retry(two, worker=WORKER)
        await storage.jobs.finish(one, worker=WORKER, pictures=pictures())
        await storage.jobs.cancel(three)
        await storage.jobs.cancel(three)  # it has ended: nothing moves
        await storage.jobs.set_message(two, 5)  # nor here
        await there.until(moved=8)
        assert there.moved == [one, two, three, one, two, two, one, three]
        await second.jobs.cancel(two)
        await here.until(moved=1)
        assert here.moved == [two]
        for task in listening:
            task.cancel()


async def test_a_setting_that_one_changes_counts_in_the_other_at_once(storage: Storage, second: Storage) -> None:
    second.settings._database.kept._now = lambda: 0.0  # nothing is forgotten because time goes by
    async with storage.wakeups.attending(HERE), second.wakeups.attending(THERE):
        there = Ear()
        async with heard(second.wakeups, there):
            assert await second.credits.default(GUILD) is None
            assert not (await second.rulebook.of(GUILD)).paused
            await storage.credits.set_default(GUILD, 5)
            await storage.rulebook.pause(GUILD, by=MODERATOR)
            await ordered(storage)
            await there.until(moved=1)  # notifications come in the order of their transactions
            assert await second.credits.default(GUILD) == 5
            assert (await second.rulebook.of(GUILD)).paused


async def test_a_setting_that_was_changed_while_nothing_could_be_heard_counts_after_that(
    storage: Storage, second: Storage, database: str
) -> None:
    second.settings._database.kept._now = lambda: 0.0
    async with second.wakeups.attending(THERE):
        assert await second.credits.default(GUILD) is None
        await _end_listeners(database)
        await storage.credits.set_default(GUILD, 5)
        there = Ear()
        async with heard(second.wakeups, there):
            await there.until(gaps=1)
            assert await second.credits.default(GUILD) == 5


async def test_what_is_undone_is_not_told(storage: Storage, second: Storage) -> None:
    async with second.wakeups.attending(THERE), asyncio.TaskGroup() as tasks:
        there = Ear()
        listening = tasks.create_task(second.wakeups.listen(there))
        with pytest.raises(LimnerError):
            await storage.jobs.order(order(cost=5), allowance=0, max_queued=10)
        job = await ordered(storage)
        await there.until(moved=1)
        assert there.moved == [job.id]
        listening.cancel()


async def test_a_text_of_any_length_arrives_whole_and_once(storage: Storage, second: Storage) -> None:
    async with storage.wakeups.attending(HERE), second.wakeups.attending(THERE), asyncio.TaskGroup() as tasks:
        there = Ear()
        listening = tasks.create_task(second.wakeups.listen(there))
        told = ["short", "", "long" * 10_000, "last"]
        await asyncio.gather(*(storage.wakeups.tell(each) for each in told))
        await there.until(told=4)
        assert sorted(there.told) == sorted(told)
        await storage.wakeups.tell("x" * 1_000_000)  # no wake-up, and no trouble either
        await storage.wakeups.tell("end")
        await there.until(told=5)
        assert there.told[-1] == "end"
        listening.cancel()


async def test_a_connection_that_the_server_ends_is_made_anew_and_the_gap_is_told(
    storage: Storage, second: Storage, database: str
) -> None:
    async with second.wakeups.attending(THERE), asyncio.TaskGroup() as tasks:
        there = Ear()
        listening = tasks.create_task(second.wakeups.listen(there))
        await _end_listeners(database)
        await there.until(gaps=1)
        job = await ordered(storage)
        await there.until(moved=1)
        assert there.moved == [job.id]
        listening.cancel()


@asynccontextmanager
async def another_has_the_name(database: str) -> AsyncIterator[None]:
    """The connection of the program 'here' ends, and in the same moment another connection has that name."""
    engine = create_engine(database)
    name = f"{storage_presence._NAMES}, {storage_presence._number(HERE.instance)}"
    waiting = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        # It stands in line, so it has the name before a program can ask for it.
        taking = asyncio.create_task(connection.execute(text(f"SELECT pg_advisory_lock({name})")))
        async with asyncio.timeout(PATIENCE), engine.connect() as looking:
            while not await looking.scalar(waiting):
                pass
        await _end_listeners(database)
        await asyncio.wait_for(taking, PATIENCE)
        yield
        await connection.execute(text("SELECT pg_advisory_unlock_all()"))
    await engine.dispose()


async def test_a_program_whose_place_another_has_by_now_is_told_to_end(
    storage: Storage, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_presence, "_TRIES", 1)
    monkeypatch.setattr(storage_wakeups, "_REFUSED_SECONDS", 0.5)
    async with (
        storage.wakeups.attending(HERE),
        heard(storage.wakeups, Ear()) as listening,
        another_has_the_name(database),
        asyncio.timeout(PATIENCE),
    ):
        with pytest.raises(InstanceTaken):
            await listening


async def test_a_place_that_is_free_again_soon_is_taken_again(
    storage: Storage, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a dead connection of our own frees it, once the server sees that it is dead."""
    monkeypatch.setattr(storage_presence, "_TRIES", 1)
    refused = asyncio.Event()

    async def note(connection: AsyncConnection, presence: Presence) -> None:
        try:
            await storage_presence.take_place(connection, presence)
        except InstanceTaken:
            refused.set()
            raise

    async with storage.wakeups.attending(HERE):
        monkeypatch.setattr(storage_wakeups, "take_place", note)
        here = Ear()
        async with heard(storage.wakeups, here):
            async with another_has_the_name(database):
                await asyncio.wait_for(refused.wait(), PATIENCE)
            await here.until(gaps=1)


async def test_a_database_that_is_away_is_waited_for_however_long_that_takes(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_wakeups, "_REFUSED_SECONDS", 0.0)
    async with door_to(database) as door:
        wakeups, here = Wakeups(door.url, origin="here", settings_changed=lambda: None), Ear()
        async with wakeups.attending(HERE), heard(wakeups, here):
            door.shut()
            async with asyncio.timeout(PATIENCE):
                for _ in range(3):
                    await door.turned_away()
            door.open()
            await here.until(gaps=1)


async def test_a_server_that_falls_silent_is_not_waited_for_in_vain(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_wakeups, "_CONNECT_SECONDS", 0.5)
    async with door_to(database) as door:
        door.silent_from = b"pg_try_advisory_lock"
        wakeups = Wakeups(door.url, origin="here", settings_changed=lambda: None)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(StorageUnavailable, match=r"no answer within 0\.5 s"):
                async with wakeups.attending(HERE):
                    pass


@pytest.mark.parametrize(
    ("other", "refusal"),
    [
        (Presence(instance="here", shard_ids=(2,), shard_count=3), InstanceTaken),
        (Presence(instance="there"), ShardsUndivided),
        (Presence(instance="there", shard_ids=(1, 2), shard_count=3), ShardTaken),
        (Presence(instance="there", shard_ids=(2,), shard_count=4), ShardCountsDiffer),
    ],
)
async def test_two_programs_may_not_be_in_one_place(
    storage: Storage,
    second: Storage,
    monkeypatch: pytest.MonkeyPatch,
    other: Presence,
    refusal: type[LimnerError],
) -> None:
    async with storage.wakeups.attending(HERE):
        with monkeypatch.context() as hasty:
            hasty.setattr(storage_presence, "_TRIES", 1)
            with pytest.raises(refusal):
                async with second.wakeups.attending(other):
                    pass
        async with second.wakeups.attending(THERE):
            pass
    async with second.wakeups.attending(other):  # it has gone, and its place is free
        pass


async def test_a_program_takes_as_many_connections_as_the_guide_counts(storage: Storage, database: str) -> None:
    """While more work waits than there are connections for."""
    told = re.search(r"takes (\d+) connections at most", (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8"))
    assert told is not None
    opened, over = storage.settings._database, asyncio.Event()

    async def hold(kind: Callable[[], AbstractAsyncContextManager[AsyncSession]]) -> None:
        async with kind() as session:
            await session.execute(text("SELECT 1"))
            await over.wait()

    engine = create_engine(database)
    async with storage.wakeups.attending(HERE), engine.connect() as looking, asyncio.TaskGroup() as tasks:
        for kind in (opened.reading, opened.writing):
            for _ in range(16):  # one more than get one
                tasks.create_task(hold(kind))
        async with asyncio.timeout(PATIENCE):
            while await _others(looking) < int(told[1]):
                pass
        assert [await _others(looking) for _ in range(20)] == [int(told[1])] * 20
        over.set()
    await engine.dispose()


async def _others(connection: AsyncConnection) -> int:
    """How many other connections the database has."""
    found = await connection.scalar(
        text(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND datname = current_database() AND pid <> pg_backend_pid()"
        )
    )
    await connection.rollback()  # within one transaction the answer stays the same
    return int(found or 0)


async def _end_listeners(database: str) -> None:
    """As an administrator does, or a restart of the server."""
    engine = create_engine(database)
    async with engine.connect() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
    await engine.dispose()
