"""Bans: in force until they run out or are taken back, in one server alone, and each change in the log."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from storage_samples import ANNA, BEN, CLEO, HARBOUR, ORCHARD, Clock, ban_of, order

from generation.job import JobStatus
from storage.errors import Banned, BannedForGood
from storage.storage import Storage


async def logged(storage: Storage, guild_id: int = HARBOUR) -> list[tuple[str, int | None, int | None]]:
    entries = await storage.moderator_log.latest(guild_id, 20)
    return [(entry.action, entry.target_id, entry.moderator_id) for entry in reversed(entries)]


async def test_a_ban_holds_until_it_runs_out(storage: Storage, clock: Clock) -> None:
    until = clock() + timedelta(hours=2)
    ban = await storage.bans.ban(ANNA, HARBOUR, reason="flooding", lasting=timedelta(hours=2), by=BEN)
    assert (ban.reason, ban.until, ban.moderator_id, ban.created_at) == ("flooding", until, BEN, clock())
    clock.tick(hours=2, seconds=-1)
    assert await ban_of(storage, ANNA, HARBOUR) == ban
    clock.tick(seconds=1)
    assert await ban_of(storage, ANNA, HARBOUR) is None
    assert await storage.bans.in_server(HARBOUR) == []
    assert not await storage.bans.unban(ANNA, HARBOUR, by=BEN)
    assert await logged(storage) == [("ban.set", ANNA, BEN)]


async def test_a_ban_for_good_ends_with_its_taking_back(storage: Storage, clock: Clock) -> None:
    await storage.bans.ban(ANNA, HARBOUR, reason="spam", lasting=None, by=BEN)
    clock.tick(days=4000)
    assert await ban_of(storage, ANNA, HARBOUR)
    assert await storage.bans.unban(ANNA, HARBOUR, by=CLEO)
    assert not await storage.bans.unban(ANNA, HARBOUR, by=CLEO)
    assert await ban_of(storage, ANNA, HARBOUR) is None
    assert await logged(storage) == [("ban.set", ANNA, BEN), ("ban.end", ANNA, CLEO)]


async def test_a_ban_is_of_one_server(storage: Storage) -> None:
    await storage.bans.ban(ANNA, HARBOUR, reason="spam", lasting=None, by=BEN)
    assert await ban_of(storage, ANNA, ORCHARD) is None
    await storage.bans.check(ANNA, None)
    assert await ban_of(storage, BEN, HARBOUR) is None
    assert not await storage.bans.unban(ANNA, ORCHARD, by=BEN)
    assert await ban_of(storage, ANNA, HARBOUR)
    assert await logged(storage, ORCHARD) == []


async def test_a_second_ban_takes_the_place_of_the_first(storage: Storage, clock: Clock) -> None:
    await storage.bans.ban(ANNA, HARBOUR, reason="spam", lasting=None, by=BEN)
    clock.tick(hours=1)
    second = await storage.bans.ban(ANNA, HARBOUR, reason="flooding", lasting=timedelta(days=1), by=CLEO)
    until = clock() + timedelta(days=1)
    assert await storage.bans.in_server(HARBOUR) == [second]
    assert [action for action, _, _ in await logged(storage)] == ["ban.set", "ban.set"]
    [entry, _] = await storage.moderator_log.latest(HARBOUR, 2)
    assert entry.details == {"reason": "flooding", "until": until.isoformat()}


async def test_an_order_of_the_banned_is_not_taken_whatever_was_asked_before(storage: Storage, clock: Clock) -> None:
    job = await storage.jobs.order(order(), allowance=10, max_queued=10, request_key="early")
    await storage.bans.ban(ANNA, HARBOUR, reason="spam", lasting=timedelta(hours=1), by=BEN)
    with pytest.raises(Banned) as caught:
        await storage.jobs.order(order(), allowance=10, max_queued=10)
    assert caught.value.fields == {"until": clock() + timedelta(hours=1), "reason": "spam"}
    assert await storage.jobs.order(order(), allowance=10, max_queued=10, request_key="early") == job
    assert (await storage.credits.balance(ANNA, HARBOUR, allowance=10)).spent_today == 2
    for guild_id in (ORCHARD, None):
        await storage.jobs.order(order(guild_id=guild_id), allowance=10, max_queued=10)
    await storage.bans.ban(ANNA, HARBOUR, reason="spam", lasting=None, by=BEN)
    with pytest.raises(BannedForGood):
        await storage.bans.check(ANNA, HARBOUR)
    await storage.bans.check(ANNA, ORCHARD)


async def test_a_ban_amid_a_flood_of_orders_leaves_none_that_its_sweep_does_not_see(storage: Storage) -> None:
    async def ban() -> list[int]:
        await storage.bans.ban(ANNA, HARBOUR, reason="flooding", lasting=None, by=BEN)
        return [job.id for job in await storage.jobs.of_user(ANNA, guild_id=HARBOUR, statuses=[JobStatus.QUEUED])]

    async def flood() -> int | None:
        try:
            return (await storage.jobs.order(order(), allowance=None, max_queued=100)).id
        except BannedForGood:
            return None

    before, seen, after = await asyncio.gather(
        asyncio.gather(*(flood() for _ in range(10))), ban(), asyncio.gather(*(flood() for _ in range(10)))
    )
    assert {job_id for job_id in (*before, *after) if job_id is not None} == set(seen)


async def test_bans_are_listed_newest_first(storage: Storage, clock: Clock) -> None:
    for user_id in (ANNA, CLEO):
        await storage.bans.ban(user_id, HARBOUR, reason="spam", lasting=None, by=BEN)
        clock.tick(minutes=1)
    await storage.bans.ban(BEN, ORCHARD, reason="spam", lasting=None, by=ANNA)
    assert [ban.user_id for ban in await storage.bans.in_server(HARBOUR)] == [CLEO, ANNA]
