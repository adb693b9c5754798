"""What a picture tells of itself, and what we know of it: by its bytes, else by the recipe that it carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.orders import ImageGone
from generation.parameters import Parameters
from generation.recipe import Recipe

if TYPE_CHECKING:
    import discord

    from bot.orders import Customer
    from bot.uploads import Uploads
    from generation.intake.intake import Intake
    from generation.intake.picture_file import PictureFile
    from generation.job import Job
    from storage.images import Image
    from storage.storage import Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A picture that was drawn here, with the job that it came from."""

    image: Image
    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What there is to say of a picture.

    `drawn` is ours, where the person may see it; `exact` tells whether the file is that very picture, and not a copy
    (smaller, or a grid, whose recipe is that of its first picture). `descent` is what it came from, nearest first. Of
    any other picture, `recipe` and `parameters` are what its file says, which anybody can write.
    """

    drawn: Drawn | None = None
    exact: bool = False
    descent: Sequence[Drawn] = ()
    recipe: Recipe | None = None
    parameters: Parameters | None = None


class Inspector:
    """Looks pictures up."""

    def __init__(self, *, storage: Storage, intake: Intake, uploads: Uploads) -> None:
        self._storage = storage
        self._intake = intake
        self._uploads = uploads

    async def attachment(self, customer: Customer, attachment: discord.Attachment) -> Finding:
        """What is known of a picture that somebody shows. Raises what `Uploads.attachment` raises."""
        async with self._uploads.turn(customer):
            with await self._uploads.fetch(attachment) as file:
                return await self.file(customer, file)

    async def image(self, customer: Customer, image_id: int, *, exact: bool) -> Finding:
        """What is known of a picture of ours. Raises `ImageGone` where the person may not see it."""
        await self._uploads.image(customer, image_id)
        image = await self._storage.images.get(image_id)
        drawn = None if image is None else await self._drawn(image)
        if drawn is None:
            raise ImageGone
        return await self._ours(drawn, exact=exact)

    async def file(self, customer: Customer, file: PictureFile) -> Finding:
        """What is known of the picture in this file. Raises what `Intake.take_in` raises."""
        images, user_id, guild_id = self._storage.images, customer.user_id, customer.guild_id
        exact = await images.by_file(file.digest, user_id=user_id, guild_id=guild_id)
        told = await self._intake.take_in(file)
        image = exact
        if image is None and told.recipe is not None:
            image = await images.by_recipe(told.recipe, user_id=user_id, guild_id=guild_id)
        drawn = None if image is None else await self._drawn(image)
        if drawn is None:
            return Finding(recipe=told.recipe, parameters=told.parameters)
        return await self._ours(drawn, exact=exact is not None)

    async def _ours(self, drawn: Drawn, *, exact: bool) -> Finding:
        line = [await self._drawn(parent) for parent in await self._storage.images.descent(drawn.image)]
        return Finding(drawn=drawn, exact=exact, descent=[parent for parent in line if parent is not None])

    async def _drawn(self, image: Image) -> Drawn | None:
        job = await self._storage.jobs.get(image.job_id)
        return None if job is None else Drawn(image=image, job=job)
