"""/queue and /info: one's own jobs and credits."""

from __future__ import annotations

import discord

from bot.answering import answer_later, customer_of, tell
from bot.client import LimnerClient, Services
from bot.commands.texts import Command, Texts
from bot.views.button import view_of
from bot.views.cancel import cancel_button
from bot.wording import code, duration
from generation.job import Job, JobStatus

UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)
MAX_BUTTONS = 25  # that one message may have
LISTED_LENGTH = 60  # characters of a request in a list


def queue_command(services: Services, texts: Texts) -> Command:
    """One's unfinished jobs, each with ✖."""

    async def queue(interaction: discord.Interaction[LimnerClient]) -> None:
        await answer_later(interaction)
        customer, locale, say = customer_of(interaction), interaction.locale.value, services.messages.say
        jobs = await services.storage.jobs.of_user(customer.user_id, guild_id=customer.guild_id, statuses=UNFINISHED)
        if not jobs:
            await tell(interaction, say("queue.empty", locale))
            return
        shown = jobs[:MAX_BUTTONS]
        lines = [say("queue.title", locale), *(f"`{job.id}` {_standing(services, job, locale)}" for job in shown)]
        buttons = [cancel_button(str(job.id), job.id) for job in shown]
        await tell(interaction, "\n".join(lines), view=view_of(*buttons))

    return texts.command("queue", queue)


def _standing(services: Services, job: Job, locale: str) -> str:
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


def info_command(services: Services, texts: Texts) -> Command:
    """One's credits and how many jobs one has."""

    async def info(interaction: discord.Interaction[LimnerClient]) -> None:
        await answer_later(interaction)
        customer, locale, say = customer_of(interaction), interaction.locale.value, services.messages.say
        allowance = await services.orders.allowance(customer)
        balance = await services.storage.credits.balance(customer.user_id, customer.guild_id, allowance=allowance)
        if balance.available is None:
            credits = say("info.unlimited", locale, spent=balance.spent_today)
        else:
            credits = say(
                "info.credits",
                locale,
                available=balance.available,
                allowance=balance.allowance,
                granted=balance.granted,
                renews=discord.utils.format_dt(balance.renews_at, "R"),
            )
        counts = await services.storage.jobs.counts(customer.user_id, customer.guild_id)
        jobs = say("info.jobs", locale, queued=counts.queued, running=counts.running, done=counts.done)
        await tell(interaction, f"{credits}\n{jobs}")

    return texts.command("info", info)
