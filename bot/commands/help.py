"""/help: what can be typed, with example pictures."""

from __future__ import annotations

import discord

from bot.client import LimnerClient, Services
from bot.commands.texts import Command, Texts
from bot.views.pages import show


def help_command(services: Services, texts: Texts) -> Command:
    """What can be typed, with example pictures."""

    async def help(interaction: discord.Interaction[LimnerClient]) -> None:
        await show(interaction, "help")

    return texts.command("help", help)
