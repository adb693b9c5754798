"""Many at once, in one process and in two: nobody gets more than their due, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import func, select
from storage_databases import Databases
from storage_samples import ANNA, BEN, HARBOUR, WORKER, Clock, leased, order, ordered, pictures

from generation.job import Job, JobStatus
from storage.database import Database
from storage.errors import OutOfCredits, TooManyJobs
from storage.job_rows import lock_job
from storage.storage import Storage, open_storage
from storage.tables import CreditEntryRow, EntryKind, UserRow

T = TypeVar("T")


@pytest.fixture
async def second(database: str, tmp_path: Path, clock: Clock) -> AsyncIterator[Storage]:
    """What a second process of the bot would have open."""
    async with open_storage(database=database, files=tmp_path / "files", clock=clock) as opened:
        yield opened


async def outcomes(work: Sequence[Awaitable[T]]) -> tuple[list[T], list[Exception]]:
    """What came of each: values, and the errors that we raise on purpose. Any other error fails the test."""
    results = await asyncio.gather(*work, return_exceptions=True)
    refusals = [result for result in results if isinstance(result, OutOfCredits | TooManyJobs)]
    for result in results:
        if isinstance(result, BaseException) and result not in refusals:
            raise result
    return [result for result in results if not isinstance(result, BaseException)], refusals


async def test_fifty_orders_at_once_with_credits_for_ten(storage: Storage, second: Storage) -> None:
    orders = [
        (storage, second)[number % 2].jobs.order(order(cost=1), allowance=10, max_queued=1000) for number in range(50)
    ]
    accepted, refused = await outcomes(orders)
    assert len(accepted) == 10
    assert all(isinstance(refusal, OutOfCredits) for refusal in refused)
    assert (await storage.credits.balance(ANNA, HARBOUR, allowance=10)).available == 0
    assert {job.id for job in await storage.jobs.waiting()} == {job.id for job in accepted}


async def test_a_crowd_that_reads_keeps_no_order_waiting(database: str) -> None:
    async with Database.open(database) as opened, AsyncExitStack() as crowd:
        for _ in range(15):  # as many connections as there are for reading
            session = await crowd.enter_async_context(opened.reading())
            await session.scalar(select(func.count()).select_from(UserRow))
        async with asyncio.timeout(60), opened.writing() as session:
            session.add(UserRow(id=ANNA, created_at=opened.now()))


async def test_fifty_orders_at_once_with_room_for_ten(storage: Storage, second: Storage) -> None:
    orders = [
        (storage, second)[number % 2].jobs.order(order(cost=1), allowance=None, max_queued=10) for number in range(50)
    ]
    accepted, refused = await outcomes(orders)
    assert len(accepted) == 10
    assert all(isinstance(refusal, TooManyJobs) for refusal in refused)


async def test_one_interaction_that_arrives_everywhere_at_once_is_one_order(storage: Storage, second: Storage) -> None:
    orders = [
        (storage, second)[number % 2].jobs.order(order(cost=3), allowance=10, max_queued=10, request_key="same")
        for number in range(20)
    ]
    accepted, _ = await outcomes(orders)
    assert len({job.id for job in accepted}) == 1
    assert (await storage.credits.balance(ANNA, HARBOUR, allowance=10)).spent_today == 3


async def test_a_lease_passes_over_what_another_program_holds(
    databases: Databases, storage: Storage, second: Storage, database: str
) -> None:
    if databases.kind != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    held, free = await ordered(storage), await ordered(storage)
    async with Database.open(database) as opened, asyncio.timeout(60):
        async with opened.writing() as session:
            assert await lock_job(session, held.id) is not None
            assert [job.id for job in await second.jobs.lease([held.id, free.id], worker=WORKER, seconds=60)] == [
                free.id
            ]
        assert [job.id for job in await second.jobs.lease([held.id, free.id], worker=WORKER, seconds=60)] == [held.id]


async def test_a_lease_counts_from_its_write_however_long_that_waited(
    storage: Storage, database: str, clock: Clock
) -> None:
    job = await leased(storage, clock)
    async with Database.open(database, clock=clock) as opened:
        async with opened.writing() as session:
            assert await lock_job(session, job.id) is not None
            renewing = asyncio.create_task(storage.jobs.renew([job.id], worker=WORKER, seconds=60))
            await asyncio.sleep(0.1)  # it waits by now, or begins later still
            clock.tick(seconds=500)
        await renewing
    renewed = await storage.jobs.get(job.id)
    assert renewed is not None
    assert renewed.lease_until == clock() + timedelta(seconds=60)


async def test_two_dispatchers_never_lease_the_same_job(storage: Storage, second: Storage, clock: Clock) -> None:
    ids = [(await ordered(storage)).id for _ in range(20)]
    batches = await asyncio.gather(
        *(
            store.jobs.lease(part, worker=worker, seconds=60)
            for start in range(0, 20, 5)
            for store, worker, part in (
                (storage, "host-a/cpu", ids[start : start + 10]),
                (second, "host-b/cpu", ids[start : start + 10][::-1]),
            )
        )
    )
    leased_ids = [job.id for batch in batches for job in batch]
    assert sorted(leased_ids) == ids
    for job_id in ids:
        job = await storage.jobs.get(job_id)
        assert job is not None
        assert job.attempt == 1


async def test_whatever_ends_a_job_first_ends_it(
    database: str, storage: Storage, second: Storage, clock: Clock
) -> None:
    jobs = [await leased(storage, clock, cost=1) for _ in range(12)]
    later = clock.tick(hours=1)
    endings = [
        [
            storage.jobs.finish(job.id, worker=WORKER, pictures=pictures()),
            second.jobs.cancel(job.id),
            second.jobs.fail(job.id, error="out_of_memory", worker=WORKER),
        ]
        for job in jobs
    ]
    results = await asyncio.gather(
        *(ending for of_job in endings for ending in of_job), storage.jobs.take_back_expired(later)
    )
    # A job that was taken back first is queued again: only `cancel` ends it then, and there may be none left to come.
    ended_by = [sum(bool(result) for result in results[start : start + 3]) for start in range(0, 36, 3)]
    assert all(count <= 1 for count in ended_by)
    async with Database.open(database) as opened, opened.reading() as session:
        entries = (await session.scalars(select(CreditEntryRow))).all()
    for job, count in zip(jobs, ended_by, strict=True):
        now = await storage.jobs.get(job.id)
        assert now is not None
        assert now.status.terminal == bool(count)
        kinds = [entry.kind for entry in entries if entry.job_id == job.id]
        assert kinds.count(EntryKind.HOLD) == 1
        assert len(kinds) == 1 + count
        assert len(await storage.images.of_job(job.id)) == (2 if now.status is JobStatus.DONE else 0)


async def test_a_crowd_of_all_verbs_comes_to_an_end(storage: Storage, second: Storage, clock: Clock) -> None:
    async def one_person(store: Storage, user_id: int) -> Job:
        job = await store.jobs.order(order(user_id=user_id), allowance=10, max_queued=10)
        await store.jobs.set_message(job.id, 5)
        await store.credits.grant(user_id, HARBOUR, 1, by=BEN)
        await store.credits.set_allowance(user_id, HARBOUR, 10)
        await store.jobs.lease([job.id, job.id - 1, job.id + 1], worker=WORKER, seconds=0)
        await store.jobs.take_back_expired(clock.tick(seconds=1))
        await store.settings.set("guild", HARBOUR, "style", user_id)
        await store.jobs.cancel(job.id)
        await store.jobs.delivered(job.id)
        return job

    async with asyncio.timeout(60):
        people = [one_person((storage, second)[number % 2], 1000 + number % 8) for number in range(24)]
        jobs, refusals = await outcomes(people)
    assert not refusals
    assert len({job.id for job in jobs}) == 24
    assert await storage.users.count() == 8


async def test_a_reader_does_not_wait_for_a_writer(database: str, storage: Storage, clock: Clock) -> None:
    await ordered(storage)
    async with Database.open(database) as writer, writer.writing() as session:
        session.add(UserRow(id=BEN, created_at=clock()))
        await session.flush()
        async with asyncio.timeout(60):
            assert len(await storage.jobs.waiting()) == 1
            assert await storage.users.count() == 1  # what is not committed is not seen
    assert await storage.users.count() == 2


async def test_a_verb_whose_caller_is_cancelled_happens_wholly_or_not_at_all(database: str, storage: Storage) -> None:
    async def order_and_lose_patience(milliseconds: float) -> None:
        task = asyncio.create_task(storage.jobs.order(order(cost=1), allowance=None, max_queued=1000))
        await asyncio.sleep(milliseconds / 1000)
        task.cancel()
        await asyncio.wait([task])

    for number in range(20):
        await order_and_lose_patience(number / 2)
    await asyncio.gather(*(order_and_lose_patience(number) for number in range(20)))

    async with asyncio.timeout(60):
        await ordered(storage, cost=1)  # nobody is left that holds the lock
    waiting = await storage.jobs.waiting()
    assert (await storage.credits.balance(ANNA, HARBOUR, allowance=None)).spent_today == len(waiting)
    async with Database.open(database) as opened, opened.reading() as session:
        assert await session.scalar(select(func.count()).select_from(CreditEntryRow)) == len(waiting)


async def test_who_is_cancelled_again_while_the_verb_ends_is_cancelled_when_it_has_ended(storage: Storage) -> None:
    task = asyncio.create_task(ordered(storage))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await storage.jobs.waiting()) == 1
