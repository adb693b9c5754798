"""Bans: who may not order in a server is told why, and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generation.errors import RequestRejected

if TYPE_CHECKING:
    from storage.bans import Ban


class Banned(RequestRejected):
    """Moderators of this server banned the person for a time. Fields: `until`, `reason`."""

    key = "banned"


class BannedForGood(RequestRejected):
    """Moderators of this server banned the person until further notice. Fields: `reason`."""

    key = "banned_for_good"


def check_ban(ban: Ban | None) -> None:
    """Raises `Banned` or `BannedForGood` where there is one in force."""
    if ban is None:
        return
    if ban.until is None:
        raise BannedForGood(reason=ban.reason)
    raise Banned(until=ban.until, reason=ban.reason)
