"""One picture out of a grid, as a message of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from bot import pictures
from bot.answering import customer_of, may_post
from bot.message_routes import Destination, Parcel, Place, Undeliverable
from bot.orders import ImageGone
from bot.views.picture import picture_view
from bot.wording import code
from storage.images import Image

if TYPE_CHECKING:
    from bot.client import Interaction

RETRY_SECONDS = (1.0, 5.0, 15.0)  # a picture costs nothing and can be asked for again: there is an end to trying


async def post_picture(interaction: Interaction, image_id: int) -> None:
    """Post the stored file of that picture, to the byte where its size allows. Raises `RequestRejected`."""
    services = interaction.client.services
    receipt = services.routes.receipt(interaction)
    may_post(interaction)
    image, png, request = await _picture(interaction, image_id)
    response = await interaction.response.defer(thinking=True)
    place = Place(
        nonce=f"u{interaction.id}",
        user_id=interaction.user.id,
        guild_id=interaction.guild_id,
        channel_id=customer_of(interaction).channel_id,
        message_id=None if response is None else response.message_id,
        receipt=receipt,
    )
    say, locale = services.messages.say, interaction.locale.value

    async def write(destination: Destination) -> Parcel:
        upload = await pictures.show([png], limit=destination.upload_limit)
        lines = [
            say("title.picked", locale, request=code(request), number=image.index + 1, user=interaction.user.mention),
            say("status.picture", locale, size=f"{image.width}×{image.height}", seed=image.recipe.seed),
        ]
        if upload.reduced:
            lines.append(say("status.shrunk", locale, form=upload.form))
        return Parcel(
            content="\n".join(lines),
            picture=upload,
            filename=f"limner-{image.job_id}-{image.index + 1}",
            view=None if destination.direct else picture_view(services.messages, image, locale),
        )

    for delay in (*RETRY_SECONDS, 0.0):
        try:
            await services.routes.deliver(place, write)
        except Undeliverable as error:
            structlog.get_logger(__name__).warning("undelivered", image_id=image.id, reason=repr(error.__cause__))
            if not error.passing:
                return
            await asyncio.sleep(delay)
        else:
            return


async def _picture(interaction: Interaction, image_id: int) -> tuple[Image, bytes, str]:
    """The picture, its bytes and what was typed for it. Pictures stay in their server, or with their person."""
    storage = interaction.client.services.storage
    image = await storage.images.get(image_id)
    if image is None or image.guild_id != interaction.guild_id:
        raise ImageGone
    if image.guild_id is None and image.user_id != interaction.user.id:
        raise ImageGone
    png, job = await storage.images.png(image), await storage.jobs.get(image.job_id)
    if png is None or job is None:
        raise ImageGone
    return image, png, job.request
