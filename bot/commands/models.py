"""/models: the models that people can name."""

from __future__ import annotations

import discord

from bot.client import LimnerClient, Services
from bot.commands.texts import Command, Texts
from bot.views.pages import show


def models_command(services: Services, texts: Texts) -> Command:
    """The models that people can name."""

    async def models(interaction: discord.Interaction[LimnerClient]) -> None:
        await show(interaction, "models")

    return texts.command("models", models)
