"""Who owns the bot: what Discord says of its application, asked anew every few minutes.

That is the application's owner, or the accepted members of its team who may act for it (its owner, admins and
developers; not those who may only read). No permission in any server makes an owner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord

from bot.answering import answer_later
from bot.message_routes import CONNECTION_ERRORS
from generation.clock import Clock
from generation.errors import RequestRejected

if TYPE_CHECKING:
    from bot.client import Interaction, LimnerClient

# Whoever leaves the team is an owner for so long yet; whoever else tries costs Discord one question in that time.
KNOWN_SECONDS = 300.0
ACTING_ROLES = (discord.TeamMemberRole.admin, discord.TeamMemberRole.developer)


class OwnersOnly(RequestRejected):
    """The person does not own this bot."""

    key = "owners_only"


class OwnersUnknown(RequestRejected):
    """Discord does not say now who owns this bot."""

    key = "owners_unknown"


class Owners:
    """Lets nobody else pass."""

    def __init__(self, client: LimnerClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._known: tuple[float, frozenset[int]] | None = None

    async def admit(self, interaction: Interaction) -> None:
        """The answer is under way, for this person's eyes only. Raises `OwnersOnly` or `OwnersUnknown`."""
        await answer_later(interaction)
        now = self._clock.monotonic()
        if self._known is None or now - self._known[0] > KNOWN_SECONDS:
            try:
                self._known = (now, owners_of(await self._client.application_info()))
            except (discord.HTTPException, *CONNECTION_ERRORS) as error:
                raise OwnersUnknown from error
        if interaction.user.id not in self._known[1]:
            raise OwnersOnly


def owners_of(application: discord.AppInfo) -> frozenset[int]:
    """The ids of those who may act for the application."""
    team = application.team
    if team is None:
        return frozenset({application.owner.id})
    acting = {
        member.id
        for member in team.members
        if member.membership_state is discord.TeamMembershipState.accepted and member.role in ACTING_ROLES
    }
    return frozenset(acting if team.owner_id is None else {*acting, team.owner_id})
