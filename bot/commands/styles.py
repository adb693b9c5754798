"""/styles: the looks that people can name."""

from __future__ import annotations

import discord

from bot.client import LimnerClient, Services
from bot.commands.texts import Command, Texts
from bot.views.pages import show


def styles_command(services: Services, texts: Texts) -> Command:
    """The looks that people can name."""

    async def styles(interaction: discord.Interaction[LimnerClient]) -> None:
        await show(interaction, "styles")

    return texts.command("styles", styles)
