"""A pause: while moderators have drawing stopped in their server, nothing is ordered there either."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generation.errors import RequestRejected

if TYPE_CHECKING:
    from storage.guild_rules import GuildRules


class ServerPaused(RequestRejected):
    """Moderators of this server paused drawing."""

    key = "server_paused"


def check_pause(rules: GuildRules) -> None:
    """Raises `ServerPaused`."""
    if rules.paused:
        raise ServerPaused
