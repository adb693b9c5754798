"""/imagine: words in, pictures out."""

from __future__ import annotations

import discord
from discord import app_commands

from bot.answering import bring, customer_of, order, rejections_told
from bot.client import LimnerClient, Services
from bot.commands.autocompletion import aspects, loras, models, styles
from bot.commands.texts import Command, Texts
from bot.flag_table import MAX_COUNT
from bot.picture_links import TwoPictures, take_link
from bot.series import series_of
from bot.views.confirm import ask_first


def imagine_command(services: Services, texts: Texts) -> Command:
    """The command. Its options and the flags in its prompt fill the same fields."""

    async def imagine(
        interaction: discord.Interaction[LimnerClient],
        prompt: str,
        aspect: str | None = None,
        seed: int | None = None,
        style: str | None = None,
        negative: str | None = None,
        lora: str | None = None,
        count: app_commands.Range[int, 1, MAX_COUNT] | None = None,
        model: str | None = None,
        image: discord.Attachment | None = None,
    ) -> None:
        options = {
            "aspect": aspect, "seed": seed, "style": style, "negative": negative, "lora": lora, "count": count,
            "model": model,
        }  # fmt: skip
        async with rejections_told(interaction):
            text, link = take_link(prompt, services.uploads.hosts)
            if image is not None and link is not None:
                raise TwoPictures
            starts_from = link if image is None else image
            requests = series_of(services.orders.parser, text, options, wordless=starts_from is not None)
            customer, picture, image_id = customer_of(interaction), None, None
            if starts_from is not None:
                brought = await bring(interaction, services.uploads.bring(interaction, customer, starts_from))
                picture, image_id = brought.picture, brought.image_id
            if len(requests) > 1:
                await ask_first(interaction, requests, picture, parent_image_id=image_id)
                return
            placing = services.orders.imagine(customer, requests[0], picture, parent_image_id=image_id)
            await order(interaction, placing)

    command = texts.command("imagine", imagine)
    command.autocomplete("aspect")(aspects())
    command.autocomplete("style")(styles(services))
    command.autocomplete("lora")(loras(services))
    command.autocomplete("model")(models(services))
    return command
