"""Pictures as they are shown: the grid of a job, the grid of its previews, and both small enough to be uploaded.

Everything here is Pillow's work and runs in a thread. What is kept in storage is never touched: these are copies.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from PIL import Image

from generation.picture import encode_png, open_picture, read_recipe, reencode
from generation.recipe import Recipe

Form = Literal["PNG", "WEBP", "JPEG"]
EXTENSIONS: dict[Form, str] = {"PNG": "png", "WEBP": "webp", "JPEG": "jpg"}
# What is tried, in order, when a PNG is over the limit: the best first.
SMALLER_FORMS: tuple[tuple[Literal["WEBP", "JPEG"], int], ...] = (
    ("WEBP", 95),
    ("WEBP", 85),
    ("JPEG", 80),
    ("JPEG", 60),
    ("JPEG", 40),
    ("JPEG", 20),
)
PREVIEW_QUALITY = 80
# zlib's level for what is made to be sent once: a grid is 3 % larger than at its default of 6, in a third of the time.
GRID_COMPRESS_LEVEL = 4
# Discord counts the whole request: this much is left for the rest of the message.
ENVELOPE_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A picture file as it is sent. `width` and `height` are in pixels.

    `reduced` means that it is not the PNG itself, because that was too large to be uploaded.
    """

    data: bytes
    form: Form
    width: int
    height: int
    reduced: bool = False

    def filename(self, stem: str) -> str:
        """`stem` with the extension of the form."""
        return f"{stem}.{EXTENSIONS[self.form]}"


def filename(stem: str, *, spoiler: bool) -> str:
    """The name to upload a picture under. Discord hides what is named so until somebody clicks on it."""
    return f"SPOILER_{stem}" if spoiler else stem


async def show(pngs: Sequence[bytes], *, limit: int) -> Upload:
    """One message's picture for the pictures of a job: a single one as it is, several as a grid.

    The cells of a grid are the pictures themselves, pixel for pixel, row by row without gaps. `limit` is in bytes;
    above it the picture is sent as WebP, then as JPEG of falling quality, then with fewer pixels.
    """
    return await asyncio.to_thread(_show, pngs, limit)


async def preview(jpegs: Sequence[bytes]) -> Upload | None:
    """The previews of one job as one small JPEG, laid out as its grid. None without any, or if one is broken."""
    if not jpegs:
        return None
    return await asyncio.to_thread(_preview, jpegs)


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height that a stored picture's header tells; None if it is no picture any more. Decodes no pixels."""
    try:
        with open_picture(data) as picture:
            return picture.size
    except OSError:
        return None


def _show(pngs: Sequence[bytes], limit: int) -> Upload:
    if len(pngs) == 1:
        png = pngs[0]
        with open_picture(png) as picture:
            width, height = picture.size
    else:
        grid = _grid([open_picture(png) for png in pngs])
        width, height = grid.size
        png = _png(grid, read_recipe(pngs[0]))
    return _fit(png, width, height, limit - ENVELOPE_BYTES)


def _png(grid: Image.Image, recipe: Recipe | None) -> bytes:
    """The grid as a PNG. As in other tools, it carries the recipe of its first picture."""
    if recipe is not None:
        return encode_png(grid, recipe, compress_level=GRID_COMPRESS_LEVEL)
    file = io.BytesIO()
    grid.save(file, "PNG", compress_level=GRID_COMPRESS_LEVEL)
    return file.getvalue()


def _fit(png: bytes, width: int, height: int, limit: int) -> Upload:
    if len(png) <= limit:
        return Upload(data=png, form="PNG", width=width, height=height)
    for form, quality in SMALLER_FORMS:
        data = reencode(png, form, quality)
        if len(data) <= limit:
            return Upload(data=data, form=form, width=width, height=height, reduced=True)
    # Far above any limit that Discord has had: pixels have to go.
    with open_picture(png) as picture:
        half = picture.resize((max(1, width // 2), max(1, height // 2)))
    return replace(_fit(_png(half, read_recipe(png)), half.width, half.height, limit), reduced=True)


def _preview(jpegs: Sequence[bytes]) -> Upload | None:
    try:
        grid = _grid([open_picture(jpeg) for jpeg in jpegs])
    except OSError:  # a preview may be lost
        return None
    file = io.BytesIO()
    grid.save(file, "JPEG", quality=PREVIEW_QUALITY)
    return Upload(data=file.getvalue(), form="JPEG", width=grid.width, height=grid.height)


def _grid(pictures: Sequence[Image.Image]) -> Image.Image:
    """Two columns (one for a single picture), rows as needed; all pictures are of one size."""
    width, height = pictures[0].size
    columns = min(2, len(pictures))
    rows = -(-len(pictures) // columns)
    grid = Image.new("RGB", (columns * width, rows * height))
    for index, picture in enumerate(pictures):
        grid.paste(picture.convert("RGB"), ((index % columns) * width, (index // columns) * height))
    return grid
