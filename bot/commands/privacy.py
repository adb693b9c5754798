"""/privacy: what is kept about a person, as a file, and its deletion."""

from __future__ import annotations

import io

import discord
from discord import app_commands

from bot.answering import answer_later, rejections_told, tell
from bot.client import LimnerClient, Services
from bot.commands.texts import Texts
from bot.message_routes import MENTION_NOBODY
from bot.pictures import ENVELOPE_BYTES
from bot.views.delete_data import delete_data_view


def privacy_group(services: Services, texts: Texts) -> app_commands.Group:
    """The whole group. It is about the person who asks, and nobody else, in all servers at once."""
    group = app_commands.Group(name="privacy", description=texts.text("commands.privacy"))
    say = services.messages.say

    async def show(interaction: discord.Interaction[LimnerClient]) -> None:
        async with rejections_told(interaction):
            await answer_later(interaction)
            limit = interaction.filesize_limit - ENVELOPE_BYTES
            told = await services.personal_data.told(interaction.user.id, limit=limit)
            await interaction.followup.send(
                say("privacy.shown", interaction.locale.value),
                file=discord.File(io.BytesIO(told.data), told.name),
                ephemeral=True,
                allowed_mentions=MENTION_NOBODY,
            )

    async def delete(interaction: discord.Interaction[LimnerClient]) -> None:
        async with rejections_told(interaction):
            await answer_later(interaction)
            locale = interaction.locale.value
            await tell(interaction, say("privacy.asked", locale), view=delete_data_view(services.messages, locale))

    group.add_command(texts.command("privacy_show", show))
    group.add_command(texts.command("privacy_delete", delete))
    return group
