"""What the message of a job says and shows in each of its states."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot import pictures
from bot.errors import ending_words
from bot.message_routes import Destination, Parcel, Writer
from bot.pictures import Upload, filename
from bot.views.cancel import cancel_view
from bot.views.grid import grid_view
from bot.views.picture import picture_view
from bot.wording import SEPARATOR, Moment, code, duration, percent_of, price, refund
from generation.job import Job, JobStatus

if TYPE_CHECKING:
    from bot.messages import Messages
    from bot.orders import Customer, Orders
    from generation.queue.estimate import Outlook
    from generation.queue.listener import JobProgress
    from generation.recipe import Recipe
    from storage.images import Image
    from storage.storage import Storage


class _Kept(NamedTuple):
    """A picture and its file."""

    image: Image
    png: bytes


class StatusWriter:
    """Words and pictures for job messages. `locale` is the orderer's, or None where it is not known (any more)."""

    def __init__(self, *, messages: Messages, storage: Storage, orders: Orders, classified: bool) -> None:
        """`classified`: an image classifier looks at pictures, and age-restricted channels may see more of them."""
        self._messages = messages
        self._storage = storage
        self._orders = orders
        self._classified = classified

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
        left, kept = await self._left(job, customer, locale), await self._kept(job)
        if job.status is JobStatus.DONE:
            if kept:
                scaled = await self._scaled(kept[0].image.recipe, locale)
                return self._done(job, kept, [*self._how_it_went(job, kept, locale), *scaled, *left], locale)
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

    async def shown(self, job: Job, by: str, locale: str | None) -> Writer | None:
        """A message of its own for a job that is done, with its buttons; None if no picture of it is left.

        `by` is a mention of the person who asked for it.
        """
        kept = await self._kept(job)
        if not kept:
            return None
        when = Moment(job.finished_at or job.created_at)
        details = [
            self._messages.say("status.picture", locale, size=_size(kept), seed=kept[0].image.recipe.seed),
            self._messages.say("status.shown", locale, job=job.id, when=when, user=by),
        ]
        return self._done(job, kept, details, locale)

    async def remade(self, job: Job, *, upload_limit: int) -> Parcel | None:
        """What a message that shows the job shows from now on, without any words; None if no picture is left."""
        kept = await self._kept(job)
        if not kept:
            return None
        return await self._done(job, kept, [], None)(Destination(upload_limit=upload_limit))

    def stays_where_ordered(self, job: Job, destination: Destination) -> bool:
        """Whether the pictures must not go there: by other measures than an age-restricted channel's, who knows."""
        return self._classified and job.age_restricted and destination.direct

    async def _kept(self, job: Job) -> list[_Kept]:
        """Those of the job's pictures that are there, in grid order."""
        images = await self._storage.images.of_job(job.id)
        files = await asyncio.gather(*(self._storage.images.png(image) for image in images))
        return [_Kept(image, png) for image, png in zip(images, files, strict=True) if png is not None]

    def _how_it_went(self, job: Job, kept: Sequence[_Kept], locale: str | None) -> list[str]:
        took = (job.finished_at - job.started_at).total_seconds() if job.started_at and job.finished_at else 0.0
        state = self._messages.say(
            "status.done",
            locale,
            duration=duration(self._messages, took, locale),
            size=_size(kept),
            seed=kept[0].image.recipe.seed,
        )
        return [state, price(self._messages, job.price, locale)]

    def _done(self, job: Job, kept: Sequence[_Kept], details: Sequence[str], locale: str | None) -> Writer:
        """The pictures with their buttons."""
        images, made = [one.image for one in kept], dict[int, Upload]()  # by limit: routes may be tried again and again

        async def write(destination: Destination) -> Parcel:
            if self.stays_where_ordered(job, destination):
                elsewhere = self._messages.say("errors.age_restricted_elsewhere", locale)
                return Parcel(content=self._text(job, locale, [*details, elsewhere], destination=destination))
            limit = destination.upload_limit
            if limit not in made:
                try:
                    made[limit] = await pictures.show([one.png for one in kept], limit=limit)
                except OSError:  # a file that is no picture any more
                    gone = self._messages.say("status.pictures_gone", locale)
                    return Parcel(content=self._text(job, locale, [gone], destination=destination))
            if destination.direct:
                view = None  # its buttons belong to the server: pressed elsewhere they would be orders from there
            elif len(images) == 1:
                view = picture_view(self._messages, images[0], locale, job_id=job.id)
            else:
                view = grid_view(images, job.id)
            return Parcel(
                content=self._text(job, locale, details, destination=destination, upload=made[limit]),
                picture=made[limit],
                filename=filename(f"limner-{job.id}", spoiler=job.spoiler),
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
            filename=filename("preview", spoiler=job.spoiler),
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


def _size(kept: Sequence[_Kept]) -> str:
    return f"{kept[0].image.width}×{kept[0].image.height}"
