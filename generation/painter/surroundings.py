"""What is around a picture in its frame before it is painted, and how freely it is painted there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from generation.recipe import Frame

# The surroundings are the picture's edges drawn out, and further out ever more blurred, up to a radius of this share of
# the model's native size. They are a place to start from: how high a horizon goes on, and in which colours.
BLUR_SHARE = 1 / 16
# Beside the frame only the last part of the steps is painted, further out ever more of them, and all of them from this
# share of the native size on (Differential Diffusion, Levin and Fried 2023, arXiv 2306.00950, with a map of our own).
# Where everything was free up to the frame, the embedded model began a second scene there: over a zoom of 2 the horizon
# was 4.5 pixels off and the sky 25 levels, and is 1.4 and 10 with these (means of six pictures at 128 pixels).
FREE_FROM_SHARE = 3 / 8
FREEDOM_BESIDE_FRAME = 0.3


def surrounded(picture: Image.Image, frame: Frame, size: tuple[int, int], native_size: int) -> Image.Image:
    """A picture of the frame's size in a canvas of that `size`, its own pixels untouched."""
    around = (
        (frame.y, size[1] - frame.y - frame.height),
        (frame.x, size[0] - frame.x - frame.width),
        (0, 0),
    )
    drawn_out = Image.fromarray(np.pad(np.asarray(picture), around, mode="edge"))
    blurred = drawn_out.filter(ImageFilter.GaussianBlur(native_size * BLUR_SHARE))
    far = np.clip(_distances(frame, size) / (native_size * FREE_FROM_SHARE), 0, 1)
    canvas = Image.composite(blurred, drawn_out, Image.fromarray(np.round(255 * far).astype(np.uint8)))
    canvas.paste(picture, (frame.x, frame.y))
    return canvas


def repaint_around(frame: Frame, size: tuple[int, int], native_size: int) -> Image.Image:
    """How far from the canvas to move (see `Canvas.repaint`): not at all in the frame, and further away from it."""
    distances = _distances(frame, size)
    far = np.clip(distances / (native_size * FREE_FROM_SHARE), 0, 1)
    freedom = np.where(distances > 0, FREEDOM_BESIDE_FRAME + (1 - FREEDOM_BESIDE_FRAME) * far, 0)
    return Image.fromarray(np.round(255 * freedom).astype(np.uint8))


def _distances(frame: Frame, size: tuple[int, int]) -> NDArray[np.float64]:
    """For each pixel (height × width) how far it is outside the frame; 0 within."""
    across, down = (
        np.maximum(0, np.maximum(start - at, at - (start + length - 1)))
        for start, length, at in (
            (frame.x, frame.width, np.arange(size[0])),
            (frame.y, frame.height, np.arange(size[1])),
        )
    )
    return np.hypot(across[None, :], down[:, None])
