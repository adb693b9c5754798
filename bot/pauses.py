"""Pauses of servers: kept in storage, held to by the queue, also by those of other processes on the same database."""

from __future__ import annotations

import asyncio

from bot.background import attempted
from bot.relay import PAUSES
from generation.queue.dispatcher import Dispatcher
from generation.queue.waiting import comes_within
from storage.guild_rules import Rulebook
from storage.wakeups import Wakeups

POLL_SECONDS = 10.0  # after which a pause is heard of that began or ended in another process and was not told


class Pauses:
    """While a server is paused nothing is ordered there (`bot.rules.pauses`) and nothing of it begins to be drawn.

    What is being drawn ends as it would; what waits keeps its place.
    """

    def __init__(self, rulebook: Rulebook, dispatcher: Dispatcher, wakeups: Wakeups) -> None:
        self._rulebook = rulebook
        self._dispatcher = dispatcher
        self._wakeups = wakeups
        self._changed = asyncio.Event()
        self._held: set[int] = set()
        # What was read of storage must not be older than what is done by it.
        self._turn = asyncio.Lock()

    async def pause(self, guild_id: int, *, by: int) -> bool:
        """Stop. False: it is paused already. `by` is a moderator: whoever calls this has asked `bot.moderators`."""
        async with self._turn:
            changed = await self._rulebook.pause(guild_id, by=by)
            self._hold({*self._held, guild_id})
        await self._wakeups.tell(PAUSES)
        return changed

    async def resume(self, guild_id: int, *, by: int) -> bool:
        """Go on. False: there is no pause."""
        async with self._turn:
            changed = await self._rulebook.resume(guild_id, by=by)
            self._hold(self._held - {guild_id})
        await self._wakeups.tell(PAUSES)
        return changed

    async def take_up(self) -> None:
        """Hold the queue to the pauses that stand in storage: of an earlier run, or of another process."""
        async with self._turn:
            self._hold(set(await self._rulebook.paused()))

    def look_again(self) -> None:
        """Another process may have paused or resumed something. Returns at once."""
        self._changed.set()

    async def run(self) -> None:
        """For ever: hear of what other processes paused or resumed."""
        while True:
            await comes_within(POLL_SECONDS, self._changed)
            self._changed.clear()
            await attempted("pauses", self.take_up())

    def _hold(self, paused: set[int]) -> None:
        for guild_id in paused - self._held:
            self._dispatcher.pause(guild_id)
        for guild_id in self._held - paused:
            self._dispatcher.resume(guild_id)
        self._held = paused
