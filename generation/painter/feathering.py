"""Masks grown, and masks whose border fades: pure arithmetic on pixels, in time that no radius changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def grown(mask: Image.Image, radius: int) -> Image.Image:
    """A mask (mode "L", 0 or 255) and all that is within `radius` pixels of it, in a square's shape."""
    return Image.fromarray(np.where(_window_sums(_flags(mask), radius) > 0, 255, 0).astype(np.uint8))


def feathered(mask: Image.Image, width: int) -> Image.Image:
    """A mask (mode "L", 0 or 255) that rises from 0 at its border to 255 at `width` pixels inside of it.

    Outside it stays 0. The picture's own edges are no border. Where the whole mask is so thin that half of it would
    fade, the width is halved until it does not.
    """
    flags = _flags(mask)
    radius = width // 2
    core = _eroded(flags, radius)
    while radius and 2 * core.sum() < flags.sum():
        radius //= 2
        core = _eroded(flags, radius)
    share = _window_sums(core, radius) / (2 * radius + 1) ** 2
    return Image.fromarray(np.round(255 * share).astype(np.uint8))


def _eroded(flags: NDArray[np.int32], radius: int) -> NDArray[np.int32]:
    full: NDArray[np.bool_] = _window_sums(flags, radius) == (2 * radius + 1) ** 2
    return full.astype(np.int32)


def _window_sums(values: NDArray[np.int32], radius: int) -> NDArray[np.int32]:
    """For each pixel the sum over the (2·radius + 1)² around it; beyond the picture its edge goes on."""
    for _ in ("down", "across"):
        sums = np.cumsum(np.pad(values, ((radius + 1, radius), (0, 0)), mode="edge"), axis=0, dtype=np.int32)
        values = (sums[2 * radius + 1 :] - sums[: len(values)]).T
    return values


def _flags(mask: Image.Image) -> NDArray[np.int32]:
    return (np.asarray(mask) > 0).astype(np.int32)
