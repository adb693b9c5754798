"""Pictures that are there already, as messages of their own: one out of a grid, or a whole job again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from bot import pictures
from bot.answering import customer_of, may_post, tell
from bot.errors import words
from bot.message_routes import Destination, Parcel, Place, Receipt, Undeliverable, Writer
from bot.orders import ImageGone, JobGone
from bot.uploads import may_read
from bot.views.cancel import cancel_view
from bot.views.picture import picture_view
from bot.views.queue_page import standing
from bot.wording import code
from generation.errors import RequestRejected
from generation.job import JobStatus
from storage.showings import Showing

if TYPE_CHECKING:
    from bot.client import Interaction
    from bot.orders import Customer
    from generation.job import Job
    from storage.images import Image

RETRY_SECONDS = (1.0, 5.0, 15.0)  # a picture costs nothing and can be asked for again: there is an end to trying


class AgeRestrictedElsewhere(RequestRejected):
    """What was drawn in a channel with an age restriction is shown in such channels alone."""

    key = "age_restricted_elsewhere"


async def post_picture(interaction: Interaction, image_id: int) -> None:
    """Post the stored file of that picture, to the byte where its size allows. Raises `RequestRejected`."""
    services = interaction.client.services
    receipt = services.routes.receipt(interaction)
    customer = await _admitted(interaction)
    image, job = await services.orders.find_image(customer, image_id)
    if job.age_restricted and not customer.age_restricted:
        raise AgeRestrictedElsewhere
    png = await services.storage.images.png(image)
    if png is None:
        raise ImageGone
    say, locale = services.messages.say, interaction.locale.value

    async def write(destination: Destination) -> Parcel:
        if services.writer.stays_where_ordered(job, destination):
            return Parcel(content=words(AgeRestrictedElsewhere(), services.messages, locale))
        upload = await pictures.show([png], limit=destination.upload_limit)
        lines = [
            say(
                "title.picked",
                locale,
                request=code(job.request),
                number=image.index + 1,
                user=interaction.user.mention,
            ),
            say("status.picture", locale, size=f"{image.width}×{image.height}", seed=image.recipe.seed),
        ]
        if upload.reduced:
            lines.append(say("status.shrunk", locale, form=upload.form))
        return Parcel(
            content="\n".join(lines),
            picture=upload,
            filename=pictures.filename(f"limner-{image.job_id}-{image.index + 1}", spoiler=job.spoiler),
            view=None if destination.direct else picture_view(services.messages, image, locale),
        )

    await _post(interaction, receipt, write, job, image)


async def show_job(interaction: Interaction, job_id: int) -> None:
    """Post a finished job once more, with its buttons; of any other job, tell the person alone how it stands.

    Raises `JobGone` also for jobs of channels that the person cannot read.
    """
    services, locale = interaction.client.services, interaction.locale.value
    receipt = services.routes.receipt(interaction)
    customer = customer_of(interaction)
    job = await services.orders.find_job(customer, job_id)
    if job.user_id != customer.user_id and not customer.moderator and not may_read(interaction, job.channel_id):
        raise JobGone
    if job.age_restricted and not customer.age_restricted:
        raise AgeRestrictedElsewhere
    if not job.status.terminal:
        own = job.user_id == customer.user_id or customer.moderator
        view = cancel_view(services.messages, job.id, locale) if own else None
        await tell(interaction, standing(services, job, locale), view=view)
        return
    write = await services.writer.shown(job, interaction.user.mention, locale) if job.status is JobStatus.DONE else None
    if write is None:
        told = await (await services.writer.ended(job, None, locale))(Destination(upload_limit=0))
        await tell(interaction, told.content)
        return
    await _admitted(interaction)
    await _post(interaction, receipt, write, job)


async def _admitted(interaction: Interaction) -> Customer:
    """Who wants something posted here. Raises `RequestRejected` where that person may not have it."""
    may_post(interaction)
    customer = customer_of(interaction)
    await interaction.client.services.server_rules.admit(customer)
    return customer


async def _post(
    interaction: Interaction, receipt: Receipt, write: Writer, job: Job, image: Image | None = None
) -> None:
    """Answer with pictures of a job (`image` None: all of them), by whatever way is open, and remember where."""
    services = interaction.client.services
    response = await interaction.response.defer(thinking=True)
    place = Place(
        nonce=f"u{interaction.id}",
        user_id=interaction.user.id,
        guild_id=interaction.guild_id,
        channel_id=customer_of(interaction).channel_id,
        message_id=None if response is None else response.message_id,
        receipt=receipt,
    )
    for delay in (*RETRY_SECONDS, 0.0):
        try:
            await services.routes.deliver(place, write)
        except Undeliverable as error:
            structlog.get_logger(__name__).warning("undelivered", job_id=job.id, reason=repr(error.__cause__))
            if not error.passing:
                return
            await asyncio.sleep(delay)
        else:
            await _remember(interaction, place, job, image)
            return


async def _remember(interaction: Interaction, place: Place, job: Job, image: Image | None) -> None:
    """So that the message goes when its pictures are deleted; at once, if they were deleted while it was sent."""
    services = interaction.client.services
    if place.message_id is None:
        return
    showing = Showing(channel_id=place.channel_id, message_id=place.message_id, job_id=job.id)
    if image is not None:
        showing = replace(showing, image_id=image.id)
    await services.storage.showings.remember(showing)
    left = {kept.id for kept in await services.storage.images.of_job(job.id)}
    if not left or (image is not None and image.id not in left):
        await services.deleting.remove(place.guild_id, place.channel_id, place.message_id)
