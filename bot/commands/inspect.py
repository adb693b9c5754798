"""/inspect and the message menu Recipe: how a picture was drawn, or that it was not drawn here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord

from bot.answering import answer_later, customer_of, rejections_told
from bot.client import LimnerClient, Services
from bot.commands.texts import Command, Menu, Texts
from bot.uploads import images_in, picture_of
from bot.views.recipe import tell_of

if TYPE_CHECKING:
    from bot.client import Interaction
    from bot.inspecting import Finding


def inspect_command(services: Services, texts: Texts) -> Command:
    """The recipe of an uploaded picture."""

    async def inspect(interaction: discord.Interaction[LimnerClient], image: discord.Attachment) -> None:
        await answer_later(interaction)
        async with rejections_told(interaction):
            await tell_of(interaction, await services.inspector.attachment(customer_of(interaction), image))

    return texts.command("inspect", inspect)


def recipe_menu(services: Services, texts: Texts) -> Menu:
    """The recipe of the picture in a message."""

    async def recipe(interaction: discord.Interaction[LimnerClient], message: discord.Message) -> None:
        await answer_later(interaction)
        async with rejections_told(interaction):
            await tell_of(interaction, await _of_message(services, interaction, message))

    return texts.menu("recipe", recipe)


async def _of_message(services: Services, interaction: Interaction, message: discord.Message) -> Finding:
    """Ours are known by their buttons; of a grid, the first picture is told of."""
    customer = customer_of(interaction)
    if images := images_in(message, interaction):
        return await services.inspector.image(customer, images[0], exact=len(images) == 1)
    return await services.inspector.attachment(customer, picture_of(message))
