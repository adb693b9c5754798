"""The panel of /settings: what a member set for all their orders, a menu for each, switches, and forgetting.

Only the member sees it, and it outlives restarts: its menus know nothing but which setting they are for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

import discord

from bot.flag_values import RAW, USUAL_ASPECTS
from bot.member_defaults import MemberDefaults
from bot.views.button import LimnerItem, LimnerMenu, view_of
from bot.wording import code

if TYPE_CHECKING:
    from bot.client import Interaction, Services

NOTHING = "-"  # the value of a menu's first entry: leave it to the server
MAX_ENTRIES = 24  # of a menu, beside that one; the options of /settings reach all
STYLIZES = (0, 50, 100, 250, 500, 750, 1000)
MENUS = ("style", "aspect", "model", "stylize")
SWITCHES = ("remix", "relax")


class SettingMenu(LimnerMenu, template=re.compile(rf"limner:set:(?P<field>{'|'.join(MENUS)})")):
    """A menu for one of the settings."""

    async def press(self, interaction: Interaction) -> None:
        field, chosen = self.about, self.chosen
        value: str | int | None = None if chosen in ("", NOTHING) else chosen
        if field == "stylize":
            value = int(chosen) if chosen.isdecimal() and chosen.isascii() else None
        services = interaction.client.services
        defaults = await services.orders.defaults.change(interaction.user.id, **{field: value})
        await _show_anew(interaction, services, defaults)


class SettingButton(LimnerItem[discord.ui.Button[Any]], template=re.compile(r"limner:(?P<action>remix|relax|forget)")):
    """The switches for remix and relax, and the way back to the server's own settings."""

    def __init__(self, action: str, *, label: str = "", on: bool = False) -> None:
        style = discord.ButtonStyle.success if on else discord.ButtonStyle.secondary
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=f"limner:{action}", row=4))
        self.action = action

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["action"])

    async def press(self, interaction: Interaction) -> None:
        services, user_id = interaction.client.services, interaction.user.id
        if self.action == "forget":
            defaults = await services.orders.defaults.forget(user_id)
        else:
            switched = not getattr(await services.orders.defaults.of(user_id), self.action)
            defaults = await services.orders.defaults.change(user_id, **{self.action: switched})
        await _show_anew(interaction, services, defaults)


def panel(services: Services, defaults: MemberDefaults, locale: str | None) -> tuple[str, discord.ui.View]:
    """The words and the menus."""
    say = services.messages.say
    unset = say("settings.unset", locale)
    values = {name: getattr(defaults, name) for name in MENUS}
    lines = [say("settings.title", locale)]
    lines += [
        say(
            "settings.line",
            locale,
            name=say(f"settings.{name}", locale),
            value=unset if value is None else code(str(value)),
        )
        for name, value in values.items()
    ]
    switches = {name: getattr(defaults, name) for name in SWITCHES if name != "relax" or services.orders.defaults.relax}
    lines += [say(f"settings.{name}_{'on' if on else 'off'}", locale) for name, on in switches.items()]
    items: list[LimnerItem[Any]] = [
        SettingMenu(name, _menu(name, names, values[name], say(f"settings.{name}", locale), unset))
        for name, names in _choices(services, defaults).items()
        if len(names) > 1
    ]
    items += [SettingButton(name, label=say(f"settings.{name}", locale), on=on) for name, on in switches.items()]
    items.append(SettingButton("forget", label=say("settings.forget", locale)))
    return "\n".join(lines), view_of(*items)


async def _show_anew(interaction: Interaction, services: Services, defaults: MemberDefaults) -> None:
    content, view = panel(services, defaults, interaction.locale.value)
    await interaction.response.edit_message(content=content, view=view)


def _choices(services: Services, defaults: MemberDefaults) -> dict[str, list[str]]:
    """The entries of each menu; what is chosen is always among them."""
    styles = [RAW, *sorted(services.catalogue.styles)]
    all_of = {
        "style": styles,
        "aspect": list(USUAL_ASPECTS),
        "model": sorted(services.catalogue.models),
        "stylize": [str(number) for number in STYLIZES],
    }
    chosen = {name: getattr(defaults, name) for name in MENUS}
    return {
        name: list(dict.fromkeys([*([str(chosen[name])] if chosen[name] is not None else []), *names]))[:MAX_ENTRIES]
        for name, names in all_of.items()
    }


def _menu(field: str, names: list[str], chosen: object, title: str, unset: str) -> discord.ui.Select[Any]:
    options = [discord.SelectOption(label=f"{title}: {unset}"[:100], value=NOTHING, default=chosen is None)]
    options += [
        discord.SelectOption(label=f"{title}: {name}"[:100], value=name[:100], default=name == str(chosen))
        for name in names
    ]
    return discord.ui.Select(custom_id=f"limner:set:{field}", options=options, row=MENUS.index(field))
