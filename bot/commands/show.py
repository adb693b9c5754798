"""/show: a job once more, with its buttons, also when its message is long gone."""

from __future__ import annotations

import discord
from discord import app_commands

from bot.answering import rejections_told
from bot.client import LimnerClient, Services
from bot.commands.texts import Command, Texts
from bot.posting import show_job

MAX_ID = 2**53 - 1  # the largest number that Discord takes as an option


def show_command(services: Services, texts: Texts) -> Command:
    """A job by its number, which /queue, /inspect and 📋 tell."""

    async def show(interaction: discord.Interaction[LimnerClient], id: app_commands.Range[int, 1, MAX_ID]) -> None:
        async with rejections_told(interaction):
            await show_job(interaction, id)

    return texts.command("show", show)
