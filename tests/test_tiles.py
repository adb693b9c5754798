"""The windows of a large picture: they cover it, overlap, and are never larger than the model draws well."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from generation.tiles import OVERLAP, needs_tiles, painted_area, tile_side, tile_starts

sides = st.integers(8, 512).map(lambda eighths: 8 * eighths)


@given(st.integers(1, 2000), st.integers(4, 400))
def test_tiles_cover_a_length_and_overlap(length: int, tile: int) -> None:
    starts = tile_starts(length, tile)
    assert starts[0] == 0
    if length <= tile:
        assert starts == [0]
        return
    assert starts[-1] == length - tile
    # Places are rounded to whole ones.
    assert all(later - start <= tile * (1 - OVERLAP) + 1 for start, later in itertools.pairwise(starts))
    assert starts == sorted(set(starts))


@given(sides, sides, st.sampled_from([128, 512, 1024]))
def test_the_work_is_that_of_the_windows(width: int, height: int, native_size: int) -> None:
    area = painted_area(width, height, native_size)
    if not needs_tiles(width, height, native_size):
        assert area == width * height
    else:
        assert width * height < area < 4.5 * width * height
        assert tile_side(native_size) < max(width, height)


def test_training_buckets_need_no_windows_and_twice_the_size_does() -> None:
    assert not needs_tiles(1024, 1024, 1024)
    assert not needs_tiles(2048, 512, 1024)
    assert needs_tiles(2048, 2048, 1024)
