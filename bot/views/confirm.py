"""The question before several jobs are ordered at once: how many, what they cost, and two buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord

from bot.answering import answer_later, customer_of, may_post, tell
from bot.message_routes import MENTION_NOBODY
from bot.series_orders import ConfirmationOver
from bot.views.button import LimnerButton, template, view_of
from bot.wording import SEPARATOR, code, price

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.client import Interaction
    from bot.compose import StartingPicture
    from bot.flags import Request
    from bot.messages import Messages
    from bot.series_orders import Question

DRAW_ALL, DRAW_NONE = "draw_all", "draw_none"
LISTED = 5  # of the prompts, so that people see what their braces came to
LISTED_LENGTH = 80  # characters of each


class ConfirmButton(LimnerButton, template=template(f"{DRAW_ALL}|{DRAW_NONE}")):
    """One answer to one question: `limner:<answer>:<confirmation id>`. Counts once, and from the person asked alone."""

    async def press(self, interaction: Interaction) -> None:
        services, customer = interaction.client.services, customer_of(interaction)
        series, say, locale = services.series_orders, services.messages.say, interaction.locale.value
        if self.action == DRAW_ALL:
            may_post(interaction)
        await interaction.response.defer()
        confirmation = await series.find(customer, self.row_id)
        if self.action == DRAW_NONE:
            if not await series.answered(confirmation):
                raise ConfirmationOver
            await _replace(interaction, say("confirm.called_off", locale))
            return
        async with interaction.client.placing:
            jobs = await series.place(customer, confirmation)
        # Nothing is awaited between the two, so the courier knows of the jobs before the queue has news of them.
        for job in jobs:
            services.courier.announce(job, customer, locale)
        if not await series.answered(confirmation):
            raise ConfirmationOver
        cost = price(interaction.client.services.messages, confirmation.cost, locale)
        await _replace(interaction, say("confirm.ordered", locale, jobs=len(jobs), cost=cost))


async def ask_first(
    interaction: Interaction,
    requests: Sequence[Request],
    picture: StartingPicture | None = None,
    *,
    parent_image_id: int | None = None,
) -> None:
    """Ask the person alone whether all these jobs shall be ordered. Raises `RequestRejected` where they cannot be."""
    services = interaction.client.services
    may_post(interaction)
    if not interaction.response.is_done():
        await answer_later(interaction)
    customer = customer_of(interaction)
    question = await services.series_orders.ask(customer, requests, picture, parent_image_id=parent_image_id)
    sentence = _words(services.messages, question, interaction.locale.value)
    await tell(interaction, sentence, view=_view(services.messages, question, interaction.locale.value))


def _words(messages: Messages, question: Question, locale: str) -> str:
    say, confirmation = messages.say, question.confirmation
    shown = [code(_cut(request)) for request in confirmation.requests[:LISTED]]
    details = [price(messages, confirmation.cost, locale)]
    if question.left is not None:
        details.append(say("confirm.left", locale, credits=question.left))
    return "\n".join(
        [
            say("confirm.asked", locale, jobs=len(confirmation.requests)),
            *shown,
            *(["…"] if len(confirmation.requests) > LISTED else []),
            SEPARATOR.join(details),
            say("confirm.until", locale, until=discord.utils.format_dt(confirmation.expires_at, "R")),
        ]
    )


def _view(messages: Messages, question: Question, locale: str) -> discord.ui.View:
    number, jobs = question.confirmation.id, len(question.confirmation.requests)
    return view_of(
        ConfirmButton(
            DRAW_ALL,
            number,
            label=messages.say("confirm.draw", locale, jobs=jobs),
            style=discord.ButtonStyle.primary,
        ),
        ConfirmButton(DRAW_NONE, number, label=messages.say("buttons.cancel", locale)),
    )


async def _replace(interaction: Interaction, sentence: str) -> None:
    """Put an end to the question."""
    await interaction.edit_original_response(content=sentence, view=None, allowed_mentions=MENTION_NOBODY)


def _cut(text: str) -> str:
    return text if len(text) <= LISTED_LENGTH else text[:LISTED_LENGTH] + "…"
