"""What moderators are told that Limner did by itself: refused words, blocked pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from generation.errors import LimnerError
from storage.storage import Storage


class ModeratorNotices:
    """Writes what happened into the server's moderator log, in Limner's own name."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def tell(self, guild_id: int | None, action: str, *, about: int | None, details: Mapping[str, Any]) -> None:
        """Note an `action` (a key of `moderator_log` in the catalogue) about a person. Never raises.

        Direct messages have no moderators.
        """
        if guild_id is None:
            return
        try:
            await self._storage.moderator_log.note(guild_id, action, target_id=about, details=details)
        except LimnerError as error:
            structlog.get_logger(__name__).error("notice_lost", guild_id=guild_id, action=action, error=str(error))
