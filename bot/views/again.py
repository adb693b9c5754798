"""🔄: the same once more, with a new seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.answering import customer_of, order
from bot.orders import anew
from bot.views.button import LimnerButton, template
from bot.views.remix import asks_first

if TYPE_CHECKING:
    from bot.client import Interaction


AGAIN = "again"


class AgainButton(LimnerButton, template=template(AGAIN)):
    """🔄 of one job: `limner:again:<job id>`."""

    async def press(self, interaction: Interaction) -> None:
        orders, customer = interaction.client.services.orders, customer_of(interaction)
        job = await orders.find_words(customer, self.row_id)
        if not await asks_first(interaction, self.action, self.row_id, anew(job.request)):
            await order(interaction, orders.again(customer, self.row_id))


def again_button(job_id: int, *, row: int | None = None) -> AgainButton:
    """🔄 of that job."""
    return AgainButton(AGAIN, job_id, emoji="🔄", row=row)
