"""The message menus Vary and Upscale, on any message with a picture, and Remove, on ours."""

from __future__ import annotations

from collections.abc import Sequence

import discord
from discord import app_commands

from bot.answering import bring, customer_of, order, rejections_told, tell
from bot.client import Interaction, LimnerClient, Services
from bot.commands.texts import Menu, Texts
from bot.uploads import images_in, picture_of
from bot.views.button import view_of
from bot.views.delete import ask_to_remove
from bot.views.picture import DeriveButton
from generation.job import JobKind


def vary_menu(services: Services, texts: Texts) -> Menu:
    """Variations of the picture in a message."""

    async def vary(interaction: discord.Interaction[LimnerClient], message: discord.Message) -> None:
        async with rejections_told(interaction):
            customer, images = customer_of(interaction), images_in(message, interaction)
            if len(images) > 1:
                await _ask_which(interaction, images, JobKind.VARIATIONS)
            elif images:
                await order(interaction, services.orders.variations(customer, images[0], JobKind.VARIATIONS))
            else:
                brought = await bring(interaction, services.uploads.attachment(customer, picture_of(message)))
                await order(interaction, services.upload_orders.vary(customer, brought))

    return texts.menu("vary", vary)


def upscale_menu(services: Services, texts: Texts) -> Menu:
    """The picture in a message at twice its size."""

    async def upscale(interaction: discord.Interaction[LimnerClient], message: discord.Message) -> None:
        async with rejections_told(interaction):
            customer, images, kind = customer_of(interaction), images_in(message, interaction), JobKind.UPSCALE_SUBTLE
            if len(images) > 1:
                await _ask_which(interaction, images, kind)
            elif images:
                await order(interaction, services.orders.upscale(customer, images[0], kind))
            else:
                brought = await bring(interaction, services.uploads.attachment(customer, picture_of(message)))
                await order(interaction, services.upload_orders.upscale(customer, brought, kind))

    return texts.menu("upscale", upscale)


def remove_menu(services: Services, texts: Texts) -> Menu:
    """A message of ours and the pictures in it, taken away. Moderators alone see it and may."""

    @app_commands.guild_only()
    @app_commands.default_permissions(moderate_members=True)
    async def remove(interaction: discord.Interaction[LimnerClient], message: discord.Message) -> None:
        async with rejections_told(interaction):
            await ask_to_remove(interaction, message)

    return texts.menu("remove", remove)


async def _ask_which(interaction: Interaction, images: Sequence[int], kind: JobKind) -> None:
    """A grid: one button for each of its pictures, which only the person sees."""
    say, locale = interaction.client.services.messages.say, interaction.locale.value
    buttons = [DeriveButton(kind, image_id, label=str(number)) for number, image_id in enumerate(images, 1)]
    await tell(interaction, say("notices.which", locale), view=view_of(*buttons))
