"""Images: finished pictures, each with its recipe, its parent and its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import ColumnElement, and_, select

from generation.recipe import Recipe
from storage.database import Database
from storage.files import Files
from storage.tables import ImageRow
from storage.uninterrupted import uninterrupted

MAX_DESCENT = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One finished picture. `index` counts from 0 in grid order; `digest` names its file; sizes are in pixels.

    `parent_image_id` is the image that its job started from. `user_id` owns it.
    """

    id: int
    job_id: int
    index: int
    user_id: int
    guild_id: int | None
    recipe: Recipe
    parent_image_id: int | None
    digest: str
    width: int
    height: int
    created_at: datetime


@uninterrupted
class Images:
    """Finished pictures. They come into being by `Jobs.finish` alone, and go by `storage/deletion.py`."""

    def __init__(self, database: Database, files: Files) -> None:
        self._database = database
        self._files = files

    async def get(self, image_id: int) -> Image | None:
        """One image, or None."""
        async with self._database.reading() as session:
            row = await session.get(ImageRow, image_id)
            return None if row is None else image_of(row)

    async def of_job(self, job_id: int) -> Sequence[Image]:
        """The images of a job in grid order; none until it is done."""
        async with self._database.reading() as session:
            rows = await session.scalars(select(ImageRow).where(ImageRow.job_id == job_id).order_by(ImageRow.index))
            return [image_of(row) for row in rows]

    async def by_file(self, digest: str, *, user_id: int, guild_id: int | None) -> Image | None:
        """The first image that the person may see there (a server, or None: their direct messages) with that file."""
        return await self._first(ImageRow.digest == digest, user_id, guild_id)

    async def by_recipe(self, recipe: Recipe, *, user_id: int, guild_id: int | None) -> Image | None:
        """The first image that the person may see there which was drawn by that recipe."""
        return await self._first(ImageRow.recipe_digest == recipe.digest, user_id, guild_id)

    async def _first(self, condition: ColumnElement[bool], user_id: int, guild_id: int | None) -> Image | None:
        seen = ImageRow.guild_id == guild_id
        if guild_id is None:
            seen = and_(ImageRow.guild_id.is_(None), ImageRow.user_id == user_id)
        async with self._database.reading() as session:
            row = await session.scalar(select(ImageRow).where(condition, seen).order_by(ImageRow.id).limit(1))
            return None if row is None else image_of(row)

    async def descent(self, image: Image) -> Sequence[Image]:
        """What the image came from: its parent, the parent's parent and so on, up to `MAX_DESCENT` of them."""
        line: list[Image] = []
        async with self._database.reading() as session:
            parent_id = image.parent_image_id
            while parent_id is not None and len(line) < MAX_DESCENT:
                row = await session.get(ImageRow, parent_id)
                if row is None:
                    break
                line.append(image_of(row))
                parent_id = row.parent_image_id
        return line

    async def png(self, image: Image) -> bytes | None:
        """The picture's own bytes, recipe and all, or None if its file is gone. Raises `FilesUnavailable`."""
        return await self._files.read(image.digest)


def image_of(row: ImageRow) -> Image:
    """The row as the value that leaves storage: columns and fields have the same names."""
    return Image(**{field.name: getattr(row, field.name) for field in fields(Image)})
