"""What is done with a remix form that came back: what its button would have done, in other words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.answering import customer_of, order
from bot.views.again import AGAIN
from bot.views.button import template
from bot.views.dialog import LimnerDialog
from bot.views.picture import VARIATIONS
from bot.views.reframe import PANS
from bot.views.remix import REMIX
from generation.job import JobKind

if TYPE_CHECKING:
    import re

    from bot.client import Interaction
    from bot.views.dialog import Answers

ACTIONS = "|".join(f"{REMIX}{action}" for action in (*VARIATIONS, *PANS, AGAIN))


class RemixDialog(LimnerDialog, template=template(ACTIONS)):
    """`limner:remix_<action>:<id>`, where action and id are those of the button."""

    @classmethod
    async def answer(cls, interaction: Interaction, match: re.Match[str], answers: Answers) -> None:
        services, customer = interaction.client.services, customer_of(interaction)
        action, row_id, text = match["action"].removeprefix(REMIX), int(match["id"]), answers.texts["prompt"]
        if action == AGAIN:
            await order(interaction, services.editing.again(customer, row_id, text))
        elif action in PANS:
            request = services.editing.read(text)
            await order(interaction, services.editing.reframe(customer, row_id, JobKind.PAN, PANS[action], request))
        else:
            request = services.editing.read(text, shape=True)
            brought = await services.uploads.image(customer, row_id)
            await order(interaction, services.upload_orders.vary(customer, brought, JobKind(action), request))
