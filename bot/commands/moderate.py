"""/moderate: who may order, where and how much, and what was done about it.

Discord shows the group to members who may time others out, unless a server's owner chose differently. Who is a
moderator to us is asked again at each command, from the permissions that Discord sends with the interaction.
"""

from __future__ import annotations

import discord
from discord import app_commands

from bot.answering import rejections_told, tell
from bot.client import LimnerClient, Services
from bot.commands.moderate_bans import add_ban_commands
from bot.commands.moderate_log import add_log_command
from bot.commands.moderate_rules import add_rule_commands
from bot.commands.moderate_words import add_words_commands
from bot.commands.texts import Texts
from bot.moderators import admit_moderator


def moderate_group(services: Services, texts: Texts) -> app_commands.Group:
    """The whole group. Every change is in the moderator log."""
    group = app_commands.Group(
        name="moderate",
        description=texts.text("commands.moderate"),
        guild_only=True,
        default_permissions=discord.Permissions(moderate_members=True),
    )
    add_ban_commands(group, services, texts)
    add_words_commands(group, services, texts)
    add_rule_commands(group, services, texts)
    add_pause_commands(group, services, texts)
    add_log_command(group, services, texts)
    return group


def add_pause_commands(group: app_commands.Group, services: Services, texts: Texts) -> None:
    """`pause` and `resume`."""
    say, pauses = services.messages.say, services.pauses

    async def pause(interaction: discord.Interaction[LimnerClient]) -> None:
        async with rejections_told(interaction):
            guild_id = await admit_moderator(interaction)
            changed = await pauses.pause(guild_id, by=interaction.user.id)
            await tell(
                interaction, say("moderate.paused" if changed else "moderate.paused_already", _locale(interaction))
            )

    async def resume(interaction: discord.Interaction[LimnerClient]) -> None:
        async with rejections_told(interaction):
            guild_id = await admit_moderator(interaction)
            changed = await pauses.resume(guild_id, by=interaction.user.id)
            await tell(interaction, say("moderate.resumed" if changed else "moderate.not_paused", _locale(interaction)))

    group.add_command(texts.command("moderate_pause", pause))
    group.add_command(texts.command("moderate_resume", resume))


def _locale(interaction: discord.Interaction[LimnerClient]) -> str:
    return interaction.locale.value
