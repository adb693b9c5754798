"""/queue and /info: one's own jobs and credits, and what moderators and everybody see of those of the server."""

from __future__ import annotations

import discord

from bot.answering import answer_later, customer_of, tell
from bot.client import LimnerClient, Services
from bot.commands.texts import Command, Texts
from bot.orders import Customer
from bot.views.queue_page import queue_page
from storage.totals import LATELY

RANKED = 5  # of those who draw most


def queue_command(services: Services, texts: Texts) -> Command:
    """One's unfinished jobs, or all of the server for its moderators, each with ✖."""

    async def queue(interaction: discord.Interaction[LimnerClient]) -> None:
        await answer_later(interaction)
        content, view = await queue_page(services, customer_of(interaction), interaction.locale.value)
        await tell(interaction, content, view=view)

    return texts.command("queue", queue)


def info_command(services: Services, texts: Texts) -> Command:
    """One's credits, one's jobs, all that one has drawn, and who draws most in the server."""

    async def info(interaction: discord.Interaction[LimnerClient]) -> None:
        await answer_later(interaction)
        customer, locale = customer_of(interaction), interaction.locale.value
        lines = [
            await _credits(services, customer, locale),
            await _jobs(services, customer, locale),
            *await _ranking(services, customer.guild_id, locale),
        ]
        await tell(interaction, "\n".join(lines))

    return texts.command("info", info)


async def _credits(services: Services, customer: Customer, locale: str) -> str:
    allowance = await services.orders.allowance(customer)
    balance = await services.storage.credits.balance(customer.user_id, customer.guild_id, allowance=allowance)
    if balance.available is None:
        return services.messages.say("info.unlimited", locale, spent=balance.spent_today)
    return services.messages.say(
        "info.credits",
        locale,
        available=balance.available,
        allowance=balance.allowance,
        granted=balance.granted,
        renews=discord.utils.format_dt(balance.renews_at, "R"),
    )


async def _jobs(services: Services, customer: Customer, locale: str) -> str:
    counts = await services.storage.jobs.counts(customer.user_id, customer.guild_id)
    total = await services.storage.totals.of_member(customer.user_id, customer.guild_id)
    kept = await services.storage.totals.kept(customer.user_id, customer.guild_id)
    say = services.messages.say
    work = say("status.cost", locale, count=total.work)
    return "\n".join(
        [
            say("info.jobs", locale, queued=counts.queued, running=counts.running),
            say("info.lifetime", locale, jobs=total.jobs, work=work, kept=kept),
        ]
    )


async def _ranking(services: Services, guild_id: int | None, locale: str) -> list[str]:
    """Who draws most here; nothing in direct messages, where there is one person."""
    if guild_id is None:
        return []
    most = await services.storage.totals.most(guild_id, limit=RANKED)
    if not most:
        return []
    say = services.messages.say
    ranked = [(f"<@{total.user_id}>", total.jobs, say("status.cost", locale, count=total.work)) for total in most]
    return [
        say("info.most", locale, days=LATELY.days),
        *(say("info.rank", locale, user=user, count=jobs, work=work) for user, jobs, work in ranked),
    ]
