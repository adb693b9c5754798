"""The moderator log by page. A page begins before or after an entry, so that it stays where it is as new ones come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import discord

from bot.log_wording import deed_words
from bot.message_routes import MENTION_NOBODY
from bot.moderators import server_of_moderator
from bot.views.button import LimnerButton, template, view_of
from bot.wording import MESSAGE_LENGTH, Moment, fitting

if TYPE_CHECKING:
    from bot.client import Interaction, Services
    from storage.moderator_log import LogEntry

OLDER, NEWER = "log_older", "log_newer"
PAGE = 10  # entries, or as many as fit into a message
TITLE_LENGTH = 200  # characters that are kept for the title


class LogButton(LimnerButton, template=template(f"{OLDER}|{NEWER}")):
    """To the entries before or after one: `limner:log_older:<entry id>`. For moderators, and of their server alone."""

    async def press(self, interaction: Interaction) -> None:
        guild_id, services = server_of_moderator(interaction), interaction.client.services
        await interaction.response.defer()
        before, after = (self.row_id, None) if self.action == OLDER else (None, self.row_id)
        content, view = await log_page(services, guild_id, interaction.locale.value, before=before, after=after)
        await interaction.edit_original_response(content=content, view=view, allowed_mentions=MENTION_NOBODY)


async def log_page(
    services: Services, guild_id: int, locale: str, *, before: int | None = None, after: int | None = None
) -> tuple[str, discord.ui.View]:
    """What stands before or after an entry, or else the latest, and the buttons to what is beside it."""
    log, say = services.storage.moderator_log, services.messages.say
    entries: Sequence[LogEntry] = ()
    if after is not None:
        entries = await log.newer(guild_id, after, PAGE)
    elif before is not None:
        entries = await log.older(guild_id, before, PAGE)
    entries = entries or await log.latest(guild_id, PAGE)
    if not entries:
        return say("log.empty", locale), view_of()
    # After an entry, those next to it are what must not be left out.
    in_order = entries if after is None else entries[::-1]
    lines = fitting((_line(services, entry, locale) for entry in in_order), MESSAGE_LENGTH - TITLE_LENGTH)
    shown = in_order[: len(lines)]
    if after is not None:
        lines, shown = lines[::-1], shown[::-1]
    buttons = []
    if await log.newer(guild_id, shown[0].id, 1):
        buttons.append(LogButton(NEWER, shown[0].id, label=say("log.newer", locale), emoji="◀️"))
    if await log.older(guild_id, shown[-1].id, 1):
        buttons.append(LogButton(OLDER, shown[-1].id, label=say("log.older", locale), emoji="▶️"))
    title = say("log.title", locale, count=await log.count(guild_id))
    return "\n".join([title, *lines]), view_of(*buttons)


def _line(services: Services, entry: LogEntry, locale: str) -> str:
    what = deed_words(services.messages, entry, locale)
    return services.messages.say("log.line", locale, when=Moment(entry.created_at), what=what)
