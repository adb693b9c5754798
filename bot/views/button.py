"""Buttons and menus: what they do, and to what, stands in their custom_id, everything else in storage."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

import discord

if TYPE_CHECKING:
    from bot.client import Interaction

# Ids are those of our own rows. Longer numbers are nobody's, and more than a database's integer holds.
ROW_ID = r"(?P<id>[1-9][0-9]{0,17})"
ItemT = TypeVar("ItemT", bound="discord.ui.Item[Any]", covariant=True)


def template(actions: str, *, ending: str = "") -> re.Pattern[str]:
    """The custom_ids of a family: `limner:<action>:<id>`, where `actions` is a regular expression, as is `ending`."""
    return re.compile(rf"limner:(?P<action>{actions}):{ROW_ID}{ending}", re.ASCII)


class LimnerItem(discord.ui.DynamicItem[ItemT], template=r"(?!)"):
    """A button or menu that outlives restarts: Discord keeps its custom_id, discord.py makes it anew for every press.

    Pressing it never fails silently: see `LimnerTree.press`. `component_type` is what its custom_ids belong to.
    """

    component_type: ClassVar[discord.ComponentType] = discord.ComponentType.button

    @classmethod
    def is_meant(cls, interaction: Interaction) -> bool:
        """Whether something of this family was pressed."""
        data = cast(dict[str, Any], interaction.data)
        found = cls.__discord_ui_compiled_template__.fullmatch(str(data.get("custom_id")))
        return found is not None and data.get("component_type") == cls.component_type.value

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        if self.is_meant(interaction):  # otherwise it is answered as what nobody knows
            await interaction.client.tree.press(interaction, self)

    async def press(self, interaction: Interaction) -> None:
        """What pressing a button, or choosing from a menu, does. Raises `RequestRejected` where it cannot."""
        raise NotImplementedError


class LimnerButton(LimnerItem[discord.ui.Button[discord.ui.View]], template=r"(?!)"):
    """A button: what it does and to which row of ours."""

    def __init__(
        self,
        action: str,
        row_id: int,
        *,
        label: str | None = None,
        emoji: str | None = None,
        style: discord.ButtonStyle = discord.ButtonStyle.secondary,
        row: int | None = None,
        ending: str = "",
    ) -> None:
        custom_id = f"limner:{action}:{row_id}{ending}"
        super().__init__(discord.ui.Button(label=label, emoji=emoji, style=style, custom_id=custom_id, row=row))
        self.action = action
        self.row_id = row_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["action"], int(match["id"]))


class LimnerMenu(LimnerItem[discord.ui.Select[Any]], template=r"(?!)"):
    """A menu of which one entry is chosen; its template has one group, which says what it is `about`."""

    component_type = discord.ComponentType.select

    def __init__(self, about: str, select: discord.ui.Select[Any]) -> None:
        super().__init__(select)
        self.about = about

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        assert isinstance(item, discord.ui.Select)
        return cls(match[1], item)

    @property
    def chosen(self) -> str:
        """The entry's value; "" where a client sends none."""
        return self.item.values[0] if self.item.values else ""


def view_of(*buttons: LimnerItem[Any]) -> discord.ui.View:
    """The buttons of one message. Needs a running event loop."""
    view = discord.ui.View(timeout=None)
    for button in buttons:
        view.add_item(button)
    return view
