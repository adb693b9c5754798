"""/edit and /outpaint: a part of an attached picture painted anew, or more painted around it."""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import discord
from discord import app_commands

from bot.answering import bring, customer_of, order, rejections_told
from bot.client import Interaction, LimnerClient, Services
from bot.commands.autocompletion import Choices, choices
from bot.commands.texts import Command, Texts
from bot.masks import PartAmbiguous, PartMissing
from bot.regions import NAMED, PERCENT, read_region
from bot.uploads import Brought
from generation.framing import Side, extended
from generation.recipe import Mask

ALL_SIDES = "all"
LEAST_GROWTH, LARGEST_GROWTH, USUAL_GROWTH = 10, 100, 50  # percent of the picture's side


def edit_command(services: Services, texts: Texts) -> Command:
    """A part of an attached picture, said in one of three ways, painted anew."""

    async def edit(
        interaction: discord.Interaction[LimnerClient],
        image: discord.Attachment,
        prompt: str,
        mask: discord.Attachment | None = None,
        region: str | None = None,
        words: str | None = None,
    ) -> None:
        async with rejections_told(interaction):
            request, customer = services.editing.read(prompt), customer_of(interaction)
            part = [given for given in (mask, region, words) if given is not None]
            if len(part) != 1:
                raise PartAmbiguous if part else PartMissing
            # What can be refused without looking at the picture comes first.
            box = None if region is None else read_region(region)
            found = None if words is None else services.masks.by_words(words)

            async def meant() -> tuple[Brought, Mask]:
                brought = await services.uploads.attachment(customer, image)
                if box is not None:
                    return brought, await services.masks.by_region(box, brought.picture)
                if mask is not None:
                    uploaded = await services.uploads.mask(customer, mask)
                    return brought, await services.masks.by_upload(uploaded, brought.picture)
                assert found is not None
                return brought, found

            brought, covering = await bring(interaction, meant())
            await order(interaction, services.editing.repaint_brought(customer, brought, covering, request))

    async def regions(interaction: Interaction, typed: str) -> Choices:
        say, locale = services.messages.say, interaction.locale.value
        return choices({name: say(f"regions.{name.replace(' ', '_')}", locale) for name in NAMED}, typed)

    command = texts.command("edit", edit)
    command.autocomplete("region")(regions)
    return command


def outpaint_command(services: Services, texts: Texts) -> Command:
    """More around an attached picture, on one side or on all."""

    async def outpaint(
        interaction: discord.Interaction[LimnerClient],
        image: discord.Attachment,
        prompt: str,
        side: str = ALL_SIDES,
        percent: app_commands.Range[int, LEAST_GROWTH, LARGEST_GROWTH] = USUAL_GROWTH,
    ) -> None:
        async with rejections_told(interaction):
            request, customer = services.editing.read(prompt), customer_of(interaction)
            sides = tuple(Side) if side == ALL_SIDES else (Side(side),)
            around = partial(extended, growth=dict.fromkeys(sides, Fraction(percent, PERCENT)))
            brought = await bring(interaction, services.uploads.attachment(customer, image))
            await order(interaction, services.editing.reframe_brought(customer, brought, around, request))

    command = texts.command("outpaint", outpaint)
    named = [app_commands.Choice(name=texts.text(f"sides.{side}"), value=side) for side in (ALL_SIDES, *Side)]
    app_commands.choices(side=named)(command)
    return command
