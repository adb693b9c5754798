"""/loras: the LoRAs that people can name."""

from __future__ import annotations

import discord

from bot.client import LimnerClient, Services
from bot.commands.texts import Command, Texts
from bot.views.pages import show


def loras_command(services: Services, texts: Texts) -> Command:
    """The LoRAs that people can name."""

    async def loras(interaction: discord.Interaction[LimnerClient]) -> None:
        await show(interaction, "loras")

    return texts.command("loras", loras)
