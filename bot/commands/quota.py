"""/quota: moderators decide who may draw how much.

Discord shows the group to members who may time others out, unless a server's owner chose differently. Who is a
moderator to us is asked again here, from the permissions that Discord sends with the interaction.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import discord
from discord import app_commands

from bot.answering import customer_of, rejections_told, role_ids_of, tell
from bot.client import LimnerClient, Services
from bot.commands.texts import Texts
from bot.moderators import admit_moderator, is_moderator
from generation.errors import RequestRejected

if TYPE_CHECKING:
    from bot.client import Interaction
    from storage.ledger import Balance

MAX_CREDITS = 1_000_000
MAX_PAGES = 1000
LINES_A_PAGE = 40  # of at most 45 characters: a message holds 2,000


class RoleOfEveryone(RequestRejected):
    """The role that all members have: its quota is the server's default."""

    key = "role_of_everyone"


def quota_group(services: Services, texts: Texts) -> app_commands.Group:
    """The whole group. Every change is in the moderator log."""
    group = app_commands.Group(
        name="quota",
        description=texts.text("commands.quota"),
        guild_only=True,
        default_permissions=discord.Permissions(moderate_members=True),
    )
    say, credits_of = services.messages.say, services.storage.credits

    async def balance_of(user: discord.User | discord.Member, interaction: Interaction) -> Balance:
        member = replace(
            customer_of(interaction), user_id=user.id, moderator=is_moderator(user), role_ids=role_ids_of(user)
        )
        allowance = await services.orders.allowance(member)
        return await credits_of.balance(user.id, interaction.guild_id, allowance=allowance)

    async def show(interaction: discord.Interaction[LimnerClient], user: discord.User) -> None:
        async with rejections_told(interaction):
            await admit_moderator(interaction)
            balance = await balance_of(user, interaction)
            sentence = say(
                "quota.shown_unlimited" if balance.available is None else "quota.shown",
                interaction.locale.value,
                user=user.mention,
                available=balance.available,
                allowance=balance.allowance,
                spent=balance.spent_today,
                granted=balance.granted,
                renews=discord.utils.format_dt(balance.renews_at, "R"),
            )
            await tell(interaction, sentence)

    async def set_(
        interaction: discord.Interaction[LimnerClient],
        user: discord.User,
        credits: app_commands.Range[int, 0, MAX_CREDITS],
    ) -> None:
        async with rejections_told(interaction):
            guild_id = await admit_moderator(interaction)
            await credits_of.set_allowance(user.id, guild_id, credits, by=interaction.user.id)
            renews = discord.utils.format_dt((await balance_of(user, interaction)).renews_at, "R")
            sentence = say("quota.set", interaction.locale.value, user=user.mention, credits=credits, renews=renews)
            await tell(interaction, sentence)

    async def grant(
        interaction: discord.Interaction[LimnerClient],
        user: discord.User,
        credits: app_commands.Range[int, 1, MAX_CREDITS],
    ) -> None:
        async with rejections_told(interaction):
            guild_id = await admit_moderator(interaction)
            granted = await credits_of.grant(user.id, guild_id, credits, by=interaction.user.id)
            sentence = say(
                "quota.granted", interaction.locale.value, user=user.mention, credits=credits, granted=granted
            )
            await tell(interaction, sentence)

    async def reset(interaction: discord.Interaction[LimnerClient], user: discord.User) -> None:
        async with rejections_told(interaction):
            guild_id = await admit_moderator(interaction)
            await credits_of.clear_allowance(user.id, guild_id, by=interaction.user.id)
            balance = await balance_of(user, interaction)
            key = "quota.reset_unlimited" if balance.allowance is None else "quota.reset"
            await tell(interaction, say(key, interaction.locale.value, user=user.mention, allowance=balance.allowance))

    async def default(
        interaction: discord.Interaction[LimnerClient],
        credits: app_commands.Range[int, 0, MAX_CREDITS] | None = None,
    ) -> None:
        async with rejections_told(interaction):
            guild_id = await admit_moderator(interaction)
            await credits_of.set_default(guild_id, credits, by=interaction.user.id)
            now = services.config.quota.daily_credits if credits is None else credits
            await tell(interaction, say("quota.default", interaction.locale.value, credits=now))

    async def role(
        interaction: discord.Interaction[LimnerClient],
        role: discord.Role,
        credits: app_commands.Range[int, 0, MAX_CREDITS] | None = None,
    ) -> None:
        async with rejections_told(interaction):
            guild_id, locale = await admit_moderator(interaction), interaction.locale.value
            if role.is_default():  # everyone's role: that is what the default is
                raise RoleOfEveryone
            await credits_of.set_role(guild_id, role.id, credits, by=interaction.user.id)
            key = "quota.role_cleared" if credits is None else "quota.role"
            await tell(interaction, say(key, locale, role=role.mention, credits=credits))

    async def list_(
        interaction: discord.Interaction[LimnerClient],
        page: app_commands.Range[int, 1, MAX_PAGES] = 1,
    ) -> None:
        async with rejections_told(interaction):
            guild_id, locale = await admit_moderator(interaction), interaction.locale.value
            default = await credits_of.default(guild_id)
            everyone = services.config.quota.daily_credits if default is None else default
            of_roles, of_members = await credits_of.of_roles(guild_id), await credits_of.of_members(guild_id)
            listed = [*((f"<@&{role}>", own) for role, own in of_roles.items())]
            listed += [(f"<@{member}>", own) for member, own in of_members.items()]
            lines = [say("quota.listed", locale, who=who, credits=own) for who, own in listed]
            pages = max(1, math.ceil(len(lines) / LINES_A_PAGE))
            page = min(page, pages)
            shown = [say("quota.everyone", locale, credits=everyone)] if page == 1 else []
            shown += lines[(page - 1) * LINES_A_PAGE : page * LINES_A_PAGE]
            if pages > 1:
                shown.append(say("quota.page", locale, page=page, pages=pages))
            await tell(interaction, "\n".join(shown))

    group.add_command(texts.command("quota_show", show))
    group.add_command(texts.command("quota_set", set_))
    group.add_command(texts.command("quota_grant", grant))
    group.add_command(texts.command("quota_reset", reset))
    group.add_command(texts.command("quota_default", default))
    group.add_command(texts.command("quota_role", role))
    group.add_command(texts.command("quota_list", list_))
    return group
