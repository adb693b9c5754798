"""The buttons under a grid: U1 to U4 take one picture out, 🔄 draws the same again, V1 to V4 vary one; 📋 🗑."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import discord

from bot.posting import post_picture
from bot.views.again import again_button
from bot.views.button import LimnerButton, template, view_of
from bot.views.delete import delete_job_button
from bot.views.picture import DeriveButton
from bot.views.recipe import recipe_button
from generation.job import JobKind

if TYPE_CHECKING:
    from bot.client import Interaction
    from storage.images import Image


class PickButton(LimnerButton, template=template("pick")):
    """U of one picture: `limner:pick:<image id>`. Posts exactly those pixels as a message of their own; free."""

    async def press(self, interaction: Interaction) -> None:
        await post_picture(interaction, self.row_id)


def grid_view(images: Sequence[Image], job_id: int) -> discord.ui.View:
    """`images` in grid order: those that are left of the job, by the numbers that they had from the beginning."""
    numbered = [(image.index + 1, image.id) for image in images]
    picks = [PickButton("pick", image_id, label=f"U{number}", row=0) for number, image_id in numbered]
    varies = [DeriveButton(JobKind.VARIATIONS, image_id, label=f"V{number}", row=1) for number, image_id in numbered]
    own = (recipe_button(images[0].id, row=2), delete_job_button(job_id, row=2))
    return view_of(*picks, again_button(job_id, row=0), *varies, *own)
