"""/settings: what a member wants for all their orders."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from bot.answering import answer_later, rejections_told, tell
from bot.client import LimnerClient, Services
from bot.commands.autocompletion import aspects, models, styles
from bot.commands.texts import Command, Texts
from bot.compose import find_name
from bot.flag_values import RAW
from bot.member_defaults import MAX_STYLIZE
from bot.views.settings import panel
from generation.aspect import parse_aspect


def settings_command(services: Services, texts: Texts) -> Command:
    """The panel; the options set what a menu is too short for."""

    async def settings(
        interaction: discord.Interaction[LimnerClient],
        style: str | None = None,
        aspect: str | None = None,
        model: str | None = None,
        stylize: app_commands.Range[int, 0, MAX_STYLIZE] | None = None,
        remix: bool | None = None,
        relax: bool | None = None,
    ) -> None:
        await answer_later(interaction)
        async with rejections_told(interaction):
            changes: dict[str, Any] = {"stylize": stylize, "remix": remix, "relax": relax}
            if style is not None:
                name = RAW if style.lower() == RAW else find_name(services.catalogue.styles, style)
                changes["style"] = name if name == RAW else services.catalogue.style(name).name
            if aspect is not None:
                parse_aspect(aspect)
                changes["aspect"] = aspect
            if model is not None:
                changes["model"] = services.catalogue.model(find_name(services.catalogue.models, model)).name
            wanted = {name: value for name, value in changes.items() if value is not None}
            defaults = await (
                services.orders.defaults.change(interaction.user.id, **wanted)
                if wanted
                else services.orders.defaults.of(interaction.user.id)
            )
            content, view = panel(services, defaults, interaction.locale.value)
            await tell(interaction, content, view=view)

    command = texts.command("settings", settings)
    command.autocomplete("style")(styles(services))
    command.autocomplete("aspect")(aspects())
    command.autocomplete("model")(models(services))
    return command
