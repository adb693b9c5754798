"""Answering interactions: at once, in the person's language, whatever happens.

Discord waits three seconds for a first answer. What only the person sees is deferred at once. An order is different:
its first answer is public where it is taken and private where it is not, and which of the two cannot be changed after
a deferral. So an order may take a moment; only where storage is slower than that, the answer is deferred in public.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import discord
import structlog

from bot.errors import words
from bot.message_routes import CONNECTION_ERRORS, MENTION_NOBODY, Parcel
from bot.orders import Customer
from generation.errors import RequestRejected
from generation.job import Job
from storage.errors import FilesUnavailable, FilesUnwritable

if TYPE_CHECKING:
    from bot.client import Interaction

T = TypeVar("T")

ORDER_SECONDS = 0.2  # how long an order may take before its answer is deferred
# Among an interaction's `extras`: its answer is a "Thinking…" that everyone sees.
DEFERRED = "deferred"
# What an answer may fail with: the person is gone, or Discord is. There is nobody left to tell.
ANSWER_ERRORS = (discord.DiscordException, *CONNECTION_ERRORS)
# Without these a message can be sent and edited through an interaction only.
CHANNEL_PERMISSIONS = ("view_channel", "send_messages", "attach_files")


class ChannelReadOnly(RequestRejected):
    """The person may read this channel but not write in it, and the answer would be a public message."""

    key = "channel_read_only"


def customer_of(interaction: Interaction) -> Customer:
    """Who this is to us. Discord's own word on permissions, sent with every interaction, makes a moderator."""
    moderator = interaction.guild_id is not None and (
        interaction.permissions.moderate_members or interaction.permissions.administrator
    )
    channel, user = interaction.channel, interaction.user
    return Customer(
        user_id=interaction.user.id,
        guild_id=interaction.guild_id,
        channel_id=interaction.channel_id or interaction.user.id,
        moderator=moderator,
        request_key=str(interaction.id),
        category_ids=_category_ids(channel),
        role_ids=role_ids_of(user),
        account_created_at=user.created_at,
        age_restricted=_is_age_restricted(channel),
        answer_token=interaction.token,
    )


def _category_ids(channel: object) -> tuple[int, ...]:
    """The channel of a thread, and the category of either, as far as we know the server."""
    parent = channel.parent if isinstance(channel, discord.Thread) else None
    named = (channel.parent_id,) if isinstance(channel, discord.Thread) else ()
    category = getattr(parent or channel, "category_id", None) if parent or not named else None
    return named if category is None else (*named, category)


def _is_age_restricted(channel: object) -> bool:
    asked: Callable[[], bool] | None = getattr(channel, "is_nsfw", None)  # direct messages have none
    return asked is not None and asked()


def role_ids_of(user: discord.User | discord.Member) -> tuple[int, ...]:
    """In the order of the server, without the one that is everyone's."""
    return tuple(role.id for role in user.roles if not role.is_default()) if isinstance(user, discord.Member) else ()


async def answer_later(interaction: Interaction) -> None:
    """ "Thinking…", for the person's eyes only. `tell` replaces it."""
    await interaction.response.defer(ephemeral=True, thinking=True)


async def tell(interaction: Interaction, sentence: str, *, view: discord.ui.View | None = None) -> None:
    """Say something that only the person sees, also where everyone saw that the answer is on its way."""
    if interaction.extras.pop(DEFERRED, False):
        await _withdraw(interaction)
    say = interaction.followup.send if interaction.response.is_done() else interaction.response.send_message
    await say(sentence, ephemeral=True, allowed_mentions=MENTION_NOBODY, view=view or discord.utils.MISSING)


async def _withdraw(interaction: Interaction) -> None:
    """Take a public deferral back. What comes after it would take its place, and be as public, while it stands."""
    ending = interaction.client.services.messages.say("notices.withdrawn", interaction.locale.value)
    try:
        await interaction.edit_original_response(content=ending, allowed_mentions=MENTION_NOBODY)
        await interaction.delete_original_response()
    except ANSWER_ERRORS as error:  # told in public is better than not told
        structlog.get_logger(__name__).warning("deferral_stays", interaction_id=interaction.id, failed=repr(error))


async def tell_error(interaction: Interaction, error: BaseException) -> None:
    """Say what is wrong; if even that fails, write it down."""
    messages, locale = interaction.client.services.messages, interaction.locale.value
    if isinstance(error, FilesUnavailable | FilesUnwritable):  # what it tells is for whoever runs the bot
        structlog.get_logger(__name__).error("files_failed", user_id=interaction.user.id, error=str(error))
        sentence = messages.say("notices.files_away", locale)
    else:
        sentence = words(error, messages, locale)
    try:
        await tell(interaction, sentence)
    except ANSWER_ERRORS as failed:
        structlog.get_logger(__name__).warning(
            "unanswered", user_id=interaction.user.id, error=str(error), failed=repr(failed)
        )


