"""Pictures are deleted, and the messages that show them are taken back: who may, and what becomes of each message."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import discord
import structlog
from discord.utils import DEFAULT_FILE_SIZE_LIMIT_BYTES

from bot.message_routes import CONNECTION_ERRORS, MENTION_NOBODY
from bot.orders import ImageGone, JobGone, NotYours
from storage.errors import FilesUnavailable

if TYPE_CHECKING:
    from bot.client import LimnerClient
    from bot.orders import Customer, Orders
    from bot.status import StatusWriter
    from generation.job import Job
    from storage.images import Image
    from storage.showings import Showing
    from storage.storage import Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """What a person may delete: pictures of one job, none if they are gone already."""

    job: Job
    images: tuple[Image, ...]


class Deleting:
    """Deletes pictures with all that shows them. Owners may, and moderators of their server."""

    def __init__(self, client: LimnerClient, *, storage: Storage, orders: Orders, writer: StatusWriter) -> None:
        self._client = client
        self._storage = storage
        self._orders = orders
        self._writer = writer

    async def picture(self, customer: Customer, image_id: int) -> Doomed:
        """One picture, whether its file is there or not. Raises `ImageGone` or `NotYours`."""
        image = await self._storage.images.get(image_id)
        if image is None:
            raise ImageGone
        try:
            job = await self._orders.find_job(customer, image.job_id)
        except JobGone as error:
            raise ImageGone from error
        _refuse_others(customer, image.user_id)
        return Doomed(job=job, images=(image,))

    async def pictures(self, customer: Customer, job_id: int) -> Doomed:
        """All that is left of a job. Raises `JobGone` or `NotYours`."""
        job = await self._orders.find_job(customer, job_id)
        _refuse_others(customer, job.user_id)
        return Doomed(job=job, images=tuple(await self._storage.images.of_job(job_id)))

    async def delete(self, customer: Customer, doomed: Doomed, *, seen: Showing | None = None) -> int:
        """Delete them, and take back the messages that show them; how many messages could not be.

        A message that shows other pictures of the job too shows those alone from then on, or goes where their files
        cannot be reached. `seen` is a message that we may not know of, and that shows nothing else. Raises `ImageGone`
        where there is nothing left to do.
        """
        deleted = await self._storage.deletion.delete_images([image.id for image in doomed.images], by=customer.user_id)
        left = {image.id for image in await self._storage.images.of_job(doomed.job.id)}
        showings = {showing.message_id: showing for showing in await self._storage.showings.of_job(doomed.job.id)}
        if seen is not None:
            showings.setdefault(seen.message_id, seen)
        # Those too that an earlier deletion could not take back.
        concerned = [showing for showing in showings.values() if showing.image_id not in left]
        if not deleted.images and not concerned:
            raise ImageGone
        structlog.get_logger(__name__).info(
            "pictures_deleted", job_id=doomed.job.id, user_id=customer.user_id, pictures=len(deleted.images)
        )
        return sum([not await self._take_back(doomed.job, showing) for showing in concerned])

    async def remove(self, guild_id: int | None, channel_id: int, message_id: int) -> bool:
        """Remove a message of ours; True too if it is not there any more. False: that cannot be done (now)."""
        removed = await _carried_out(self._message(guild_id, channel_id, message_id).delete(), message_id)
        if removed:
            await self._storage.showings.forget(message_id)
        return removed

    async def _take_back(self, job: Job, showing: Showing) -> bool:
        """Make a message show what is left of it: the job's other pictures, or nothing."""
        place = job.guild_id, showing.channel_id, showing.message_id
        guild = self._client.get_guild(job.guild_id) if job.guild_id is not None else None
        limit = DEFAULT_FILE_SIZE_LIMIT_BYTES if guild is None else guild.filesize_limit
        left = None
        if showing.image_id is None:
            try:
                left = await self._writer.remade(job, upload_limit=limit)
            except FilesUnavailable as error:  # the deleted picture goes now; the others stay in the gallery
                structlog.get_logger(__name__).error("files_failed", message_id=showing.message_id, error=str(error))
        if left is None or left.picture is None:
            return await self.remove(*place)
        change = self._message(*place).edit(attachments=left.files(), view=left.view, allowed_mentions=MENTION_NOBODY)
        return await _carried_out(change, showing.message_id)

    def _message(self, guild_id: int | None, channel_id: int, message_id: int) -> discord.PartialMessage:
        channel = self._client.get_partial_messageable(channel_id, guild_id=guild_id)
        return channel.get_partial_message(message_id)


async def _carried_out(change: Coroutine[Any, Any, object], message_id: int) -> bool:
    """Whether the message is as it shall be, or gone altogether."""
    try:
        await change
    except discord.NotFound:
        return True
    except (discord.DiscordException, *CONNECTION_ERRORS) as error:
        structlog.get_logger(__name__).warning("message_stays", message_id=message_id, reason=repr(error))
        return False
    return True


def _refuse_others(customer: Customer, owner_id: int) -> None:
    """Raises `NotYours` for whoever is neither the owner nor a moderator."""
    if customer.user_id != owner_id and not customer.moderator:
        raise NotYours
