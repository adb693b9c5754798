"""Remix: who switched it on is asked for the prompt before a picture is varied, panned or drawn once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.views.dialog import LimnerDialog, text_field

if TYPE_CHECKING:
    from bot.client import Interaction

REMIX = "remix_"


async def asks_first(interaction: Interaction, action: str, row_id: int, text: str) -> bool:
    """Show the form, if this person has remix on. `text` is the prompt as it was; `bot/views/remix_dialog.py` goes on.

    False: go on without.
    """
    services, locale = interaction.client.services, interaction.locale.value
    if not (await services.orders.defaults.of(interaction.user.id)).remix:
        return False
    say = services.messages.say
    dialog = LimnerDialog(f"limner:{REMIX}{action}:{row_id}", say("forms.remix", locale))
    dialog.add_field(say("forms.prompt", locale), text_field("prompt", default=text))
    await dialog.show(interaction)
    return True
