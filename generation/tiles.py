"""Where the windows lie in which a picture above the model's native size is painted. Pure geometry, for the painter and
for whoever prices its work."""

from __future__ import annotations

import math

# A window's side in native sides. Larger than native, so that a window sees some of what is around it and does not take
# a patch of sky for a whole picture; models draw well up to here when they start from a picture.
TILE_SIDE = 1.5
OVERLAP = 1 / 3  # of a window's side: with less, windows could be told apart in flat areas
# Training buckets differ from the square's area by a few percent.
NATIVE_AREA_TOLERANCE = 1.1


def tile_side(native_size: int) -> int:
    """A window's side in pixels, a multiple of 8."""
    return round(native_size * TILE_SIDE / 8) * 8


def needs_tiles(width: int, height: int, native_size: int) -> bool:
    """Whether a picture of this size that starts from another is painted in windows."""
    above_native = width * height > native_size**2 * NATIVE_AREA_TOLERANCE
    return above_native and max(width, height) > tile_side(native_size)


def tile_starts(length: int, tile: int) -> list[int]:
    """Where windows of that length begin, evenly, the first at 0 and the last at the end, overlapping by `OVERLAP`."""
    if length <= tile:
        return [0]
    count = math.ceil((length - tile) / (tile * (1 - OVERLAP))) + 1
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def painted_area(width: int, height: int, native_size: int) -> int:
    """The pixels of all windows together, which overlap: what a step costs. Without windows, the picture's own."""
    if not needs_tiles(width, height, native_size):
        return width * height
    tile = tile_side(native_size)
    across, down = len(tile_starts(width, tile)), len(tile_starts(height, tile))
    return across * min(tile, width) * down * min(tile, height)
