"""/moderate ban and unban."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord
from discord import app_commands

from bot.answering import rejections_told, tell
from bot.client import LimnerClient, Services
from bot.commands.texts import Texts
from bot.messages import QUOTED_LENGTH
from bot.moderators import admit_moderator, is_moderator
from bot.time_span import parse_time_span
from bot.wording import MESSAGE_LENGTH, Moment, code, fitting
from generation.errors import RequestRejected
from generation.job import UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.bans import Ban

LISTED_LENGTH = MESSAGE_LENGTH - 200  # of all bans together; the rest is for the title and how many more there are


class ModeratorNotBanned(RequestRejected):
    """A moderator cannot be banned by another, who would only lift the ban."""

    key = "moderator_not_banned"


class NoBan(RequestRejected):
    """The person is not banned in this server."""

    key = "no_ban"


def add_ban_commands(group: app_commands.Group, services: Services, texts: Texts) -> None:
    """`ban` calls off what the banned are waiting for; `unban` without a name lists who is banned."""
    say, bans = services.messages.say, services.storage.bans

    async def ban(
        interaction: discord.Interaction[LimnerClient],
        user: discord.User,
        reason: app_commands.Range[str, 1, QUOTED_LENGTH],
        duration: str | None = None,
    ) -> None:
        async with rejections_told(interaction):
            guild_id, locale = await admit_moderator(interaction), interaction.locale.value
            if is_moderator(user):
                raise ModeratorNotBanned
            lasting = None if duration is None else parse_time_span(duration)
            why = " ".join(reason.split())
            banned = await bans.ban(user.id, guild_id, reason=why, lasting=lasting, by=interaction.user.id)
            jobs = await services.storage.jobs.of_user(user.id, guild_id=guild_id, statuses=UNFINISHED)
            called_off = [await services.dispatcher.cancel(job.id, by=interaction.user.id) for job in jobs]
            sentences = [say(_key("moderate.banned", banned), locale, **_fields(banned))]
            if any(called_off):
                sentences.append(say("moderate.called_off", locale, count=sum(called_off)))
            await tell(interaction, " ".join(sentences))

    async def unban(interaction: discord.Interaction[LimnerClient], user: discord.User | None = None) -> None:
        async with rejections_told(interaction):
            guild_id, locale = await admit_moderator(interaction), interaction.locale.value
            if user is None:
                await tell(interaction, _listed(services, await bans.in_server(guild_id), locale))
                return
            if not await bans.unban(user.id, guild_id, by=interaction.user.id):
                raise NoBan
            await tell(interaction, say("moderate.unbanned", locale, user=user.mention))

    group.add_command(texts.command("moderate_ban", ban))
    group.add_command(texts.command("moderate_unban", unban))


def _listed(services: Services, bans: Sequence[Ban], locale: str) -> str:
    say = services.messages.say
    if not bans:
        return say("moderate.nobody_banned", locale)
    lines = fitting((say(_key("moderate.ban", ban), locale, **_fields(ban)) for ban in bans), LISTED_LENGTH)
    left_out = len(bans) - len(lines)
    more = [say("moderate.more_bans", locale, count=left_out)] if left_out else []
    return "\n".join([say("moderate.bans", locale, count=len(bans)), *lines, *more])


def _key(key: str, ban: Ban) -> str:
    return f"{key}_for_good" if ban.until is None else key


def _fields(ban: Ban) -> dict[str, object]:
    until = {} if ban.until is None else {"until": Moment(ban.until)}
    return {"user": f"<@{ban.user_id}>", "by": f"<@{ban.moderator_id}>", "reason": code(ban.reason), **until}
