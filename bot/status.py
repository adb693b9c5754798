"""What the message of a job says and shows in each of its states."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot import pictures
from bot.errors import ending_words
from bot.message_routes import Destination, Parcel, Writer
from bot.pictures import Upload
from bot.views.cancel import cancel_view
from bot.views.grid import grid_view
from bot.views.picture import picture_view
from bot.wording import SEPARATOR, code, duration, percent_of, price, refund
from generation.job import Job, JobStatus

if TYPE_CHECKING:
    from bot.messages import Messages
    from bot.orders import Customer, Orders
    from generation.queue.estimate import Outlook
    from generation.queue.listener import JobProgress
    from generation.recipe import Recipe
    from storage.images import Image
    from storage.storage import Storage


class StatusWriter:
    """Words and pictures for job messages. `locale` is the orderer's, or None where it is not known (any more)."""

    def __init__(self, *, messages: Messages, storage: Storage, orders: Orders) -> None:
        self._messages = messages
        self._storage = storage
        self._orders = orders

    def queued(self, job: Job, outlook: Outlook | None, locale: str | None, *, again: bool = False) -> Parcel:
        """Its place in the queue, what it costs, and ✖. `again`: it was running when the program stopped."""
        if outlook is None:
            state = self._messages.say("status.queued_unknown", locale)
        elif outlook.paused:
            state = self._messages.say("status.paused", locale, position=outlook.position)
        else:
            key = "queued_next" if outlook.position == 1 else "queued"
            wait = duration(self._messages, outlook.wait_seconds + outlook.work_seconds, locale)
            state = self._messages.say(f"status.{key}", locale, position=outlook.position, wait=wait)
        details = [self._messages.say("status.again", locale)] if again else []
        return self._on_the_way(job, locale, *details, state, price(self._messages, job.price, locale))

    async def running(self, job: Job, progress: JobProgress | None, locale: str | None) -> Parcel:
        """Percent and, where the painter made some, previews."""
        say = self._messages.say
        if progress is None:
            state = say("status.starting" if job.attempt <= 1 else "status.retrying", locale)
            return self._on_the_way(job, locale, state)
        left = duration(self._messages, progress.seconds_left, locale)
        return self._on_the_way(
            job,
            locale,
            say("status.drawing_left", locale, percent=percent_of(progress), left=left),
            picture=await pictures.preview(progress.previews),
        )

    async def ended(self, job: Job, customer: Customer | None, locale: str | None) -> Writer:
        """How the end of the job is told, wherever that will be. `customer` None: who ordered is not known any more."""
        storage = self._storage
        left, images = await asyncio.gather(self._left(job, customer, locale), storage.images.of_job(job.id))
        if job.status is JobStatus.DONE:
            files = await asyncio.gather(*(storage.images.png(image) for image in images))
            pngs = [png for png in files if png is not None]
            if images and len(pngs) == len(images):
                scaled = await self._scaled(job.recipes[0], locale)
                return self._done(job, images, pngs, [*scaled, *left], locale)
            state = self._messages.say("status.pictures_gone", locale)
        else:
            given_back = refund(self._messages, job.price, locale)
            if job.status is JobStatus.CANCELLED:
                state = self._messages.say("status.cancelled", locale, refund=given_back)
            else:
                reason = ending_words(job.error or "error", self._messages, locale)
                state = self._messages.say("status.failed", locale, reason=reason, refund=given_back)

        async def write(destination: Destination) -> Parcel:
            return Parcel(content=self._text(job, locale, [state, *left], destination=destination))

        return write

    def _done(
        self, job: Job, images: Sequence[Image], pngs: Sequence[bytes], left: Sequence[str], locale: str | None
    ) -> Writer:
        say = self._messages.say
        took = (job.finished_at - job.started_at).total_seconds() if job.started_at and job.finished_at else 0.0
        state = say(
            "status.done",
            locale,
            duration=duration(self._messages, took, locale),
            size=f"{images[0].width}×{images[0].height}",
            seed=job.recipes[0].seed,
        )
        details = [state, price(self._messages, job.price, locale), *left]
        made: dict[int, Upload] = {}  # by limit: routes may be tried again and again

        async def write(destination: Destination) -> Parcel:
            limit = destination.upload_limit
            if limit not in made:
                try:
                    made[limit] = await pictures.show(pngs, limit=limit)
                except OSError:  # a file that is no picture any more
                    gone = say("status.pictures_gone", locale)
                    return Parcel(content=self._text(job, locale, [gone], destination=destination))
            if destination.direct:
                view = None  # its buttons belong to the server: pressed elsewhere they would be orders from there
            elif len(images) == 1:
                view = picture_view(self._messages, images[0], locale, job_id=job.id)
            else:
                view = grid_view([image.id for image in images], job.id)
            return Parcel(
                content=self._text(job, locale, details, destination=destination, upload=made[limit]),
                picture=made[limit],
                filename=f"limner-{job.id}",
                view=view,
            )

        return write

    async def _scaled(self, recipe: Recipe, locale: str | None) -> list[str]:
        """That the picture which was edited has another size now; nothing for other jobs."""
        source = recipe.source
        if source is None or (source.frame is None and recipe.mask is None):
            return []
        file = await self._storage.files.read(source.digest)
        before = None if file is None else pictures.size_of(file)
        frame = source.frame
        now = (recipe.width, recipe.height) if frame is None else (frame.width, frame.height)
        if before is None or before == now:
            return []
        sizes = {name: f"{width}×{height}" for name, (width, height) in (("before", before), ("now", now))}
        return [self._messages.say("status.scaled", locale, **sizes)]

    async def _left(self, job: Job, customer: Customer | None, locale: str | None) -> list[str]:
        """What the person may still spend. Nothing where that is without limit, or it is not known whether it is."""
        if customer is None:
            return []
        allowance = await self._orders.allowance(customer)
        balance = await self._storage.credits.balance(job.user_id, job.guild_id, allowance=allowance)
        return [] if balance.available is None else [self._messages.say("status.left", locale, count=balance.available)]

    def _on_the_way(self, job: Job, locale: str | None, *details: str, picture: Upload | None = None) -> Parcel:
        return Parcel(
            content=self._text(job, locale, details),
            picture=picture,
            filename="preview",
            view=cancel_view(self._messages, job.id, locale),
        )

    def _text(
        self,
        job: Job,
        locale: str | None,
        details: Sequence[str],
        *,
        destination: Destination | None = None,
        upload: Upload | None = None,
    ) -> str:
        say = self._messages.say
        lines = [
            say(f"title.{job.kind}", locale, request=code(job.request), user=f"<@{job.user_id}>"),
            SEPARATOR.join(details),
        ]
        if upload is not None and upload.reduced:
            lines.append(say("status.shrunk", locale, form=upload.form))
        if destination is not None and destination.direct:
            lines.insert(0, say("notices.direct_message", locale, channel=f"<#{job.channel_id}>"))
        return "\n".join(lines)
