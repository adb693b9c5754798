"""Vary (Region): choose cells of a picture, a mask or words for what is meant, then edit the prompt.

Every step knows the picture and what was chosen from its own custom_id, so that none is lost by a restart.
"""

from __future__ import annotations

import asyncio
import io
import re
from typing import TYPE_CHECKING, Any, Self

import discord

from bot.answering import answer_later, bring, customer_of, order
from bot.cells import CellGrid, cells_of, overlay
from bot.compose import StartingPicture
from bot.orders import ImageGone
from bot.views.button import LimnerButton, LimnerItem, template
from bot.views.dialog import LimnerDialog, text_field

if TYPE_CHECKING:
    from bot.client import Interaction
    from bot.views.dialog import Answers
    from generation.recipe import Mask


# What a menu of cells may say; any other number would only take memory.
_CELL = re.compile(r"[1-9]|1[0-9]|2[0-5]", re.ASCII)


class RegionButton(LimnerButton, template=template("vary_region")):
    """Shows the cells of one picture to the presser alone: `limner:vary_region:<image id>`."""

    async def press(self, interaction: Interaction) -> None:
        services, locale = interaction.client.services, interaction.locale.value
        await answer_later(interaction)
        image, job = await services.orders.find_image(customer_of(interaction), self.row_id)
        png = await services.storage.images.png(image)
        if png is None:
            raise ImageGone
        say, grid = services.messages.say, cells_of(image.width, image.height)
        shown = await asyncio.to_thread(overlay, png, grid)
        view = discord.ui.View(timeout=None)
        view.add_item(CellsMenu(image.id, grid, placeholder=say("region.cells", locale)))
        view.add_item(RegionFormButton("region_words", image.id, label=say("buttons.region_words", locale), row=1))
        view.add_item(RegionFormButton("region_mask", image.id, label=say("buttons.region_mask", locale), row=1))
        file = discord.File(io.BytesIO(shown), "cells.webp", spoiler=job.spoiler)
        await interaction.followup.send(say("region.choose", locale), file=file, view=view, ephemeral=True)


class CellsMenu(LimnerItem[discord.ui.Select[discord.ui.View]], template=template("cells")):
    """The cells to be painted anew: `limner:cells:<image id>`. Choosing some asks for the prompt."""

    component_type = discord.ComponentType.select

    def __init__(self, image_id: int, grid: CellGrid | None = None, *, placeholder: str | None = None) -> None:
        count = 1 if grid is None else grid.count
        menu: discord.ui.Select[discord.ui.View] = discord.ui.Select(
            custom_id=f"limner:cells:{image_id}",
            placeholder=placeholder,
            max_values=count,
            options=[discord.SelectOption(label=str(number)) for number in range(1, count + 1)],
            row=0,
        )
        super().__init__(menu)
        self.row_id = image_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: Any, /
    ) -> Self:
        return cls(int(match["id"]))

    async def press(self, interaction: Interaction) -> None:
        numbers = {int(value) for value in self.item.values if _CELL.fullmatch(value)}
        chosen = sum(1 << number for number in numbers)
        await _ask(interaction, "cells", self.row_id, f":{chosen:x}")


class RegionFormButton(LimnerButton, template=template("region_words|region_mask")):
    """The other ways to say which part is meant, in the same form as the prompt: `limner:region_<way>:<image id>`."""

    async def press(self, interaction: Interaction) -> None:
        if self.action == "region_words":
            interaction.client.services.masks.check_words()
        await _ask(interaction, self.action.removeprefix("region_"), self.row_id)


class RegionDialog(
    LimnerDialog, template=template("region_(?P<way>cells|words|mask)", ending=r"(?::(?P<cells>[0-9a-f]{1,7}))?")
):
    """The prompt, and the words or the mask: `limner:region_<way>:<image id>`, with `:<bits in hex>` for cells."""

    @classmethod
    async def answer(cls, interaction: Interaction, match: Any, answers: Answers) -> None:
        request = interaction.client.services.editing.read(answers.texts["prompt"])
        mask = await bring(interaction, _mask(interaction, match, answers))
        repaint = interaction.client.services.editing.repaint
        await order(interaction, repaint(customer_of(interaction), int(match["id"]), mask, request))


async def _mask(interaction: Interaction, match: Any, answers: Answers) -> Mask:
    """Which part is meant."""
    services, customer = interaction.client.services, customer_of(interaction)
    masks, image_id = services.masks, int(match["id"])
    image, _ = await services.orders.find_image(customer, image_id)
    match match["way"]:
        case "cells":
            bits = int(match["cells"] or "0", 16)
            grid = cells_of(image.width, image.height)
            return await masks.by_cells(grid, [number for number in range(bits.bit_length()) if bits >> number & 1])
        case "words":
            return masks.by_words(answers.texts["words"])
        case _:
            picture = StartingPicture(digest=image.digest, width=image.width, height=image.height)
            uploaded = await services.uploads.mask(customer, answers.links.get("mask", ""))
            return await masks.by_upload(uploaded, picture)


async def _ask(interaction: Interaction, way: str, image_id: int, ending: str = "") -> None:
    services, locale = interaction.client.services, interaction.locale.value
    say = services.messages.say
    _, parent = await services.orders.find_image(customer_of(interaction), image_id)
    dialog = RegionDialog(f"limner:region_{way}:{image_id}{ending}", say("forms.vary_region", locale))
    if way == "words":
        dialog.add_field(say("forms.words", locale), text_field("words", long=False))
    elif way == "mask":
        file: discord.ui.FileUpload[Any] = discord.ui.FileUpload(custom_id="mask")
        dialog.add_field(say("forms.mask", locale), file, description=say("forms.mask_help", locale))
    dialog.add_field(say("forms.prompt", locale), text_field("prompt", default=services.editing.to_edit(parent)))
    await dialog.show(interaction)
