"""The rules of a server: what nobody said is open, and every change is in the log of that server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from storage_samples import ANNA, BEN, HARBOUR, ORCHARD

from storage.guild_rules import GuildRules
from storage.storage import Storage


async def logged(storage: Storage, guild_id: int = HARBOUR) -> list[tuple[str, int | None, dict[str, Any]]]:
    entries = await storage.moderator_log.latest(guild_id, 50)
    return [(entry.action, entry.target_id, dict(entry.details)) for entry in reversed(entries)]


async def test_a_server_begins_without_rules(storage: Storage) -> None:
    assert await storage.rulebook.of(HARBOUR) == await storage.rulebook.of(None) == GuildRules()
    assert await storage.rulebook.paused() == []


async def test_limits_are_kept_changed_and_taken_away(storage: Storage) -> None:
    first = await storage.rulebook.limit(HARBOUR, {"steps": 30, "megapixels": 1.05}, by=BEN)
    assert first == GuildRules(steps=30, megapixels=1.05)
    second = await storage.rulebook.limit(HARBOUR, {"steps": None, "account_age_days": 7, "megapixels": 1.05}, by=ANNA)
    assert second == GuildRules(megapixels=1.05, account_age_days=7) == await storage.rulebook.of(HARBOUR)
    assert await storage.rulebook.of(ORCHARD) == GuildRules()
    assert await logged(storage) == [
        ("limit.steps", None, {"limit": 30}),
        ("limit.megapixels", None, {"limit": 1.05}),
        ("limit.steps", None, {"limit": None}),
        ("limit.account_age_days", None, {"limit": 7}),
    ]


@pytest.mark.parametrize("limits", [{"paused": True}, {"steps": 0}, {"megapixels": float("inf")}, {"channels": 5}])
async def test_what_is_no_limit_is_refused(storage: Storage, limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="limit"):
        await storage.rulebook.limit(HARBOUR, limits, by=BEN)
    assert await logged(storage) == []


async def test_channels_are_allowed_removed_and_forgotten(storage: Storage) -> None:
    book = storage.rulebook
    await book.change_channels(HARBOUR, allow=[5, 2**62], by=BEN)
    assert (await book.change_channels(HARBOUR, allow=[5], remove=[6], by=BEN)).channels == (5, 2**62)
    assert (await book.change_channels(HARBOUR, remove=[5], by=BEN)).channels == (2**62,)
    assert (await book.change_channels(HARBOUR, clear=True, allow=[7], by=BEN)).channels == (7,)
    assert (await book.of(HARBOUR)).channels == (7,)
    assert [(action, target) for action, target, _ in await logged(storage)] == [
        ("channel.allow", 5),
        ("channel.allow", 2**62),
        ("channel.remove", 5),
        ("channel.clear", None),
        ("channel.allow", 7),
    ]


async def test_a_pause_is_of_one_server_and_counts_once(storage: Storage) -> None:
    await storage.rulebook.limit(HARBOUR, {"steps": 30}, by=BEN)
    assert await storage.rulebook.pause(HARBOUR, by=BEN)
    assert not await storage.rulebook.pause(HARBOUR, by=ANNA)
    assert await storage.rulebook.of(HARBOUR) == GuildRules(steps=30, paused=True)
    assert await storage.rulebook.paused() == [HARBOUR]
    assert not await storage.rulebook.resume(ORCHARD, by=BEN)
    assert await storage.rulebook.resume(HARBOUR, by=ANNA)
    assert not await storage.rulebook.resume(HARBOUR, by=ANNA)
    assert await storage.rulebook.paused() == []
    assert [action for action, _, _ in await logged(storage)] == ["limit.steps", "pause.begin", "pause.end"]


async def test_where_notices_go(storage: Storage) -> None:
    assert await storage.rulebook.post_notices_to(HARBOUR, 5, by=BEN)
    assert not await storage.rulebook.post_notices_to(HARBOUR, 5, by=BEN)
    assert (await storage.rulebook.of(HARBOUR)).log_channel_id == 5
    assert await storage.rulebook.post_notices_to(HARBOUR, None, by=BEN)
    assert await storage.rulebook.of(HARBOUR) == GuildRules()
    assert [(action, target) for action, target, _ in await logged(storage)] == [
        ("notices.post", 5),
        ("notices.stop", None),
    ]


async def test_changes_at_the_same_moment_are_all_kept(storage: Storage) -> None:
    await asyncio.gather(
        *(storage.rulebook.change_channels(HARBOUR, allow=[number], by=BEN) for number in range(1, 9)),
        storage.rulebook.limit(HARBOUR, {"steps": 30}, by=BEN),
        storage.rulebook.pause(HARBOUR, by=BEN),
    )
    rules = await storage.rulebook.of(HARBOUR)
    assert (set(rules.channels), rules.steps, rules.paused) == (set(range(1, 9)), 30, True)


async def test_what_a_newer_program_wrote_is_passed_over(storage: Storage) -> None:
    await storage.settings.set("guild", HARBOUR, "rules", {"steps": 30, "colours": ["red"]})
    assert await storage.rulebook.of(HARBOUR) == GuildRules(steps=30)


async def test_the_log_is_read_by_page_in_both_directions(storage: Storage) -> None:
    for number in range(1, 8):
        await storage.credits.grant(ANNA, HARBOUR, number, by=BEN)
        await storage.credits.grant(ANNA, ORCHARD, 100 + number, by=BEN)
    log = storage.moderator_log

    def amounts(entries: Any) -> list[int]:
        return [entry.details["credits"] for entry in entries]

    first = await log.older(HARBOUR, None, 3)
    second = await log.older(HARBOUR, first[-1].id, 3)
    assert (amounts(first), amounts(second)) == ([7, 6, 5], [4, 3, 2])
    assert amounts(await log.older(HARBOUR, second[-1].id, 3)) == [1]
    assert amounts(await log.newer(HARBOUR, second[0].id, 2)) == [6, 5]
    assert await log.newer(HARBOUR, first[0].id, 3) == []
    assert (await log.count(HARBOUR), await log.count(0)) == (7, 0)
