"""What all buttons have in common: what they do and to what stands in their custom_id, everything else in storage."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

import discord

if TYPE_CHECKING:
    from bot.client import Interaction

# Ids are those of our own rows. Longer numbers are nobody's, and more than a database's integer holds.
ROW_ID = r"(?P<id>[1-9][0-9]{0,17})"


def template(actions: str) -> re.Pattern[str]:
    """The custom_ids of a family: `limner:<action>:<id>`, where `actions` is a regular expression."""
    return re.compile(rf"limner:(?P<action>{actions}):{ROW_ID}", re.ASCII)


class LimnerButton(discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]], template=r"(?!)"):
    """A button that outlives restarts: Discord keeps its custom_id, discord.py makes the object anew for every press.

    Pressing it never fails silently: see `LimnerTree.press`.
    """

    def __init__(
        self,
        action: str,
        row_id: int,
        *,
        label: str | None = None,
        emoji: str | None = None,
        style: discord.ButtonStyle = discord.ButtonStyle.secondary,
        row: int | None = None,
    ) -> None:
        custom_id = f"limner:{action}:{row_id}"
        super().__init__(discord.ui.Button(label=label, emoji=emoji, style=style, custom_id=custom_id, row=row))
        self.action = action
        self.row_id = row_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["action"], int(match["id"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.client.tree.press(interaction, self)

    async def press(self, interaction: Interaction) -> None:
        """What the button does. Raises `RequestRejected` where it cannot."""
        raise NotImplementedError


def view_of(*buttons: LimnerButton) -> discord.ui.View:
    """The buttons of one message. Needs a running event loop."""
    view = discord.ui.View(timeout=None)
    for button in buttons:
        view.add_item(button)
    return view
