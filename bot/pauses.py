"""Pauses of servers: kept in storage, held to by the queue, taken up again at the next start."""

from __future__ import annotations

from generation.queue.dispatcher import Dispatcher
from storage.guild_rules import Rulebook


class Pauses:
    """While a server is paused nothing is ordered there (`bot.rules.pauses`) and nothing of it begins to be drawn.

    What is being drawn ends as it would; what waits keeps its place.
    """

    def __init__(self, rulebook: Rulebook, dispatcher: Dispatcher) -> None:
        self._rulebook = rulebook
        self._dispatcher = dispatcher

    async def pause(self, guild_id: int, *, by: int) -> bool:
        """Stop. False: it is paused already. `by` is a moderator: whoever calls this has asked `bot.moderators`."""
        changed = await self._rulebook.pause(guild_id, by=by)
        self._dispatcher.pause(guild_id)
        return changed

    async def resume(self, guild_id: int, *, by: int) -> bool:
        """Go on. False: there is no pause."""
        changed = await self._rulebook.resume(guild_id, by=by)
        self._dispatcher.resume(guild_id)
        return changed

    async def take_up(self) -> None:
        """Hold the queue to the pauses of an earlier run, before it begins."""
        for guild_id in await self._rulebook.paused():
            self._dispatcher.pause(guild_id)
