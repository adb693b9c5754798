"""Pictures that people bring: by attachment, by link, or by pointing at a message. All end up in our own storage.

What a link leads to is fetched without any authority of the bot's: whoever has a working link to a file on Discord's
CDN, which Discord signs and lets expire, can see the file. A link to a message is another matter, because there the bot
reads: only messages of the server in which the link was typed are read, and only where the person may read them too.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import discord

from bot.cdn import Cdn, FetchFailed, address, fetch
from bot.compose import StartingPicture
from bot.message_routes import CONNECTION_ERRORS
from bot.orders import Customer, ImageGone
from bot.picture_links import MessageLink, PictureLink
from generation.errors import RequestRejected
from generation.intake.errors import UploadTooLarge
from generation.intake.intake import Intake, Upload
from generation.intake.picture_file import PictureFile
from generation.job import JobKind
from generation.recipe import Recipe
from storage.storage import Storage

if TYPE_CHECKING:
    from bot.client import Interaction
    from bot.rules.rates import Rate

AT_ONCE = 8  # pictures that are being brought, of all people together
# Buttons that stand under finished pictures and name the image that they are about.
_ABOUT_IMAGE = re.compile(rf"limner:(?:pick|{JobKind.VARIATIONS}|{JobKind.VARY_SUBTLE}):([1-9][0-9]{{0,17}})", re.ASCII)
_UNFINISHED = re.compile(r"limner:cancel:[0-9]+", re.ASCII)


class NoPictureThere(RequestRejected):
    """There is no (finished) picture in that message."""

    key = "no_picture_there"


class MessageUnseen(RequestRejected):
    """That message is not there, or not for this person to read in this place."""

    key = "message_unseen"


class PickOne(RequestRejected):
    """That message shows several pictures of ours; one has to be chosen."""

    key = "pick_one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """A picture that somebody brought, in our storage. `image_id` is there if it is one that was drawn here.

    `recipe` is what the file carried: true for an image of ours, and otherwise what somebody wrote into a file.
    """

    picture: StartingPicture
    recipe: Recipe | None = None
    image_id: int | None = None


class Uploads:
    """Brings pictures into storage. Each verb raises `RequestRejected` with what is wrong with the picture."""

    def __init__(self, *, cdn: Cdn, intake: Intake, storage: Storage, rate: Rate) -> None:
        self._cdn = cdn
        self._intake = intake
        self._storage = storage
        self._rate = rate
        self._free = asyncio.Semaphore(AT_ONCE)
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    @property
    def hosts(self) -> frozenset[str]:
        """Where links may lead."""
        return self._cdn.hosts

    async def bring(
        self, interaction: Interaction, customer: Customer, picture: discord.Attachment | PictureLink
    ) -> Brought:
        """What was attached, or what a link leads to."""
        if isinstance(picture, discord.Attachment):
            return await self.attachment(customer, picture)
        return await self.link(interaction, customer, picture)

    @asynccontextmanager
    async def turn(self, customer: Customer) -> AsyncIterator[None]:
        """One picture of a person at a time, so many a minute, and few in all: each has a process to look at it.

        Raises `TooManyPicturesAMinute`.
        """
        self._rate.take(customer.user_id)
        async with self._turns.setdefault(customer.user_id, asyncio.Lock()), self._free:
            yield

    async def attachment(self, customer: Customer, attachment: discord.Attachment) -> Brought:
        """What somebody attached."""
        async with self.turn(customer):
            with await self.fetch(attachment) as file:
                return await self.file(customer, file)

    async def link(self, interaction: Interaction, customer: Customer, link: PictureLink) -> Brought:
        """What a link in a prompt leads to."""
        if not isinstance(link, MessageLink):
            async with self.turn(customer):
                with await self._fetched(str(link)) as file:
                    return await self.file(customer, file)
        message = await _read_message(interaction, link)
        images = images_in(message, interaction)
        if len(images) > 1:
            raise PickOne
        if images:
            return await self.image(customer, images[0])
        return await self.attachment(customer, picture_of(message))

    async def image(self, customer: Customer, image_id: int) -> Brought:
        """A picture that was drawn here, if the person may see it there. Raises `ImageGone`."""
        image = await self._storage.images.get(image_id)
        if image is None or image.guild_id != customer.guild_id:
            raise ImageGone
        if image.guild_id is None and image.user_id != customer.user_id:
            raise ImageGone
        if not await self._storage.files.exists(image.digest):
            raise ImageGone
        picture = StartingPicture(digest=image.digest, width=image.width, height=image.height)
        return Brought(picture=picture, recipe=image.recipe, image_id=image.id)

    async def file(self, customer: Customer, file: PictureFile) -> Brought:
        """A file that was brought. One that was drawn here, and that the person may see, is known by its digest."""
        digest = file.digest
        ours = await self._storage.images.by_file(digest, user_id=customer.user_id, guild_id=customer.guild_id)
        if ours is not None and await self._storage.files.exists(digest):
            picture = StartingPicture(digest=digest, width=ours.width, height=ours.height)
            return Brought(picture=picture, recipe=ours.recipe, image_id=ours.id)
        upload = await self._intake.take_in(file)
        kept = await self._storage.files.write(upload.png)
        picture = StartingPicture(digest=kept, width=upload.width, height=upload.height)
        return Brought(picture=picture, recipe=upload.recipe)

    async def mask(self, customer: Customer, file: discord.Attachment | str) -> Upload:
        """A mask that was attached, or put into a form, which tells its link. It is looked at, and not kept."""
        async with self.turn(customer):
            with await (self._fetched(file) if isinstance(file, str) else self.fetch(file)) as fetched:
                return await self._intake.take_in(fetched)

    async def fetch(self, attachment: discord.Attachment) -> PictureFile:
        """The file itself, as it was attached; whoever called closes it."""
        limits = self._intake.limits
        if attachment.size > limits.file_bytes:
            raise UploadTooLarge(limit=limits.megabytes)
        return await self._fetched(attachment.url)

    async def _fetched(self, link: str) -> PictureFile:
        return await fetch(self._cdn, address(link, self._cdn.hosts), megabytes=self._intake.limits.megabytes)


def images_in(message: discord.Message, interaction: Interaction) -> tuple[int, ...]:
    """The ids of our images that a message of ours shows, in order; none for messages of others."""
    us = interaction.client.user
    if us is None or message.author.id != us.id:
        return ()
    found = (_ABOUT_IMAGE.fullmatch(custom_id) for custom_id in custom_ids_of(message))
    return tuple(dict.fromkeys(int(match[1]) for match in found if match))


def picture_of(message: discord.Message) -> discord.Attachment:
    """The first picture that a message shows, also a forwarded one. Raises `NoPictureThere`.

    What a job of ours shows while it is drawn is no picture yet.
    """
    shown = [*message.attachments, *(file for part in message.message_snapshots for file in part.attachments)]
    pictures = [file for file in shown if (file.content_type or "").startswith("image/")]
    if not pictures or is_unfinished(message):
        raise NoPictureThere
    return pictures[0]


def is_unfinished(message: discord.Message) -> bool:
    """Whether the message is that of a job which has not ended."""
    return any(map(_UNFINISHED.fullmatch, custom_ids_of(message)))


def custom_ids_of(message: discord.Message) -> list[str]:
    """What the buttons of a message send, in order."""
    rows = [row for row in message.components if isinstance(row, discord.ActionRow)]
    return [child.custom_id or "" for row in rows for child in row.children if isinstance(child, discord.Button)]


async def _read_message(interaction: Interaction, link: MessageLink) -> discord.Message:
    """A message that the person may read too. Raises `MessageUnseen`."""
    if link.guild_id != interaction.guild_id or not may_read(interaction, link.channel_id):
        raise MessageUnseen
    channel = interaction.client.get_partial_messageable(link.channel_id, guild_id=link.guild_id)
    try:
        return await channel.fetch_message(link.message_id)
    except (discord.NotFound, discord.Forbidden) as error:
        raise MessageUnseen from error
    except (discord.DiscordException, *CONNECTION_ERRORS) as error:
        raise FetchFailed from error


def may_read(interaction: Interaction, channel_id: int) -> bool:
    """Whether the person can read what was written in that channel, as far as we know the server."""
    if channel_id == interaction.channel_id:
        granted = interaction.permissions
    elif interaction.guild is None or not isinstance(interaction.user, discord.Member):
        return False
    else:
        channel = interaction.guild.get_channel_or_thread(channel_id)
        if channel is None or (isinstance(channel, discord.Thread) and channel.is_private()):
            return False  # who belongs to a private thread is not known to us
        granted = channel.permissions_for(interaction.user)
    return interaction.guild is None or (granted.view_channel and granted.read_message_history)
