"""What is kept in memory is what is in the database, whoever changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from storage_samples import Clock

from storage.errors import Banned
from storage.kept import KEPT_SECONDS, MOST, Kept
from storage.storage import Storage, open_storage

GUILD, USER, MODERATOR, ROLE = 1, 2, 3, 4


async def banned(storage: Storage) -> bool:
    try:
        await storage.bans.check(USER, GUILD)
    except Banned:
        return True
    return False


async def defaults(storage: Storage) -> Any:
    return await storage.settings.get("user", USER, "defaults")


# What is asked, how it is changed, what is told before and after that.
CHANGES: dict[
    str, tuple[Callable[[Storage], Awaitable[Any]], tuple[tuple[Callable[[Storage], Awaitable[Any]], Any], ...]]
] = {
    "member": (
        defaults,
        (
            (lambda storage: storage.settings.set("user", USER, "defaults", {"style": "ink"}), {"style": "ink"}),
            (lambda storage: storage.personal_data.delete(USER), None),
            (lambda storage: storage.settings.set("user", USER, "defaults", {"style": "oil"}), {"style": "oil"}),
            (lambda storage: storage.settings.set("user", USER, "defaults", None), None),
        ),
    ),
    "limits": (
        lambda storage: _field(storage.rulebook.of(GUILD), "steps"),
        (
            (lambda storage: storage.rulebook.limit(GUILD, {"steps": 20}, by=MODERATOR), 20),
            (lambda storage: storage.rulebook.limit(GUILD, {"steps": None}, by=MODERATOR), None),
        ),
    ),
    "channels": (
        lambda storage: _field(storage.rulebook.of(GUILD), "channels"),
        (
            (lambda storage: storage.rulebook.change_channels(GUILD, allow=[7], by=MODERATOR), (7,)),
            (lambda storage: storage.rulebook.change_channels(GUILD, clear=True, by=MODERATOR), ()),
        ),
    ),
    "pause": (
        lambda storage: _field(storage.rulebook.of(GUILD), "paused"),
        (
            (lambda storage: storage.rulebook.pause(GUILD, by=MODERATOR), True),
            (lambda storage: storage.rulebook.resume(GUILD, by=MODERATOR), False),
        ),
    ),
    "words": (
        lambda storage: _field(storage.blocked_words.of(GUILD), "words"),
        (
            (lambda storage: storage.blocked_words.add(GUILD, "crab", by=MODERATOR, at_most=9), ["crab"]),
            (lambda storage: storage.blocked_words.remove(GUILD, ["crab"], by=MODERATOR), []),
        ),
    ),
    "default words": (
        lambda storage: _field(storage.blocked_words.of(GUILD), "defaults"),
        (
            (lambda storage: storage.blocked_words.use_defaults(GUILD, False, by=MODERATOR), False),
            (lambda storage: storage.blocked_words.use_defaults(GUILD, True, by=MODERATOR), True),
        ),
    ),
    "allowance": (
        lambda storage: storage.credits.default(GUILD),
        (
            (lambda storage: storage.credits.set_default(GUILD, 5), 5),
            (lambda storage: storage.credits.set_default(GUILD, None), None),
        ),
    ),
    "allowance of a role": (
        lambda storage: storage.credits.of_roles(GUILD),
        (
            (lambda storage: storage.credits.set_role(GUILD, ROLE, 9), {ROLE: 9}),
            (lambda storage: storage.credits.set_role(GUILD, ROLE, None), {}),
        ),
    ),
    "ban": (
        banned,
        (
            (lambda storage: _ban(storage), True),
            (lambda storage: storage.bans.unban(USER, GUILD, by=MODERATOR), False),
        ),
    ),
}


async def _field(asked: Awaitable[Any], name: str) -> Any:
    return getattr(await asked, name)


async def _ban(storage: Storage) -> None:
    await storage.bans.ban(USER, GUILD, reason="spam", lasting=timedelta(days=1), by=MODERATOR)


@pytest.mark.parametrize("what", CHANGES)
async def test_a_change_counts_at_once(storage: Storage, what: str) -> None:
    ask, changes = CHANGES[what]
    before = await ask(storage)
    for change, after in changes:
        assert await ask(storage) == before
        await change(storage)
        assert await ask(storage) == after
        assert after != before
        before = after


async def test_what_is_kept_is_not_read_again(storage: Storage, database: str, tmp_path: Path, clock: Clock) -> None:
    """Which is what keeping is for; so a change by another program is heard of a little later."""
    storage.settings._database.kept._now = Time()  # a slow machine forgets no sooner
    assert await storage.credits.default(GUILD) is None
    async with open_storage(database=database, files=tmp_path / "files", clock=clock) as other:
        await other.credits.set_default(GUILD, 5)
        assert await other.credits.default(GUILD) == 5
    assert await storage.credits.default(GUILD) is None
    await storage.credits.set_default(GUILD + 1, 8)  # whatever it is that changes here, all is read anew
    assert await storage.credits.default(GUILD) == 5


async def test_a_ban_ends_when_it_is_over(storage: Storage, clock: Clock) -> None:
    await _ban(storage)
    assert await banned(storage)
    clock.tick(days=2)
    assert not await banned(storage)


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_nothing_is_kept_for_long() -> None:
    time, values = Time(), iter(range(9))

    async def read() -> int:
        return next(values)

    kept = Kept(time)
    assert [await kept.of("key", read), await kept.of("key", read), await kept.of("other", read)] == [0, 0, 1]
    time.now += KEPT_SECONDS
    assert await kept.of("key", read) == 2


async def test_what_was_read_while_it_changed_is_not_kept(storage: Storage) -> None:
    """The reader may have seen what was there before, and the change is committed already."""
    kept, reading, go_on = storage.settings._database.kept, asyncio.Event(), asyncio.Event()

    async def read_slowly() -> str:
        reading.set()
        await go_on.wait()
        return "before"

    async def read() -> str:
        return "after"

    slow = asyncio.create_task(kept.of("key", read_slowly))
    await reading.wait()
    await storage.settings.set("user", USER, "defaults", {})
    go_on.set()
    assert await slow == "before"
    assert await kept.of("key", read) == "after"


async def test_no_more_is_kept_than_memory_is_for() -> None:
    kept = Kept()

    async def read() -> int:
        return 0

    for number in range(MOST + 1):
        await kept.of(number, read)
    assert len(kept._values) == 1
