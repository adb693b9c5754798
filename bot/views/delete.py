"""🗑 and the menu Remove: asked about first, then pictures go with their files and the messages that show them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

import discord

from bot.answering import answer_later, customer_of, tell
from bot.message_routes import CONNECTION_ERRORS, MENTION_NOBODY
from bot.moderators import admit_moderator, server_of_moderator
from bot.uploads import custom_ids_of, images_in, is_unfinished
from bot.views.button import LimnerButton, LimnerItem, template, view_of
from generation.errors import RequestRejected
from storage.showings import Showing

if TYPE_CHECKING:
    from bot.client import Interaction
    from bot.deleting import Doomed
    from bot.messages import Messages

PICTURE, PICTURES = "delete_picture", "delete_job"
_MESSAGE = r"(?P<message>[1-8][0-9]{0,18}|9[0-9]{0,17})"  # Discord's ids are longer than ours


class NotPostedHere(RequestRejected):
    """The message is not one of ours."""

    key = "not_posted_here"


class MessageUnreadable(RequestRejected):
    """Discord does not let us read messages in this channel, so whose it is cannot be known."""

    key = "message_unreadable"


class StillDrawn(RequestRejected):
    """The message is that of a job that has not ended."""

    key = "still_drawn"


class DeleteButton(LimnerButton, template=template(f"{PICTURE}|{PICTURES}")):
    """🗑 of one picture, or of all that a job made: `limner:delete_picture:<image id>`, `limner:delete_job:<job id>`."""

    async def press(self, interaction: Interaction) -> None:
        await answer_later(interaction)
        doomed = await _doomed(interaction, self.action, self.row_id)
        assert interaction.message is not None
        await _ask(interaction, self.action, self.row_id, interaction.message.id, len(doomed.images))


class DeleteNowButton(LimnerButton, template=template(f"(?:{PICTURE}|{PICTURES})_now", ending=f":{_MESSAGE}")):
    """The answer yes: `limner:delete_…_now:<image or job id>:<id of the message with 🗑>`. All is asked once more."""

    def __init__(self, action: str, row_id: int, message_id: int, *, label: str | None = None) -> None:
        super().__init__(action, row_id, label=label, style=discord.ButtonStyle.danger, ending=f":{message_id}")
        self.message_id = message_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["action"], int(match["id"]), int(match["message"]))

    async def press(self, interaction: Interaction) -> None:
        services, locale = interaction.client.services, interaction.locale.value
        say = services.messages.say
        await interaction.response.defer()
        action = self.action.removesuffix("_now")
        doomed = await _doomed(interaction, action, self.row_id)
        seen = await _seen(interaction, action, doomed, self.message_id)
        left = await services.deleting.delete(customer_of(interaction), doomed, seen=seen)
        sentences = [say("deleting.deleted", locale, count=len(doomed.images))] if doomed.images else []
        if left:
            sentences.append(say("deleting.messages_left", locale, count=left))
        await _replace(interaction, " ".join(sentences) or say("deleting.removed", locale))


class RemoveNowButton(
    LimnerItem[discord.ui.Button[Any]], template=re.compile(f"limner:remove_now:{_MESSAGE}", re.ASCII)
):
    """Yes to removing a message of which no picture is left: `limner:remove_now:<message id>`. For moderators."""

    def __init__(self, message_id: int, *, label: str | None = None) -> None:
        custom_id = f"limner:remove_now:{message_id}"
        super().__init__(discord.ui.Button(label=label, custom_id=custom_id, style=discord.ButtonStyle.danger))
        self.message_id = message_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(int(match["message"]))

    async def press(self, interaction: Interaction) -> None:
        services, locale = interaction.client.services, interaction.locale.value
        say = services.messages.say
        guild_id = server_of_moderator(interaction)
        await interaction.response.defer()
        message = await _message_of_ours(interaction, self.message_id)
        if message is None:
            raise NotPostedHere
        if is_unfinished(message):
            raise StillDrawn
        if await services.deleting.remove(guild_id, message.channel.id, message.id):
            await services.storage.deletion.note_removal(guild_id, by=interaction.user.id, message_id=message.id)
            await _replace(interaction, say("deleting.removed", locale))
        else:
            await _replace(interaction, say("deleting.messages_left", locale, count=1))


class KeepButton(LimnerItem[discord.ui.Button[Any]], template=re.compile(r"limner:keep")):
    """The answer no."""

    def __init__(self, *, label: str | None = None) -> None:
        super().__init__(discord.ui.Button(label=label, custom_id="limner:keep"))

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls()

    async def press(self, interaction: Interaction) -> None:
        say, locale = interaction.client.services.messages.say, interaction.locale.value
        await interaction.response.edit_message(content=say("deleting.kept", locale), view=None)


def delete_button(image_id: int, *, row: int | None = None) -> DeleteButton:
    """🗑 of that picture."""
    return DeleteButton(PICTURE, image_id, emoji="🗑️", row=row)


def delete_job_button(job_id: int, *, row: int | None = None) -> DeleteButton:
    """🗑 of all that the job made."""
    return DeleteButton(PICTURES, job_id, emoji="🗑️", row=row)


async def ask_to_remove(interaction: Interaction, message: discord.Message) -> None:
    """What Remove in the menu of a message begins with. Raises `RequestRejected` where there is nothing to remove."""
    await admit_moderator(interaction)
    services = interaction.client.services
    if not _is_ours(interaction, message):
        raise NotPostedHere
    if is_unfinished(message):
        raise StillDrawn
    shown = [await services.storage.images.get(image_id) for image_id in images_in(message, interaction)]
    images = [image for image in shown if image is not None and image.guild_id == interaction.guild_id]
    if len(images) == 1:
        await _ask(interaction, PICTURE, images[0].id, message.id, 1)
    elif images:
        await _ask(interaction, PICTURES, images[0].job_id, message.id, len(images))
    else:
        locale, say = interaction.locale.value, services.messages.say
        now = RemoveNowButton(message.id, label=say("deleting.now", locale))
        await tell(
            interaction, say("deleting.ask_message", locale), view=view_of(now, _keep(services.messages, locale))
        )


async def _ask(interaction: Interaction, action: str, row_id: int, message_id: int, count: int) -> None:
    locale, messages = interaction.locale.value, interaction.client.services.messages
    question = (
        messages.say("deleting.ask", locale, count=count) if count else messages.say("deleting.ask_message", locale)
    )
    now = DeleteNowButton(f"{action}_now", row_id, message_id, label=messages.say("deleting.now", locale))
    await tell(interaction, question, view=view_of(now, _keep(messages, locale)))


def _keep(messages: Messages, locale: str) -> KeepButton:
    return KeepButton(label=messages.say("deleting.keep", locale))


async def _doomed(interaction: Interaction, action: str, row_id: int) -> Doomed:
    """What the presser may delete. Raises `ImageGone`, `JobGone` or `NotYours`."""
    deleting, customer = interaction.client.services.deleting, customer_of(interaction)
    return await (deleting.picture if action == PICTURE else deleting.pictures)(customer, row_id)


async def _seen(interaction: Interaction, action: str, doomed: Doomed, message_id: int) -> Showing | None:
    """The message with 🗑, if it shows nothing but these pictures: its id came from outside, and could be any."""
    known = await interaction.client.services.storage.showings.of_job(doomed.job.id)
    if any(showing.message_id == message_id for showing in known):
        return None
    try:
        message = await _message_of_ours(interaction, message_id)
    except MessageUnreadable:
        return None
    if message is None:
        return None
    shown = set(images_in(message, interaction))
    row_id = doomed.images[0].id if action == PICTURE else doomed.job.id
    if shown - {image.id for image in doomed.images} or not (
        shown or f"limner:{action}:{row_id}" in custom_ids_of(message)
    ):
        return None
    image_id = doomed.images[0].id if action == PICTURE else None
    return Showing(channel_id=message.channel.id, message_id=message.id, job_id=doomed.job.id, image_id=image_id)


async def _message_of_ours(interaction: Interaction, message_id: int) -> discord.Message | None:
    """A message of ours in this channel; None if it is not there, not ours, or Discord does not hand it over.

    Raises `MessageUnreadable` where we lack the permissions to read it.
    """
    channel = interaction.client.get_partial_messageable(
        customer_of(interaction).channel_id, guild_id=interaction.guild_id
    )
    try:
        message = await channel.fetch_message(message_id)
    except discord.Forbidden as error:
        raise MessageUnreadable from error
    except (discord.DiscordException, *CONNECTION_ERRORS):
        return None
    return message if _is_ours(interaction, message) else None


def _is_ours(interaction: Interaction, message: discord.Message) -> bool:
    us = interaction.client.user
    return us is not None and message.author.id == us.id


async def _replace(interaction: Interaction, sentence: str) -> None:
    """Put an end to the question."""
    await interaction.edit_original_response(content=sentence, view=None, allowed_mentions=MENTION_NOBODY)
