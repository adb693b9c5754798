"""/vary and /upscale: what is made from a picture that somebody attaches."""

from __future__ import annotations

import discord
from discord import app_commands

from bot.answering import bring, customer_of, order, rejections_told
from bot.client import LimnerClient, Services
from bot.commands.texts import Command, Texts
from generation.job import JobKind

KINDS = {"subtle": JobKind.UPSCALE_SUBTLE, "creative": JobKind.UPSCALE_CREATIVE}


def vary_command(services: Services, texts: Texts) -> Command:
    """Variations of an attached picture."""

    async def vary(
        interaction: discord.Interaction[LimnerClient],
        image: discord.Attachment,
        prompt: str | None = None,
        strength: app_commands.Range[float, 0, 1] | None = None,
    ) -> None:
        async with rejections_told(interaction):
            request = services.upload_orders.read(prompt or "", strength=strength)
            customer = customer_of(interaction)
            brought = await bring(interaction, services.uploads.attachment(customer, image))
            await order(interaction, services.upload_orders.vary(customer, brought, request=request))

    return texts.command("vary", vary)


def upscale_command(services: Services, texts: Texts) -> Command:
    """An attached picture at twice its size."""

    async def upscale(
        interaction: discord.Interaction[LimnerClient], image: discord.Attachment, kind: str = "subtle"
    ) -> None:
        async with rejections_told(interaction):
            customer = customer_of(interaction)
            brought = await bring(interaction, services.uploads.attachment(customer, image))
            await order(interaction, services.upload_orders.upscale(customer, brought, KINDS[kind]))

    command = texts.command("upscale", upscale)
    app_commands.choices(kind=[app_commands.Choice(name=texts.text(f"buttons.{kind}"), value=kind) for kind in KINDS])(
        command
    )
    return command
