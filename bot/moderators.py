"""Who speaks for a server: asked anew at every command, whatever Discord showed to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord

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
    guild_id = server_of_moderator(interaction)
    await answer_later(interaction)
    return guild_id


def server_of_moderator(interaction: Interaction) -> int:
    """The server that a moderator speaks for. Raises `ServersOnly` or `ModeratorsOnly`."""
    if interaction.guild_id is None:
        raise ServersOnly
    if not customer_of(interaction).moderator:
        raise ModeratorsOnly
    return interaction.guild_id


def is_moderator(user: discord.User | discord.Member) -> bool:
    """Whether somebody named in a command is one, as far as Discord told: it sends permissions of members alone."""
    if isinstance(user, discord.User):
        return False
    granted = user.resolved_permissions or user.guild_permissions
    return granted.moderate_members or granted.administrator
