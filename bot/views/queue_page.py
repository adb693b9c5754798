"""The list of unfinished jobs, page by page: one's own, each with ✖; for moderators all of the server, with a pause."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import discord

from bot.answering import customer_of
from bot.message_routes import MENTION_NOBODY
from bot.moderators import server_of_moderator
from bot.views.button import LimnerButton, LimnerItem, template, view_of
from bot.views.cancel import cancel_button
from bot.wording import code, duration
from generation.job import UNFINISHED, Job, JobStatus

if TYPE_CHECKING:
    from bot.client import Interaction, Services
    from bot.orders import Customer

PAGE = 12  # jobs, whose lines fit into a message, in three rows of buttons
LISTED_LENGTH = 50  # characters of a request in a list
PAUSE, RESUME = "pause_queue", "resume_queue"


class QueuePageButton(LimnerButton, template=template("queue_page")):
    """To a page of the list: `limner:queue_page:<number from 1>`. Whose list it is, is asked anew."""

    async def press(self, interaction: Interaction) -> None:
        await interaction.response.defer()
        await _show_anew(interaction, self.row_id)


class PauseButton(LimnerItem[discord.ui.Button[Any]], template=re.compile(f"limner:(?P<action>{PAUSE}|{RESUME})")):
    """Pauses the server in which it is pressed, or ends the pause. For moderators."""

    def __init__(self, action: str, *, label: str | None = None) -> None:
        emoji = "⏸️" if action == PAUSE else "▶️"
        super().__init__(discord.ui.Button(label=label, emoji=emoji, custom_id=f"limner:{action}", row=4))
        self.action = action

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["action"])

    async def press(self, interaction: Interaction) -> None:
        guild_id, pauses = server_of_moderator(interaction), interaction.client.services.pauses
        await interaction.response.defer()
        await (pauses.pause if self.action == PAUSE else pauses.resume)(guild_id, by=interaction.user.id)
        await _show_anew(interaction, 1)


async def queue_page(
    services: Services, customer: Customer, locale: str, page: int = 1
) -> tuple[str, discord.ui.View | None]:
    """What the person may see of the queue, in words and buttons. A page that is not there (any more) is the last."""
    say, guild_id = services.messages.say, customer.guild_id if customer.moderator else None
    everyones = guild_id is not None
    paused = (await services.storage.rulebook.of(guild_id)).paused
    jobs = await _jobs(services, customer, everyones=everyones)
    pages = max(1, -(-len(jobs) // PAGE))
    page = min(page, pages)
    lines, buttons = [say("queue.server_paused", locale)] if paused else [], list[LimnerItem[Any]]()
    if jobs:
        listed = jobs[(page - 1) * PAGE : page * PAGE]
        key = "queue.title_server" if everyones else "queue.title"
        lines.append(say(key, locale, count=len(jobs), page=page, pages=pages))
        lines += [_line(services, job, locale, named=everyones) for job in listed]
        buttons += [cancel_button(str(job.id), job.id, row=number // 5) for number, job in enumerate(listed)]
    else:
        lines.append(say("queue.empty_server" if everyones else "queue.empty", locale))
    if page > 1:
        buttons.append(QueuePageButton("queue_page", page - 1, emoji="◀️", row=3))
    if page < pages:
        buttons.append(QueuePageButton("queue_page", page + 1, emoji="▶️", row=3))
    if everyones:
        action = RESUME if paused else PAUSE
        buttons.append(PauseButton(action, label=say(f"buttons.{action}", locale)))
    return "\n".join(lines), view_of(*buttons) if buttons else None


def standing(services: Services, job: Job, locale: str) -> str:
    """How far a job is that has not ended."""
    say = services.messages.say
    request = code(job.request if len(job.request) <= LISTED_LENGTH else job.request[:LISTED_LENGTH] + "…")
    if job.status is JobStatus.RUNNING:
        return say("queue.running", locale, request=request, percent=services.courier.percent(job.id))
    outlook = services.dispatcher.outlook(job.id)
    if outlook is None:
        return say("queue.waiting", locale, request=request)
    if outlook.paused:
        return say("queue.paused", locale, request=request, position=outlook.position)
    wait = duration(services.messages, outlook.wait_seconds + outlook.work_seconds, locale)
    return say("queue.queued", locale, request=request, position=outlook.position, wait=wait)


async def _jobs(services: Services, customer: Customer, *, everyones: bool) -> Sequence[Job]:
    """In the order in which they are drawn, as far as that is known."""
    storage = services.storage.jobs
    if everyones and customer.guild_id is not None:
        jobs = await storage.of_guild(customer.guild_id, statuses=UNFINISHED)
    else:
        jobs = await storage.of_user(customer.user_id, guild_id=customer.guild_id, statuses=UNFINISHED)
    return sorted(jobs, key=lambda job: _turn(services, job))


def _turn(services: Services, job: Job) -> tuple[bool, float]:
    outlook = services.dispatcher.outlook(job.id)
    return job.status is JobStatus.QUEUED, float("inf") if outlook is None else outlook.position


def _line(services: Services, job: Job, locale: str, *, named: bool) -> str:
    line = f"`{job.id}` {standing(services, job, locale)}"
    return f"{line} · <@{job.user_id}>" if named else line


async def _show_anew(interaction: Interaction, page: int) -> None:
    services, customer = interaction.client.services, customer_of(interaction)
    content, view = await queue_page(services, customer, interaction.locale.value, page)
    await interaction.edit_original_response(content=content, view=view, allowed_mentions=MENTION_NOBODY)
