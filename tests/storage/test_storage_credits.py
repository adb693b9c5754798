"""What a member may spend, and what moderators set and give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from storage_samples import ANNA, BEN, HARBOUR, ORCHARD, WORKER, Clock, leased, order, pictures

from generation.job import Job
from storage.credits import Balance
from storage.errors import OutOfCredits
from storage.storage import Storage


async def spend(storage: Storage, cost: int, *, allowance: int | None = 10, guild_id: int | None = HARBOUR) -> Job:
    return await storage.jobs.order(order(cost=cost, guild_id=guild_id), allowance=allowance, max_queued=1000)


async def balance(storage: Storage, *, allowance: int | None = 10, guild_id: int | None = HARBOUR) -> Balance:
    return await storage.credits.balance(ANNA, guild_id, allowance=allowance)


async def test_a_stranger_has_the_default_allowance(storage: Storage) -> None:
    assert await balance(storage) == Balance(
        allowance=10,
        spent_today=0,
        allowance_left=10,
        granted=0,
        available=10,
        renews_at=datetime(2026, 3, 15, tzinfo=UTC),
        own=False,
    )


async def test_an_order_over_the_balance_is_refused_with_what_there_is_and_when_there_is_more(storage: Storage) -> None:
    await spend(storage, 8)
    with pytest.raises(OutOfCredits) as refusal:
        await spend(storage, 3)
    renews_at = datetime(2026, 3, 15, tzinfo=UTC)
    assert refusal.value.fields == {"cost": 3, "available": 2, "renews_at": renews_at}
    await spend(storage, 2)
    assert (await balance(storage)).available == 0
    assert len(await storage.jobs.waiting()) == 2


async def test_granted_credits_are_spent_after_the_allowance(storage: Storage) -> None:
    assert await storage.credits.grant(ANNA, HARBOUR, 3) == 3
    assert await storage.credits.grant(ANNA, HARBOUR, 2) == 5
    await spend(storage, 12)
    after = await balance(storage)
    assert (after.allowance_left, after.granted, after.available) == (0, 3, 3)


async def test_a_refund_goes_back_where_it_came_from(storage: Storage) -> None:
    await storage.credits.grant(ANNA, HARBOUR, 5)
    before = await balance(storage)
    job = await spend(storage, 12)
    await storage.jobs.cancel(job.id)
    assert await balance(storage) == before


async def test_a_refund_after_midnight_does_not_raise_the_new_day(storage: Storage, clock: Clock) -> None:
    await storage.credits.grant(ANNA, HARBOUR, 5)
    job = await spend(storage, 12)
    clock.tick(hours=14)  # midnight to the second
    assert (await balance(storage)).available == 10 + 3
    await storage.jobs.cancel(job.id)
    after = await balance(storage)
    assert (after.spent_today, after.allowance_left, after.granted) == (0, 10, 5)
    assert after.renews_at == datetime(2026, 3, 16, tzinfo=UTC)


async def test_days_are_those_of_utc_wherever_the_clock_stands(storage: Storage, clock: Clock) -> None:
    clock.time = datetime(2026, 3, 14, 23, 30, tzinfo=UTC)
    await spend(storage, 10)
    clock.time = datetime(2026, 3, 15, 5, 0, tzinfo=timezone(timedelta(hours=8)))  # the 15th there, the 14th in UTC
    assert (await balance(storage)).available == 0
    assert (await balance(storage)).renews_at == datetime(2026, 3, 15, tzinfo=UTC)


async def test_a_done_job_stays_paid(storage: Storage, clock: Clock) -> None:
    job = await leased(storage, clock, cost=4)
    await storage.jobs.finish(job.id, worker=WORKER, pictures=pictures())
    assert not await storage.jobs.cancel(job.id)
    assert not await storage.jobs.fail(job.id, error="late")
    assert (await balance(storage)).spent_today == 4


async def test_who_is_not_limited_is_recorded_all_the_same(storage: Storage) -> None:
    await spend(storage, 500, allowance=None)
    unlimited = await balance(storage, allowance=None)
    assert (unlimited.allowance, unlimited.allowance_left, unlimited.available) == (None, None, None)
    assert unlimited.spent_today == 500
    limited = await balance(storage, allowance=100)  # no moderator any more
    assert (limited.allowance_left, limited.available) == (0, 0)


async def test_a_set_allowance_is_what_may_be_spent_from_now_until_the_day_ends(storage: Storage, clock: Clock) -> None:
    early = await spend(storage, 9)
    await storage.credits.set_allowance(ANNA, HARBOUR, 4)
    assert (await balance(storage)).available == 4
    await storage.jobs.cancel(early.id)  # what was spent before does not come on top
    mine = await balance(storage)
    assert (mine.allowance, mine.spent_today, mine.available, mine.own) == (4, 0, 4, True)
    await spend(storage, 4, allowance=1000)  # their own wins over any default
    with pytest.raises(OutOfCredits):
        await spend(storage, 1, allowance=None)  # also over none: a moderator who was set is limited
    clock.tick(days=1)
    assert (await balance(storage)).available == 4


async def test_setting_again_begins_to_count_again(storage: Storage) -> None:
    for _ in range(2):
        await storage.credits.set_allowance(ANNA, HARBOUR, 4)
        await spend(storage, 4)
    assert (await balance(storage)).available == 0


async def test_an_allowance_of_nothing_is_one(storage: Storage) -> None:
    await storage.credits.set_allowance(ANNA, HARBOUR, 0)
    assert (await balance(storage)).own
    with pytest.raises(OutOfCredits):
        await spend(storage, 1)


async def test_reset_goes_back_to_the_default_and_forgets_what_was_spent(storage: Storage) -> None:
    await storage.credits.grant(ANNA, HARBOUR, 1)
    await storage.credits.set_allowance(ANNA, HARBOUR, 4)
    await spend(storage, 4)
    await storage.credits.clear_allowance(ANNA, HARBOUR)
    after = await balance(storage)
    assert (after.allowance, after.spent_today, after.granted, after.available, after.own) == (10, 0, 1, 11, False)
    await spend(storage, 10)
    await storage.credits.clear_allowance(ANNA, HARBOUR)
    assert (await balance(storage)).allowance_left == 10


async def test_members_of_two_servers_and_direct_messages_do_not_mix(storage: Storage) -> None:
    await storage.credits.set_allowance(ANNA, HARBOUR, 1)
    await storage.credits.set_allowance(ANNA, None, 2)
    await storage.credits.grant(ANNA, ORCHARD, 50)
    await spend(storage, 2, guild_id=None)
    assert (await balance(storage)).available == 1
    assert (await balance(storage, guild_id=None)).available == 0
    assert (await balance(storage, guild_id=ORCHARD)).available == 60
    assert (await storage.credits.balance(BEN, HARBOUR, allowance=10)).available == 10


async def test_a_lower_default_leaves_nothing_rather_than_less(storage: Storage) -> None:
    await spend(storage, 9)
    lower = await balance(storage, allowance=5)
    assert (lower.spent_today, lower.allowance_left, lower.available) == (9, 0, 0)


async def test_amounts_must_make_sense(storage: Storage) -> None:
    for credits in (0, -1):
        with pytest.raises(ValueError, match="1 or more"):
            await storage.credits.grant(ANNA, HARBOUR, credits)
    with pytest.raises(ValueError, match="0 or more"):
        await storage.credits.set_allowance(ANNA, HARBOUR, -1)
    with pytest.raises(ValueError, match="0 or more"):
        await storage.credits.set_default(HARBOUR, -1)


async def test_a_server_has_its_own_default(storage: Storage) -> None:
    assert await storage.credits.default(HARBOUR) is None
    await storage.credits.set_default(HARBOUR, 0)
    assert await storage.credits.default(HARBOUR) == 0
    assert await storage.credits.default(ORCHARD) is None
    assert await storage.credits.default(None) is None
    await storage.credits.set_default(HARBOUR, None)
    assert await storage.credits.default(HARBOUR) is None
