"""/imagine: words in, pictures out."""

from __future__ import annotations

from collections.abc import Mapping

import discord
from discord import app_commands

from bot.answering import bring, customer_of, order, rejections_told
from bot.client import Interaction, LimnerClient, Services
from bot.commands.texts import Command, Texts
from bot.flag_table import MAX_COUNT
from bot.flag_values import RAW
from bot.picture_links import TwoPictures, take_link
from bot.series import series_of
from bot.views.confirm import ask_first

MAX_CHOICES = 25  # that Discord shows of an autocompletion
MAX_CHOICE_NAME = 100  # characters
USUAL_ASPECTS = ("1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16", "21:9", "9:21", "2:1", "1:2")
Choices = list[app_commands.Choice[str]]


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

    async def aspects(_: Interaction, typed: str) -> Choices:
        return choices(dict.fromkeys(USUAL_ASPECTS, ""), typed)

    async def styles(_: Interaction, typed: str) -> Choices:
        names = {name: style.description for name, style in sorted(services.catalogue.styles.items())}
        return choices({**names, RAW: services.messages.say("flags.raw")}, typed)

    async def loras(_: Interaction, typed: str) -> Choices:
        name, colon, weight = typed.partition(":")
        names = {name: spec.title for name, spec in services.catalogue.offered_loras().items()}
        return choices(names, name, ending=colon + weight)

    async def models(_: Interaction, typed: str) -> Choices:
        return choices(dict.fromkeys(sorted(services.catalogue.models), ""), typed)

    command = texts.command("imagine", imagine)
    command.autocomplete("aspect")(aspects)
    command.autocomplete("style")(styles)
    command.autocomplete("lora")(loras)
    command.autocomplete("model")(models)
    return command


def choices(names: Mapping[str, str], typed: str, *, ending: str = "") -> Choices:
    """The names that match what was typed: those that begin with it first, then those that have it inside.

    `names` maps each to its description, which is searched last and shown behind it; `ending` is put after each name.
    """
    wanted = typed.strip().casefold()

    def rank(name: str) -> int | None:
        folded = name.casefold()
        if folded.startswith(wanted):
            return 0
        if wanted in folded:
            return 1
        return 2 if wanted in names[name].casefold() else None

    ranked = sorted((found, position, name) for position, name in enumerate(names) if (found := rank(name)) is not None)
    return [
        app_commands.Choice(name=_shown(name + ending, names[name]), value=(name + ending)[:MAX_CHOICE_NAME])
        for _, _, name in ranked[:MAX_CHOICES]
    ]


def _shown(name: str, description: str) -> str:
    text = f"{name} – {description}" if description and description != name else name
    return text if len(text) <= MAX_CHOICE_NAME else text[: MAX_CHOICE_NAME - 1] + "…"