@asynccontextmanager
async def rejections_told(interaction: Interaction) -> AsyncIterator[None]:
    """An order that cannot be taken is no error of ours: the person is told why, and that is that."""
    try:
        yield
    except RequestRejected as rejected:
        await tell_error(interaction, rejected)


def may_post(interaction: Interaction) -> None:
    """Raises `ChannelReadOnly` unless the person may write where the public answer will stand."""
    if interaction.guild_id is None:
        return
    thread = isinstance(interaction.channel, discord.Thread)
    granted = interaction.permissions
    if not (granted.send_messages_in_threads if thread else granted.send_messages):
        raise ChannelReadOnly


async def bring(interaction: Interaction, bringing: Coroutine[None, None, T]) -> T:
    """Wait for what an order needs, such as a picture to start from, as `order` waits for the order.

    Raises `RequestRejected` if it cannot be had, or the person may not order here: then nothing is fetched or decoded.
    """
    _may_order(interaction, bringing)

    async def admitted() -> T:
        try:
            await interaction.client.services.server_rules.admit(customer_of(interaction))
        except RequestRejected:
            bringing.close()
            raise
        return await bringing

    return await _deferring(interaction, admitted())


async def order(interaction: Interaction, placing: Coroutine[None, None, Job]) -> None:
    """Place an order and answer with its status message. Raises `RequestRejected` if it is not taken.

    `placing` is one of the verbs of `bot.orders.Orders`, not awaited yet.
    """
    services = interaction.client.services
    courier, receipt = services.courier, services.routes.receipt(interaction)
    _may_order(interaction, placing)

    async def place() -> tuple[Job, bool]:
        async with interaction.client.placing:
            job = await placing
        # Nothing is awaited between the two, so the courier knows of the job before the queue has news of it.
        return job, courier.expect(job, receipt, customer_of(interaction))

    job, is_new = await _deferring(interaction, place())
    first_words = courier.first_words(job.id) if is_new else None
    if first_words is None:  # Discord delivered the same interaction twice, or a deferral took very long
        return
    message_id = None
    try:
        message_id = await _answer(interaction, first_words)
    except ANSWER_ERRORS as error:
        structlog.get_logger(__name__).warning("unanswered", job_id=job.id, user_id=job.user_id, failed=repr(error))
    await courier.answered(job.id, message_id)
    if message_id is not None:
        services.metrics.answered(services.routes.age(receipt))
        await _warn_of_closed_channel(interaction)


def _may_order(interaction: Interaction, work: Coroutine[None, None, Any]) -> None:
    """Raises `ChannelReadOnly`; then the work is never begun."""
    try:
        may_post(interaction)
    except RequestRejected:
        work.close()
        raise


async def _deferring(interaction: Interaction, work: Coroutine[None, None, T]) -> T:
    """What comes of the work; where that takes a moment, the answer is deferred in public."""
    task = asyncio.create_task(work)
    done, _ = await asyncio.wait({task}, timeout=ORDER_SECONDS)
    if not done and not interaction.response.is_done():
        try:
            await interaction.response.defer(thinking=True)
        except ANSWER_ERRORS as error:  # the order is under way all the same
            structlog.get_logger(__name__).warning("undeferred", interaction_id=interaction.id, failed=repr(error))
        else:
            interaction.extras[DEFERRED] = True
    return await task


async def _answer(interaction: Interaction, parcel: Parcel) -> int | None:
    interaction.extras.pop(DEFERRED, None)
    if interaction.response.is_done():
        message = await interaction.edit_original_response(
            content=parcel.content, view=parcel.view, allowed_mentions=MENTION_NOBODY
        )
        return message.id
    assert parcel.view is not None
    response = await interaction.response.send_message(
        parcel.content, view=parcel.view, allowed_mentions=MENTION_NOBODY
    )
    return response.message_id


async def _warn_of_closed_channel(interaction: Interaction) -> None:
    """Once per channel: without these permissions a long wait ends in a direct message."""
    services = interaction.client.services
    say, locale, channel_id = services.messages.say, interaction.locale.value, customer_of(interaction).channel_id
    missing = [name for name in CHANNEL_PERMISSIONS if not getattr(interaction.app_permissions, name)]
    if interaction.guild_id is None or not missing or not services.courier.first_time_in(channel_id):
        return
    names = ", ".join(say(f"permissions.{name}", locale) for name in missing)
    sentence = say("notices.closed_channel", locale, permissions=names)
    try:
        await tell(interaction, sentence)
    except ANSWER_ERRORS as error:
        structlog.get_logger(__name__).info("hint_lost", interaction_id=interaction.id, failed=repr(error))
