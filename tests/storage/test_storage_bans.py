"""Bans: in force until they run out or are taken back, in one server alone, and each change in the log."""

from __future__ import annotations

from datetime import timedelta

from storage_samples import ANNA, BEN, CLEO, HARBOUR, ORCHARD, Clock

from storage.storage import Storage


async def logged(storage: Storage, guild_id: int = HARBOUR) -> list[tuple[str, int | None, int | None]]:
    entries = await storage.moderator_log.latest(guild_id, 20)
    return [(entry.action, entry.target_id, entry.moderator_id) for entry in reversed(entries)]


async def test_a_ban_holds_until_it_runs_out(storage: Storage, clock: Clock) -> None:
    until = clock() + timedelta(hours=2)
    ban = await storage.bans.ban(ANNA, HARBOUR, reason="flooding", lasting=timedelta(hours=2), by=BEN)
    assert (ban.reason, ban.until, ban.moderator_id, ban.created_at) == ("flooding", until, BEN, clock())
    clock.tick(hours=2, seconds=-1)
    assert await storage.bans.of(ANNA, HARBOUR) == ban
    clock.tick(seconds=1)
    assert await storage.bans.of(ANNA, HARBOUR) is None
    assert await storage.bans.in_server(HARBOUR) == []
    assert not await storage.bans.unban(ANNA, HARBOUR, by=BEN)
    assert await logged(storage) == [("ban.set", ANNA, BEN)]


async def test_a_ban_for_good_ends_with_its_taking_back(storage: Storage, clock: Clock) -> None:
    await storage.bans.ban(ANNA, HARBOUR, reason="spam", lasting=None, by=BEN)
    clock.tick(days=4000)
    assert await storage.bans.of(ANNA, HARBOUR)
    assert await storage.bans.unban(ANNA, HARBOUR, by=CLEO)
    assert not await storage.bans.unban(ANNA, HARBOUR, by=CLEO)
    assert await storage.bans.of(ANNA, HARBOUR) is None
    assert await logged(storage) == [("ban.set", ANNA, BEN), ("ban.end", ANNA, CLEO)]


async def test_a_ban_is_of_one_server(storage: Storage) -> None:
    await storage.bans.ban(ANNA, HARBOUR, reason="spam", lasting=None, by=BEN)
    assert await storage.bans.of(ANNA, ORCHARD) is None
    assert await storage.bans.of(ANNA, None) is None
    assert await storage.bans.of(BEN, HARBOUR) is None
    assert not await storage.bans.unban(ANNA, ORCHARD, by=BEN)
    assert await storage.bans.of(ANNA, HARBOUR)
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


async def test_bans_are_listed_newest_first(storage: Storage, clock: Clock) -> None:
    for user_id in (ANNA, CLEO):
        await storage.bans.ban(user_id, HARBOUR, reason="spam", lasting=None, by=BEN)
        clock.tick(minutes=1)
    await storage.bans.ban(BEN, ORCHARD, reason="spam", lasting=None, by=ANNA)
    assert [ban.user_id for ban in await storage.bans.in_server(HARBOUR)] == [CLEO, ANNA]
