"""Numbered cells over a picture, for people to say which part they mean, and the mask that their choice makes.

Pillow's work, for a thread. What is looked at are pictures of our own storage.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from generation.picture import open_picture

MAX_CELLS = 25  # options that one of Discord's menus may have
SHOWN_SIDE = 768  # pixels of the overlay's longer side: enough for cells of 100 pixels and more
LEAST_SHOWN_SIDE = 512  # a smaller picture is enlarged, so that its numbers can be read
QUALITY = 85
NUMBER_SIZE = 0.35  # of a cell's height
KEPT, PAINTED = 0, 255
Box: TypeAlias = tuple[int, int, int, int]  # left, upper, right and lower edge in pixels; the last two are outside


@dataclass(frozen=True, slots=True, kw_only=True)
class CellGrid:
    """Cells over a picture of that size in pixels, numbered from 1 row by row."""

    columns: int
    rows: int
    width: int
    height: int

    @property
    def count(self) -> int:
        return self.columns * self.rows

    def box(self, number: int, width: int, height: int) -> Box:
        """Left, upper, right and lower edge of a cell in the picture scaled to that size."""
        row, column = divmod(number - 1, self.columns)
        return (
            column * width // self.columns,
            row * height // self.rows,
            (column + 1) * width // self.columns,
            (row + 1) * height // self.rows,
        )


def cells_of(width: int, height: int) -> CellGrid:
    """The grid of most cells that are nearly square, for a picture of that size."""

    def columns(rows: int) -> int:
        return min(MAX_CELLS, max(1, round(rows * width / height)))

    fitting = [rows for rows in range(1, MAX_CELLS + 1) if columns(rows) * rows <= MAX_CELLS]
    rows = max(fitting, key=lambda rows: columns(rows) * rows)
    return CellGrid(columns=columns(rows), rows=rows, width=width, height=height)


def overlay(png: bytes, grid: CellGrid) -> bytes:
    """The picture with the grid and its numbers over it: a small WebP."""
    with open_picture(png) as opened:
        scale = max(LEAST_SHOWN_SIDE, min(SHOWN_SIDE, max(opened.size))) / max(opened.size)
        size = (max(1, round(opened.width * scale)), max(1, round(opened.height * scale)))
        picture = opened.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(10.0, NUMBER_SIZE * size[1] / grid.rows))
    for number in range(1, grid.count + 1):
        left, upper, right, lower = grid.box(number, *size)
        draw.rectangle((left, upper, right, lower), outline="black", width=3)
        draw.rectangle((left, upper, right, lower), outline="white", width=1)
        middle = ((left + right) / 2, (upper + lower) / 2)
        draw.text(middle, str(number), "white", font=font, anchor="mm", stroke_width=3, stroke_fill="black")
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=QUALITY)
    return file.getvalue()


def mask_of(grid: CellGrid, numbers: Collection[int]) -> bytes:
    """The mask of those cells as a PNG of the picture's size, white where it is painted anew."""
    return mask_of_boxes(grid.width, grid.height, [grid.box(number, grid.width, grid.height) for number in numbers])


def mask_of_boxes(width: int, height: int, boxes: Iterable[Box]) -> bytes:
    """The mask of rectangles in pixels, as `mask_of` makes it."""
    mask = Image.new("L", (width, height), KEPT)
    for box in boxes:
        mask.paste(PAINTED, box)
    file = io.BytesIO()
    mask.save(file, "PNG")
    return file.getvalue()
