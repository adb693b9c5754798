"""Who speaks for a server: asked anew at every command, whatever Discord showed to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.answering import answer_later, customer_of
from generation.errors import RequestRejected

if TYPE_CHECKING:
    from bot.client import Interaction


class ServersOnly(RequestRejected):
    """That is done in a server; this is a direct message."""

    key = "servers_only"


class ModeratorsOnly(RequestRejected):
    """The person is no moderator of this server."""

    key = "moderators_only"


async def admit_moderator(interaction: Interaction) -> int:
    """The server that a moderator speaks for; the answer is under way. Raises `ServersOnly` or `ModeratorsOnly`."""
    if interaction.guild_id is None:
        raise ServersOnly
    if not customer_of(interaction).moderator:
        raise ModeratorsOnly
    await answer_later(interaction)
    return interaction.guild_id
