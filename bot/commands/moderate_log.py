"""/moderate log: by page, as a file, and where Limner tells moderators what it did by itself."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import discord
from discord import app_commands

from bot.answering import rejections_told, tell
from bot.client import LimnerClient, Services
from bot.commands.moderate_rules import AnyChannel, seen
from bot.commands.texts import Texts
from bot.log_csv import heading, lines_of
from bot.message_routes import MENTION_NOBODY
from bot.moderators import admit_moderator
from bot.views.log_page import log_page
from generation.errors import RequestRejected

if TYPE_CHECKING:
    from storage.moderator_log import ModeratorLog

FILE_NAME = "moderator-log.csv"
READ_AT_ONCE = 500  # entries, so that a long log does not hold the event loop for long


class CannotPostThere(RequestRejected):
    """One cannot write in that channel at all, or the bot may not. Fields: `channel` (its mention)."""

    key = "cannot_post_there"


def add_log_command(group: app_commands.Group, services: Services, texts: Texts) -> None:
    """`log` shows the latest page; with options it makes a file, or names the channel for notices."""
    say, book = services.messages.say, services.storage.rulebook

    async def log(
        interaction: discord.Interaction[LimnerClient],
        csv: bool = False,
        post: AnyChannel | None = None,
        stop: bool = False,
    ) -> None:
        async with rejections_told(interaction):
            guild_id, locale, by = await admit_moderator(interaction), interaction.locale.value, interaction.user.id
            if post is not None:
                channel = seen(post)
                _check_postable(channel)
                await book.post_notices_to(guild_id, channel.id, by=by)
                everybody = channel.permissions_for(channel.guild.default_role).view_channel
                key = "log.posted_in_public" if everybody else "log.posted_in"
                await tell(interaction, say(key, locale, channel=channel.mention))
            elif stop:
                stopped = await book.post_notices_to(guild_id, None, by=by)
                await tell(interaction, say("log.stopped" if stopped else "log.posted_nowhere", locale))
            elif csv:
                await _send_file(interaction, services, guild_id)
            else:
                content, view = await log_page(services, guild_id, locale)
                await tell(interaction, content, view=view)

    group.add_command(texts.command("moderate_log", log))


def _check_postable(channel: discord.abc.GuildChannel | discord.Thread) -> None:
    """Raises `CannotPostThere`."""
    granted = channel.permissions_for(channel.guild.me)
    may_send = granted.send_messages_in_threads if isinstance(channel, discord.Thread) else granted.send_messages
    if not (isinstance(channel, discord.abc.Messageable) and granted.view_channel and may_send):
        raise CannotPostThere(channel=channel.mention)


async def _send_file(interaction: discord.Interaction[LimnerClient], services: Services, guild_id: int) -> None:
    """All entries, the newest first, or as many as Discord takes in one file."""
    log, say, locale = services.storage.moderator_log, services.messages.say, interaction.locale.value
    data, count = await written(log, guild_id, room=interaction.filesize_limit)
    total = await log.count(guild_id)
    whole, cut = say("log.file", locale, count=count), say("log.file_cut", locale, count=count, total=total)
    await interaction.followup.send(
        whole if count == total else cut,
        file=discord.File(io.BytesIO(data), FILE_NAME),
        ephemeral=True,
        allowed_mentions=MENTION_NOBODY,
    )


async def written(log: ModeratorLog, guild_id: int, *, room: int) -> tuple[bytes, int]:
    """The file of that many bytes at most, and how many entries it holds: the newest."""
    pieces, count, before = [heading()], 0, None
    room -= len(pieces[0])
    while entries := await log.older(guild_id, before, READ_AT_ONCE):
        lines = lines_of(entries)
        if len(lines) > room:
            break
        pieces.append(lines)
        count, before, room = count + len(entries), entries[-1].id, room - len(lines)
    return b"".join(pieces), count
