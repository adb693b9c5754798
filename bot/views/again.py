"""🔄: the same once more, with a new seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.answering import customer_of, order
from bot.views.button import LimnerButton, template

if TYPE_CHECKING:
    from bot.client import Interaction


class AgainButton(LimnerButton, template=template("again")):
    """🔄 of one job: `limner:again:<job id>`."""

    async def press(self, interaction: Interaction) -> None:
        await order(interaction, interaction.client.services.orders.again(customer_of(interaction), self.row_id))


def again_button(job_id: int, *, row: int | None = None) -> AgainButton:
    """🔄 of that job."""
    return AgainButton("again", job_id, emoji="🔄", row=row)
