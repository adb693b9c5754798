"""/moderate channel and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import discord
from discord import app_commands

from bot.answering import rejections_told, tell
from bot.client import LimnerClient, Services
from bot.commands.texts import Texts
from bot.moderators import admit_moderator
from bot.rules.limits import MEGAPIXEL
from bot.wording import MESSAGE_LENGTH, fitting
from generation.errors import RequestRejected

if TYPE_CHECKING:
    from storage.guild_rules import GuildRules

# At most; 0 takes a limit away.
MOST_JOBS, MOST_STEPS, MOST_MEGAPIXELS, MOST_DAYS = 1000, 240, 100, 3650
LISTED_LENGTH = MESSAGE_LENGTH - 200  # of all channels together, whose title stands before them
AnyChannel: TypeAlias = app_commands.AppCommandChannel | app_commands.AppCommandThread


class ChannelElsewhere(RequestRejected):
    """The channel is not one of this server, or one that the bot cannot see."""

    key = "channel_elsewhere"


class LimitBelowDefault(RequestRejected):
    """With that limit the default model could not draw what people ask for without flags. Fields: `least`."""

    key = "limit_below_default"


def add_rule_commands(group: app_commands.Group, services: Services, texts: Texts) -> None:
    """Both show what holds when they are called without options."""
    say, book = services.messages.say, services.storage.rulebook

    async def channel(
        interaction: discord.Interaction[LimnerClient],
        allow: AnyChannel | None = None,
        remove: AnyChannel | None = None,
        clear: bool = False,
    ) -> None:
        async with rejections_told(interaction):
            guild_id, locale = await admit_moderator(interaction), interaction.locale.value
            rules = await book.change_channels(
                guild_id,
                allow=[] if allow is None else [seen(allow).id],
                remove=[] if remove is None else [remove.id],
                clear=clear,
                by=interaction.user.id,
            )
            await tell(interaction, _channels(services, rules, locale))

    async def limits(
        interaction: discord.Interaction[LimnerClient],
        jobs: app_commands.Range[int, 0, MOST_JOBS] | None = None,
        steps: app_commands.Range[int, 0, MOST_STEPS] | None = None,
        megapixels: app_commands.Range[float, 0, MOST_MEGAPIXELS] | None = None,
        age: app_commands.Range[int, 0, MOST_DAYS] | None = None,
    ) -> None:
        async with rejections_told(interaction):
            guild_id, locale = await admit_moderator(interaction), interaction.locale.value
            model = services.catalogue.model()
            _refuse_below(steps, model.num_inference_steps)
            _refuse_below(megapixels, model.native_size**2 / MEGAPIXEL)
            named = {"max_queued_jobs": jobs, "steps": steps, "megapixels": megapixels, "account_age_days": age}
            changes = {name: value or None for name, value in named.items() if value is not None}
            rules = await book.limit(guild_id, changes, by=interaction.user.id)
            lines = [
                say("moderate.limits", locale),
                say("moderate.limit_jobs", locale, count=await services.orders.most_jobs(guild_id)),
                *_limit(services, "steps", rules.steps, locale),
                *_limit(services, "megapixels", rules.megapixels, locale),
                *_limit(services, "age", rules.account_age_days, locale),
            ]
            await tell(interaction, "\n".join(lines))

    group.add_command(texts.command("moderate_channel", channel))
    group.add_command(texts.command("moderate_limits", limits))


def seen(channel: AnyChannel) -> discord.abc.GuildChannel | discord.Thread:
    """The channel, if it is of the server in which the command was typed. Raises `ChannelElsewhere`.

    Discord offers no others, but what it sends with a command is not proof: a forged one could name any.
    """
    found = channel.resolve()
    if found is None:
        raise ChannelElsewhere
    return found


def _refuse_below(limit: float | None, least: float) -> None:
    if limit and limit < least:
        raise LimitBelowDefault(least=f"{least:.4g}")


def _channels(services: Services, rules: GuildRules, locale: str) -> str:
    say = services.messages.say
    if not rules.channels:
        return say("moderate.channels_all", locale)
    lines = fitting((f"<#{channel_id}>" for channel_id in rules.channels), LISTED_LENGTH)
    more = ["…"] if len(lines) < len(rules.channels) else []
    return "\n".join([say("moderate.channels", locale), *lines, *more])


def _limit(services: Services, name: str, limit: float | None, locale: str) -> list[str]:
    key = f"moderate.limit_{name}"
    return [services.messages.say(f"{key}_none" if limit is None else key, locale, count=limit and f"{limit:g}")]
