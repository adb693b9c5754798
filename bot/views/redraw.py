"""Draw again: the very recipe of a picture, seed and all, so that the same pixels come out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.answering import customer_of, order
from bot.views.button import LimnerButton, template

if TYPE_CHECKING:
    from bot.client import Interaction


class RedrawButton(LimnerButton, template=template("redraw")):
    """Of one picture: `limner:redraw:<image id>`."""

    async def press(self, interaction: Interaction) -> None:
        await order(interaction, interaction.client.services.orders.redraw(customer_of(interaction), self.row_id))


def redraw_button(image_id: int, label: str) -> RedrawButton:
    """Its label says what it costs."""
    return RedrawButton("redraw", image_id, label=label)
