"""The buttons under one picture: upscale or vary it, subtly or not, all edits, and ❤️ 📋 🗑."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord

from bot.answering import customer_of, order
from bot.views.again import again_button
from bot.views.button import LimnerButton, template, view_of
from bot.views.delete import delete_button
from bot.views.favourite import favourite_button
from bot.views.recipe import recipe_button
from bot.views.reframe import reframe_buttons
from bot.views.region import RegionButton
from bot.views.remix import asks_first
from generation.job import JobKind

if TYPE_CHECKING:
    from bot.client import Interaction
    from bot.messages import Messages
    from storage.images import Image

UPSCALES = (JobKind.UPSCALE_SUBTLE, JobKind.UPSCALE_CREATIVE)
VARIATIONS = (JobKind.VARY_SUBTLE, JobKind.VARY_STRONG, JobKind.VARIATIONS)


class DeriveButton(LimnerButton, template=template("|".join((*UPSCALES, *VARIATIONS)))):
    """Orders something made from one picture: `limner:<kind of job>:<image id>`."""

    async def press(self, interaction: Interaction) -> None:
        services, customer, kind = interaction.client.services, customer_of(interaction), JobKind(self.action)
        if kind in UPSCALES:
            await order(interaction, services.orders.upscale(customer, self.row_id, kind))
            return
        _, parent = await services.orders.find_image(customer, self.row_id)
        if not await asks_first(interaction, kind, self.row_id, services.editing.to_edit(parent)):
            await order(interaction, services.orders.variations(customer, self.row_id, kind))


def picture_view(messages: Messages, image: Image, locale: str | None, *, job_id: int | None = None) -> discord.ui.View:
    """For one picture, laid out as Midjourney's; with 🔄 where it is all that its job made."""
    say = messages.say
    buttons: list[LimnerButton] = [
        DeriveButton(kind, image.id, label=say(f"buttons.{kind}", locale), row=row)
        for row, kinds in enumerate((UPSCALES, (JobKind.VARY_SUBTLE, JobKind.VARY_STRONG)))
        for kind in kinds
    ]
    buttons.append(RegionButton("vary_region", image.id, label=say("buttons.vary_region", locale), row=1))
    if job_id is not None:
        buttons.append(again_button(job_id, row=1))
    square = image.width == image.height
    buttons += reframe_buttons(messages, image.id, locale, square=square)
    own = (favourite_button, recipe_button, delete_button)
    return view_of(*buttons, *(button(image.id, row=4) for button in own))
