"""What moderators are told that Limner did by itself: refused words, blocked pictures."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import discord
import structlog

from bot.log_wording import deed_words
from bot.message_routes import CONNECTION_ERRORS, MENTION_NOBODY
from bot.wording import MESSAGE_LENGTH, fitting
from storage.blocked_pictures import ACTION as BLOCKED
from storage.blocked_pictures import blocked_details
from storage.moderator_log import Deed

if TYPE_CHECKING:
    from bot.client import LimnerClient
    from bot.messages import Messages
    from generation.job import Job
    from storage.storage import Storage

# For one server, while Discord is slower than what happens. The others stand in the moderator log alone.
MOST_WAITING = 50
LAST_LINE_LENGTH = 100  # characters that are kept to say so


@dataclass(slots=True, kw_only=True)
class _Waiting:
    """What is to be posted in one server, the oldest first."""

    deeds: deque[Deed]
    too_many: bool = False

    def add(self, deed: Deed) -> None:
        if len(self.deeds) < MOST_WAITING:
            self.deeds.append(deed)
        else:
            self.too_many = True


class ModeratorNotices:
    """Writes what happened into the server's moderator log, in Limner's own name, and posts it where the server says.

    Posting is done by a task for each server, one message after the other: what happens meanwhile comes in the next.
    """

    def __init__(self, *, storage: Storage, messages: Messages, client: LimnerClient) -> None:
        self._storage = storage
        self._messages = messages
        self._client = client
        self._waiting: dict[int, _Waiting] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def tell(self, guild_id: int | None, action: str, *, about: int | None, details: Mapping[str, Any]) -> None:
        """Note an `action` (a key of `moderator_log` in the catalogue) about a person. Never raises.

        Direct messages have no moderators.
        """
        if guild_id is None:
            return
        try:
            await self._storage.moderator_log.note(guild_id, action, target_id=about, details=details)
        except Exception:  # noqa: BLE001 – whatever the database has, what is told of was decided and goes on
            structlog.get_logger(__name__).exception("notice_lost", guild_id=guild_id, action=action)
            return
        self._post_soon(guild_id, Deed(moderator_id=None, action=action, target_id=about, details=details))

    def blocked(self, job: Job, score: float) -> None:
        """Post that a job's pictures were blocked, which stands in the log already. Returns at once."""
        if job.guild_id is not None:  # direct messages have no moderators
            details = blocked_details(job.id, job.channel_id, score)
            deed = Deed(moderator_id=None, action=BLOCKED, target_id=job.user_id, details=details)
            self._post_soon(job.guild_id, deed)

    async def drain(self, seconds: float) -> None:
        """Let what waits be posted, but not longer; what is left then stands in the moderator log alone."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _post_soon(self, guild_id: int, deed: Deed) -> None:
        if guild_id in self._waiting:
            self._waiting[guild_id].add(deed)
            return
        self._waiting[guild_id] = _Waiting(deeds=deque([deed]))
        task = asyncio.create_task(self._post_all(guild_id), name=f"notices of {guild_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post_all(self, guild_id: int) -> None:
        """Until nothing waits any more."""
        waiting = self._waiting[guild_id]
        try:
            while waiting.deeds:
                rules = await self._storage.rulebook.of(guild_id)
                if rules.log_channel_id is None:
                    return
                await self._post(guild_id, rules.log_channel_id, waiting)
        except Exception:  # noqa: BLE001 – nobody waits for this task
            structlog.get_logger(__name__).exception("notice_not_posted", guild_id=guild_id)
        finally:
            del self._waiting[guild_id]

    async def _post(self, guild_id: int, channel_id: int, waiting: _Waiting) -> None:
        """As many as fit into one message, the oldest first."""
        guild = self._client.get_guild(guild_id)
        locale = None if guild is None else guild.preferred_locale.value
        words = (deed_words(self._messages, deed, locale) for deed in waiting.deeds)
        lines = fitting(words, MESSAGE_LENGTH - LAST_LINE_LENGTH)
        for _ in lines:
            waiting.deeds.popleft()
        if waiting.too_many and not waiting.deeds:
            waiting.too_many = False
            lines.append(self._messages.say("log.more", locale))
        channel = self._client.get_partial_messageable(channel_id, guild_id=guild_id)
        try:
            await channel.send("\n".join(lines), allowed_mentions=MENTION_NOBODY, suppress_embeds=True)
        except (discord.DiscordException, *CONNECTION_ERRORS) as error:
            structlog.get_logger(__name__).warning(
                "notice_not_posted", guild_id=guild_id, channel_id=channel_id, failed=repr(error)
            )
