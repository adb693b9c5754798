"""Programs that share a database tell each other what they did, and no two have one name or one shard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest
from sqlalchemy import text
from storage_databases import Databases
from storage_samples import WORKER, Clock, order, ordered, pictures

from generation.errors import LimnerError
from storage import presence as storage_presence
from storage.database import create_engine
from storage.errors import InstanceTaken, ShardCountsDiffer, ShardsUndivided, ShardTaken
from storage.presence import Presence
from storage.storage import Storage, open_storage

PATIENCE = 60.0
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


@pytest.fixture(autouse=True)
def _postgres_only(databases: Databases) -> None:
    if databases.kind != "postgresql":
        pytest.skip("SQLite is one program's")


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


async def _end_listeners(database: str) -> None:
    """As an administrator does, or a restart of the server."""
    engine = create_engine(database)
    async with engine.connect() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
    await engine.dispose()
