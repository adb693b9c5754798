"""Cells over a picture, and the masks that they make."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from bot.cells import MAX_CELLS, SHOWN_SIDE, CellGrid, cells_of, mask_of, overlay

sides = st.integers(64, 2048)
grids = st.builds(cells_of, sides, sides)


def extremes(image: Image.Image) -> tuple[int, int]:
    """Darkest and brightest of a grey picture."""
    histogram = image.convert("L").histogram()
    values = [value for value, pixels in enumerate(histogram) if pixels]
    return values[0], values[-1]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@given(width=sides, height=sides)
def test_cells_are_many_nearly_square_and_fit_into_a_menu(width: int, height: int) -> None:
    grid = cells_of(width, height)
    assert grid.count <= MAX_CELLS
    if 1 / 4 <= width / height <= 4:
        assert grid.count >= 12
        assert 0.6 <= width / grid.columns / (height / grid.rows) <= 1.6


@given(grid=grids)
def test_cells_cover_the_picture_without_gaps_or_overlaps(grid: CellGrid) -> None:
    boxes = [grid.box(number, grid.width, grid.height) for number in range(1, grid.count + 1)]
    assert sum((right - left) * (lower - upper) for left, upper, right, lower in boxes) == grid.width * grid.height
    assert boxes[0][:2] == (0, 0)
    assert boxes[-1][2:] == (grid.width, grid.height)


def test_a_mask_is_white_in_its_cells_alone() -> None:
    grid = cells_of(128, 128)
    mask = opened(mask_of(grid, [1, 7]))
    assert (mask.mode, mask.size) == ("L", (128, 128))
    assert mask.getpixel((0, 0)) == 255
    assert mask.getpixel((127, 127)) == 0
    expected = Image.new("L", (128, 128))
    for number in (1, 7):
        expected.paste(255, grid.box(number, 128, 128))
    assert ImageChops.difference(mask, expected).getbbox() is None
    assert mask_of(grid, [7, 1]) == mask_of(grid, [1, 7])
    everything = opened(mask_of(grid, range(1, grid.count + 1)))
    assert extremes(everything) == (255, 255)


def test_the_overlay_shows_the_picture_with_lines_and_numbers() -> None:
    file = io.BytesIO()
    Image.new("RGB", (2048, 1024), "teal").save(file, "PNG")
    grid = cells_of(2048, 1024)
    shown = opened(overlay(file.getvalue(), grid))
    assert shown.format == "WEBP"
    assert shown.size == (SHOWN_SIDE, SHOWN_SIDE // 2)
    for number in range(1, grid.count + 1):
        cell = shown.crop(grid.box(number, *shown.size))
        inside = cell.crop((8, 8, cell.width - 8, cell.height - 8))
        darkest, brightest = extremes(inside)
        assert darkest < 60 < 200 < brightest, number
        darkest, brightest = extremes(cell.crop((8, 8, 20, 20)))
        assert brightest - darkest < 20, number
