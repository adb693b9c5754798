"""Masks as files: which part of a picture is painted anew. Needs Pillow alone, so the bot may look at one first."""

from __future__ import annotations

from PIL import Image

from generation.picture import open_picture

# Masks are of two kinds of pixels; greys, as scaling and JPEG leave them at borders, are what they are nearer to.
PAINTED_FROM = 128


def open_mask(data: bytes, size: tuple[int, int]) -> Image.Image:
    """A stored mask brought to a picture's `size`: mode "L", 255 where it is painted anew and 0 where it is kept.

    What is transparent is painted anew, as what was rubbed out. Raises `OSError` for what `open_picture` cannot read.
    """
    with open_picture(data) as picture:
        shown = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA")).convert("L")
    if shown.size != size:
        shown = shown.resize(size, Image.Resampling.BILINEAR)
    return shown.point(lambda value: 255 if value >= PAINTED_FROM else 0)


def is_empty(mask: Image.Image) -> bool:
    """Whether a mask of `open_mask` keeps everything."""
    return mask.getbbox() is None
