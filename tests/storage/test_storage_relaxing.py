"""Relaxed jobs: they cost nothing, so there are so many a day and so many at a time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from storage_samples import ANNA, BEN, HARBOUR, ORCHARD, Clock, order, pictures

from generation.job import Job, Priority
from storage.errors import TooManyRelaxedToday, TooManyRelaxedWaiting
from storage.relaxing import RelaxLimits
from storage.storage import Storage

LIMITS = RelaxLimits(per_day=3, waiting=2)


async def relaxed(storage: Storage, count: int = 1, limits: RelaxLimits = LIMITS, **changes: Any) -> list[Job]:
    new = [order(priority=Priority.RELAX, cost=50, **changes) for _ in range(count)]
    return list(await storage.jobs.order_many(new, allowance=10, max_queued=10, relax=limits))


async def test_relaxed_work_is_not_paid_for_whatever_becomes_of_it(storage: Storage, clock: Clock) -> None:
    first, second = await relaxed(storage, 2)
    await storage.jobs.lease([first.id], worker="w/cpu", seconds=0)
    assert await storage.jobs.finish(first.id, worker="w/cpu", pictures=pictures())
    assert await storage.jobs.cancel(second.id)
    at_hand = await storage.credits.balance(ANNA, HARBOUR, allowance=10)
    assert (at_hand.available, at_hand.spent_today) == (10, 0)


async def test_no_more_of_them_wait_than_may(storage: Storage) -> None:
    (job,) = await relaxed(storage)
    with pytest.raises(TooManyRelaxedWaiting) as caught:
        await relaxed(storage, 2)
    assert caught.value.fields == {"wanted": 2, "waiting": 1, "limit": 2}
    await relaxed(storage)
    await relaxed(storage, 2, user_id=BEN)
    await relaxed(storage, 2, guild_id=ORCHARD)
    await storage.jobs.cancel(job.id)
    await relaxed(storage)


async def test_there_are_so_many_a_day_and_what_was_called_off_does_not_count(storage: Storage, clock: Clock) -> None:
    limits = RelaxLimits(per_day=3, waiting=10)
    jobs = await relaxed(storage, 3, limits)
    with pytest.raises(TooManyRelaxedToday) as caught:
        await relaxed(storage, 1, limits)
    renews_at = datetime(2026, 3, 15, tzinfo=UTC)
    assert caught.value.fields == {"wanted": 1, "ordered": 3, "limit": 3, "renews_at": renews_at}
    with pytest.raises(TooManyRelaxedToday):
        await storage.jobs.check_order([order(priority=Priority.RELAX)], allowance=10, max_queued=10, relax=limits)
    await storage.jobs.cancel(jobs[0].id)
    await storage.jobs.fail(jobs[1].id, error="painting_failed")
    await relaxed(storage, 2, limits)
    clock.tick(hours=14)  # midnight
    await relaxed(storage, 3, limits)


async def test_those_who_pay_are_not_counted(storage: Storage) -> None:
    for _ in range(4):
        await storage.jobs.order_many([order(cost=1)], allowance=10, max_queued=10, relax=LIMITS)
    await relaxed(storage, 2)


async def test_orders_at_the_same_moment_do_not_slip_through(storage: Storage) -> None:
    tries = await asyncio.gather(*(relaxed(storage) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(tried, list) for tried in tries) == 2
    assert all(isinstance(tried, list | TooManyRelaxedWaiting) for tried in tries)
