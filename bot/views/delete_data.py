"""The question before a person's data is deleted, and its two answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

import discord

from bot.message_routes import MENTION_NOBODY
from bot.views.button import LimnerItem, view_of

if TYPE_CHECKING:
    from bot.client import Interaction
    from bot.messages import Messages

DELETE, KEEP = "delete_my_data", "keep_my_data"


class DeleteDataButton(LimnerItem[discord.ui.Button[Any]], template=re.compile(rf"limner:(?P<action>{DELETE}|{KEEP})")):
    """Deletes what is kept about whoever presses it, or leaves it: `limner:<answer>`. It names nobody."""

    def __init__(self, action: str, *, label: str = "") -> None:
        style = discord.ButtonStyle.danger if action == DELETE else discord.ButtonStyle.secondary
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=f"limner:{action}"))
        self.action = action

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["action"])

    async def press(self, interaction: Interaction) -> None:
        services, locale = interaction.client.services, interaction.locale.value
        say = services.messages.say
        await interaction.response.defer()
        if self.action == KEEP:
            sentence = say("privacy.kept", locale)
        else:
            gone = await services.personal_data.delete(interaction.user.id)
            counts = {"pictures": gone.pictures, "jobs": gone.jobs, "uploads": gone.uploads}
            sentence = say("privacy.deleted", locale, **counts)
        await interaction.edit_original_response(content=sentence, view=None, allowed_mentions=MENTION_NOBODY)


def delete_data_view(messages: Messages, locale: str | None) -> discord.ui.View:
    """Both answers."""
    return view_of(
        *(DeleteDataButton(action, label=messages.say(f"privacy.{action}", locale)) for action in (DELETE, KEEP))
    )
