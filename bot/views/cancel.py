"""✖ while a job is queued or running. Only its owner and moderators may press it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord

from bot.answering import answer_later, customer_of, tell
from bot.orders import JobGone, NotYours
from bot.views.button import LimnerButton, template, view_of
from bot.wording import refund
from generation.errors import RequestRejected
from generation.job import Job

if TYPE_CHECKING:
    from bot.client import Interaction
    from bot.messages import Messages
    from bot.orders import Customer


class JobOver(RequestRejected):
    """The job has ended already; there is nothing to cancel."""

    key = "job_over"


class CancelButton(LimnerButton, template=template("cancel")):
    """✖ of one job: `limner:cancel:<job id>`."""

    async def press(self, interaction: Interaction) -> None:
        services = interaction.client.services
        await answer_later(interaction)
        job, who = await services.storage.jobs.get(self.row_id), interaction.user.id
        _check(job, customer_of(interaction))
        if job is None or job.status.terminal:
            raise JobOver
        if not await services.dispatcher.cancel(job.id, by=None if who == job.user_id else who):
            raise JobOver
        say, locale = services.messages.say, interaction.locale.value
        await tell(interaction, say("notices.cancelled", locale, refund=refund(services.messages, job.price, locale)))


def _check(job: Job | None, customer: Customer) -> None:
    if job is None or job.guild_id != customer.guild_id:
        raise JobGone
    if job.user_id != customer.user_id:
        if job.guild_id is None:
            raise JobGone
        if not customer.moderator:
            raise NotYours


def cancel_button(label: str, job_id: int, *, row: int | None = None) -> CancelButton:
    """✖ with a label."""
    return CancelButton("cancel", job_id, label=label, emoji="✖️", style=discord.ButtonStyle.danger, row=row)


def cancel_view(messages: Messages, job_id: int, locale: str | None) -> discord.ui.View:
    """The one button of a job that has not ended."""
    return view_of(cancel_button(messages.say("buttons.cancel", locale), job_id))
